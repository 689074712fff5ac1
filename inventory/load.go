package inventory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxFile bounds one inventory file, in bytes. Ten thousand hosts with a stanza each need about two million.
const maxFile = 16 << 20

// reader gathers what the files say before it is resolved.
type reader struct {
	errs     *Errors
	keys     []hostKey
	home     string
	digest   []byte
	inv      *Inventory
	defaults settings
	from     *node // the [defaults] stanza
	groups   map[string]*group
	stanzas  map[string]settings
	hosts    map[string]*node // where each host was first named
	folded   map[string]string
	order    []string // hosts as first named
	waivers  []waiver
}

// group is a group as it is written.
type group struct {
	name     string
	node     *node
	hosts    []string
	children []*node
	set      settings
	parents  []*group
	above    map[*group]bool // every group it is in, directly or not
}

// Load reads inventory files. A path that is a directory stands for its *.toml files in the order of their names. What several files say
// is one inventory: a stanza may be in one of them only. The error is *Errors where a file is wrong: it holds every mistake found.
func Load(paths ...string) (*Inventory, error) {
	r := newReader(Home())
	read := map[string]bool{}
	for _, path := range paths {
		files, err := list(path)
		if err != nil {
			return nil, fmt.Errorf("cannot read inventory: %w", err)
		}
		for _, name := range files {
			if read[filepath.Clean(name)] {
				return nil, fmt.Errorf("cannot read inventory: %s is named twice", name)
			}
			read[filepath.Clean(name)] = true
			text, err := readFile(name)
			if err != nil {
				return nil, fmt.Errorf("cannot read inventory: %w", err)
			}
			r.file(name, text)
		}
	}
	return r.finish()
}

// Home is the directory that ~ stands for: $HOME, else the account's own (a service or cron job may have no $HOME), else "".
func Home() string {
	if home, err := os.UserHomeDir(); err == nil {
		return home
	}
	if me, err := user.Current(); err == nil {
		return me.HomeDir
	}
	return "" // said where a path needs it
}

// Parse reads one inventory from its text. Relative paths in it are relative to name's directory; home is what ~ stands for.
func Parse(name, text, home string) (*Inventory, error) {
	r := newReader(home)
	r.file(name, text)
	return r.finish()
}

func newReader(home string) *reader {
	return &reader{
		errs: &Errors{}, keys: hostKeys(), home: home, inv: &Inventory{},
		groups: map[string]*group{}, stanzas: map[string]settings{}, hosts: map[string]*node{}, folded: map[string]string{},
	}
}

func list(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}, err
	}
	entries, err := os.ReadDir(path)
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(path, e.Name()))
		}
	}
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: holds no .toml file", path)
	}
	return files, err
}

func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("%s: is larger than %d MiB", name, maxFile>>20)
	}
	return string(text), err
}

// file takes in one file's stanzas.
func (r *reader) file(name, text string) {
	r.inv.Files = append(r.inv.Files, name)
	sum := sha256.Sum256([]byte(text))
	r.digest = fmt.Appendf(r.digest, "%s %x\n", name, sum)
	s := newSource(name, strings.TrimPrefix(text, "\ufeff"))
	root, err := decode(s)
	if err != nil {
		r.errs.syntax(s, err)
		return
	}
	known := []string{"vantages", "backup_recipients", "defaults", "groups", "hosts", "waivers"}
	for _, key := range root.keys {
		n := root.table[key]
		switch key {
		case "vantages":
			r.inv.Vantages = append(r.inv.Vantages, r.vantages(n)...)
		case "backup_recipients":
			r.inv.BackupRecipients = append(r.inv.BackupRecipients, r.recipients(n)...)
		case "defaults":
			r.readDefaults(n)
		case "groups":
			r.tables(n, "groups", r.readGroup)
		case "hosts":
			r.tables(n, "hosts", r.readHost)
		case "waivers":
			r.readWaivers(n)
		default:
			if slices.Contains(append(Keys(), "vars"), key) {
				r.errs.key(n, "key %q belongs in [defaults], a group or a host", key)
				continue
			}
			r.errs.key(n, "unknown key %q%s", key, hint(key, known))
		}
	}
}

func (r *reader) vantages(n *node) []string {
	list, err := parseJump(r, n)
	if err != nil {
		r.errs.val(n, "vantages: %v", err)
		return nil
	}
	return list.([]string)
}

var recipient = regexp.MustCompile(`^age1[a-z0-9]{8,}$`)

func (r *reader) recipients(n *node) []string {
	list, err := asStrings(n)
	for _, s := range list {
		if err == nil && !recipient.MatchString(s) {
			err = fmt.Errorf("%q is not an age recipient (age1…)", s)
		}
	}
	if err != nil {
		r.errs.val(n, "backup_recipients: %v", err)
	}
	return list
}

func (r *reader) readDefaults(n *node) {
	if r.from != nil {
		r.errs.key(n, "[defaults] is there twice: first at %s", where(r.from))
		return
	}
	r.from = n
	r.defaults = r.stanza(n, "defaults")
}

// tables calls read for each table in n.
func (r *reader) tables(n *node, what string, read func(*node)) {
	if n.table == nil {
		r.errs.val(n, "%s must hold tables ([%s.NAME]), not %s", what, what, kind(n.value))
		return
	}
	for _, key := range n.keys {
		read(n.table[key])
	}
}

func where(n *node) string {
	line, col := n.file.place(n.at)
	return fmt.Sprintf("%s:%d:%d", n.file.name, line, col)
}

func (r *reader) readGroup(n *node) {
	switch {
	case !validName(n.key) || strings.Contains(n.key, ":"):
		r.errs.key(n, "%q is not a group's name (letters, digits and . - _ alone)", n.key)
		return
	case n.key == "all":
		r.errs.key(n, `the group "all" is every host, and cannot be defined`)
		return
	case r.groups[n.key] != nil:
		r.errs.key(n, "group %q is there twice: first at %s", n.key, where(r.groups[n.key].node))
		return
	}
	g := &group{name: n.key, node: n, set: r.stanza(n, "group "+n.key, "hosts", "children")}
	r.groups[n.key] = g
	if c := n.table["hosts"]; c != nil {
		r.groupHosts(g, c)
	}
	if c := n.table["children"]; c != nil {
		if _, err := asStrings(c); err != nil || !c.array {
			r.errs.val(c, "children must be a list of groups' names%s", because(err))
			return
		}
		g.children = c.list
	}
}

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

func (r *reader) groupHosts(g *group, n *node) {
	if !n.array {
		r.errs.val(n, "hosts must be a list of names, not %s", kind(n.value))
		return
	}
	first := map[string]*node{}
	for _, e := range n.list {
		for _, name := range r.expand(e, e.value) {
			if was := first[fold(name)]; was != nil {
				r.errs.val(e, "host %q is twice in group %q: first at %s", name, g.name, where(was))
				continue
			}
			first[fold(name)] = e
			if r.name(name, e) {
				g.hosts = append(g.hosts, name)
			}
		}
	}
}

// expand gives the names in a list's element or a stanza's key.
func (r *reader) expand(n *node, value any) []string {
	s, ok := value.(string)
	if !ok {
		r.errs.val(n, "a host's name must be a string, not %s", kind(value))
		return nil
	}
	list, err := expand(s, maxHosts)
	if err != nil {
		r.errs.offset(n.file, n.at, "%v", err)
	}
	return list
}

// name notes that a host is named at n.
func (r *reader) name(name string, n *node) bool {
	if other, ok := r.folded[fold(name)]; ok && other != name {
		r.errs.key(n, "host %q is the same name as %q at %s", name, other, where(r.hosts[other]))
		return false
	}
	if r.hosts[name] != nil {
		return true
	}
	if len(r.order) == maxHosts {
		r.errs.key(n, "more than %d hosts", maxHosts)
		return false
	}
	r.folded[fold(name)] = name
	r.hosts[name] = n
	r.order = append(r.order, name)
	return true
}

func (r *reader) readHost(n *node) {
	names := r.expand(n, n.key)
	if len(names) == 0 {
		return
	}
	set := r.stanza(n, "host "+n.key)
	for _, name := range names {
		if r.stanzas[name] != nil {
			r.errs.key(n, "host %q is in two stanzas", name)
			continue
		}
		if r.name(name, n) {
			r.stanzas[name] = set
		}
	}
}

// finish resolves what was read.
func (r *reader) finish() (*Inventory, error) {
	sum := sha256.Sum256(r.digest)
	r.inv.Digest = hex.EncodeToString(sum[:])
	groups := r.sortedGroups()
	r.link(groups)
	r.ambiguous(groups)
	if len(r.order) == 0 && len(r.errs.List) == 0 {
		r.errs.put(&Error{File: strings.Join(r.inv.Files, ", "), Text: "no hosts"})
	}
	if len(r.errs.List) == 0 {
		r.resolve(groups)
		r.loops()
		for _, w := range r.waivers {
			r.cover(w)
		}
	}
	r.errs.sort(r.inv.Files)
	if err := r.errs.orNil(); err != nil {
		return nil, err
	}
	return r.inv, nil
}

// sortedGroups are the groups in the order of the files.
func (r *reader) sortedGroups() []*group {
	out := make([]*group, 0, len(r.groups))
	for _, g := range r.groups {
		out = append(out, g)
	}
	file := func(g *group) int { return slices.Index(r.inv.Files, g.node.file.name) }
	slices.SortFunc(out, func(a, b *group) int {
		if d := file(a) - file(b); d != 0 {
			return d
		}
		return a.node.at - b.node.at
	})
	return out
}

// ambiguous refuses a name that a pattern could not tell apart.
func (r *reader) ambiguous(groups []*group) {
	for _, g := range groups {
		if n := r.hosts[g.name]; n != nil {
			r.errs.key(g.node, "%q is the name of a group and of a host (%s)", g.name, where(n))
		}
	}
	if n := r.hosts["all"]; n != nil {
		r.errs.key(n, `a host cannot be called "all": it is every host`)
	}
}
