package exim

import (
	"net/netip"
	"strings"

	"mtaharden/remediate/mta"
)

// option is a main option as the file sets it.
type option struct {
	Name, Value string
	Hidden      bool // set with "hide"
	Statement   *statement
}

// block is one verb of an ACL with what follows it.
type block struct {
	ACL, Verb string
	Conds     []cond
	At        place
	Lines     []place // every physical line of it
	Nested    bool
}

// cond is a condition or a modifier of a block.
type cond struct {
	Name, Value string
	Neg         bool
	Statement   *statement
}

// router is one entry of the routers, the transports or the authenticators, with its options.
type router struct {
	Name    string
	Options map[string]string
	At      place
}

// config is the configuration of one instance as this package understands it.
type config struct {
	prog    *program
	options map[string]*option
	lists   map[string]*namedList
	acls    map[string][]*block
	routers []*router
	authers []*router

	transports []*router
	rewrites   []*statement
	primary    string
	qualify    string
	own        []netip.Prefix // addresses of the host, each with its own length
	open       opener
	deb        *debian     // nil where Debian's generator is not used
	trusts     []mta.Trust // by what somebody may relay, once it is known
	version    string      // of the program, "" where it is not known
	strange    string      // why this is no whole configuration of Exim 4, "" where it looks like one
}

var verbs = map[string]bool{"accept": true, "deny": true, "defer": true, "discard": true, "drop": true, "require": true, "warn": true}

// understand sorts statements into options, lists, ACLs and routers.
func understand(p *program, open opener) *config {
	c := &config{prog: p, options: map[string]*option{}, lists: map[string]*namedList{}, acls: map[string][]*block{}, open: open}
	var acl string
	var inst *router
	for _, s := range p.Statements {
		if strings.HasPrefix(s.Text, "begin ") {
			acl, inst = "", nil
			continue
		}
		switch s.Section {
		case "main":
			c.main(s)
		case "acl":
			acl = c.aclLine(s, acl)
		case "routers":
			inst = driverLine(&c.routers, inst, s)
		case "authenticators":
			inst = driverLine(&c.authers, inst, s)
		case "transports":
			inst = driverLine(&c.transports, inst, s)
		case "rewrite":
			c.rewrites = append(c.rewrites, s)
		}
	}
	if o := c.options["primary_hostname"]; o != nil {
		c.primary = o.Value
	}
	if len(c.options) == 0 && c.strange == "" {
		c.strange = "it sets no main option: a fragment"
	}
	return c
}

// optionName says whether a statement of the main section begins as one must: Exim's options are in lower case.
func optionName(name string) bool {
	return name != "" && name[0] >= 'a' && name[0] <= 'z' && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// main takes one statement of the main section.
func (c *config) main(s *statement) {
	text, hidden := strings.TrimSpace(s.Text), false
	if rest, ok := strings.CutPrefix(text, "hide "); ok {
		text, hidden = strings.TrimSpace(rest), true
	}
	name, value, set := strings.Cut(text, "=")
	name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
	if kind, list, ok := strings.Cut(name, " "); ok && strings.HasSuffix(kind, "list") {
		list = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(list), "_cache "))
		l := &namedList{Kind: strings.TrimSuffix(kind, "_cache"), Name: list, Value: value, Statement: s}
		c.lists[l.Kind+" "+l.Name] = l
		return
	}
	switch {
	case name == "end":
		c.strange = s.at().String() + ": sections end with \"end\": a configuration of Exim 3"
	case !optionName(name) && c.strange == "":
		c.strange = s.at().String() + ": this is no option"
	}
	if !set {
		switch {
		case strings.HasPrefix(name, "no_"):
			name, value = strings.TrimPrefix(name, "no_"), "false"
		case strings.HasPrefix(name, "not_"):
			name, value = strings.TrimPrefix(name, "not_"), "false"
		default:
			value = "true"
		}
	}
	c.options[name] = &option{Name: name, Value: value, Hidden: hidden, Statement: s}
}

// unquote takes the double quotes of an option's value off and reads its backslashes (specification §6.16).
func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' {
		return s
	}
	var b strings.Builder
	for i := 1; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
				continue
			case 't':
				b.WriteByte('\t')
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// label reads "name:" with nothing behind it.
func label(text string) (string, bool) {
	name, rest, ok := strings.Cut(text, ":")
	name = strings.TrimSpace(name)
	if !ok || strings.TrimSpace(rest) != "" || name == "" {
		return "", false
	}
	for i := 0; i < len(name); i++ {
		if !isWord(name[i]) && name[i] != '-' && name[i] != '.' && name[i] != '$' {
			return "", false
		}
	}
	return name, true
}

// aclLine takes one statement of the acl section and returns the name of the ACL that the next one belongs to.
func (c *config) aclLine(s *statement, acl string) string {
	if name, ok := label(s.Text); ok {
		if _, again := c.acls[name]; !again {
			c.acls[name] = []*block{}
		}
		return name
	}
	text := s.Text
	word, rest := cutWord(text)
	blocks := c.acls[acl]
	if verbs[strings.ToLower(word)] {
		blocks = append(blocks, &block{ACL: acl, Verb: strings.ToLower(word), At: s.at(), Nested: s.Nested})
		c.acls[acl] = blocks
		text = rest
	}
	if len(blocks) == 0 {
		return acl
	}
	b := blocks[len(blocks)-1]
	b.Lines = append(b.Lines, s.Lines...)
	if text == "" {
		return acl
	}
	neg := strings.HasPrefix(text, "!")
	name, value, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(text, "!")), "=")
	b.Conds = append(b.Conds, cond{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value), Neg: neg, Statement: s})
	return acl
}

func cutWord(s string) (string, string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

func driverLine(into *[]*router, now *router, s *statement) *router {
	if name, ok := label(s.Text); ok {
		now = &router{Name: name, Options: map[string]string{}, At: s.at()}
		*into = append(*into, now)
		return now
	}
	if now == nil {
		return nil
	}
	name, value, set := strings.Cut(s.Text, "=")
	name, value = strings.TrimSpace(name), unquote(strings.TrimSpace(value))
	if !set {
		value = "true"
		for _, no := range []string{"no_", "not_"} {
			if rest, ok := strings.CutPrefix(name, no); ok {
				name, value = rest, "false"
			}
		}
	}
	if word, ok := map[string]string{"yes": "true", "no": "false"}[strings.ToLower(value)]; ok && switches[name] {
		value = word
	}
	if old := now.Options[name]; name == "condition" && old != "" { // each of them must hold (specification §15.1)
		value = "${if and{{bool_lax{" + old + "}}{bool_lax{" + value + "}}}}"
	}
	now.Options[name] = value
	return now
}

// switches are the options of routers that are read here and hold yes or no.
var switches = map[string]bool{
	"verify": true, "verify_recipient": true, "verify_only": true, "fail_verify": true, "fail_verify_recipient": true, "more": true, "unseen": true,
	"check_local_user": true, "local_part_prefix_optional": true, "local_part_suffix_optional": true,
}

// option returns the value of a main option, or def where the file does not set it.
func (c *config) option(name, def string) string {
	if o := c.options[name]; o != nil {
		return o.Value
	}
	return def
}

func (c *config) ownAddr(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	for _, p := range c.own {
		if p.Addr() == a {
			return true
		}
	}
	return false
}

// interfaceAddr says whether an address is one that Exim takes for the host's ("@[]", specification §10.11): those of
// local_interfaces, or of all interfaces. -bh of 4.94 and 4.96 writes an IPv6 client's address out and so finds it in no such list.
func (c *config) interfaceAddr(a netip.Addr) truth {
	t := no
	list := c.option("local_interfaces", "<; ::0 ; 0.0.0.0") + "\n"
	if strings.ContainsAny(list, "$") {
		return maybe
	}
	for _, item := range splitList(strings.TrimSpace(list)) {
		p, err := netip.ParseAddr(item)
		if err != nil {
			at, fault := netip.ParseAddrPort(item)
			if p = at.Addr(); fault != nil {
				return maybe // "10.1.1.1.25", or what is none
			}
		}
		if p == a || p.IsUnspecified() && p.Is4() == a.Is4() && c.ownAddr(a) {
			t = yes
		}
	}
	if t == yes && a.Is6() || c.options["extra_local_interfaces"] != nil {
		return maybe
	}
	return t
}

// exists says whether a file of the host exists, where the snapshot knows.
func (c *config) exists(path string) truth {
	_, exists, known := c.open(path)
	if !known && !exists {
		return maybe
	}
	return sure(exists)
}
