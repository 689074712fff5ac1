package inventory

import (
	"cmp"
	"fmt"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strings"
)

// maxTerms bounds the terms of all patterns of one Select, those from files among them.
const maxTerms = 100_000

// Select gives the hosts that the patterns name, in the order of the inventory; without a pattern all of them. Each pattern is a list
// of terms between commas or colons:
//
//	NAME         a host or a group; "all" is every host
//	mx*.example  a glob (* ? [abc]) over the names of hosts and groups
//	mx[01:04]    a range of host names
//	2001:db8::1  an IPv6 address that is a host's name, in brackets or not
//	~REGEXP      RE2 over the names of hosts and groups, not anchored; it reaches to the end of the pattern, commas and colons too
//	@FILE        the terms in a file, one a line, # begins a comment; it reaches to the end of the pattern
//	&TERM        of the hosts named, those alone that TERM names too
//	!TERM        none of the hosts that TERM names
//
// All terms without a mark are taken together first, then every & narrows and every ! takes away, whatever their order. A term that
// names nothing is an error, and so is a choice that leaves no host.
func (inv *Inventory) Select(patterns ...string) ([]*Host, error) {
	return inv.choose(patterns, readFile)
}

func (inv *Inventory) choose(patterns []string, read func(string) (string, error)) ([]*Host, error) {
	if len(patterns) == 0 {
		return slices.Clone(inv.Hosts), nil
	}
	terms, err := inv.terms(patterns, read)
	if err != nil {
		return nil, err
	}
	c := &chooser{inv: inv, read: read, groups: map[string]*Group{}, audited: map[string]bool{}}
	for _, g := range inv.Groups {
		c.groups[g.Name] = g
	}
	for _, h := range inv.Hosts {
		c.audited[h.Name] = true
	}
	chosen, err := c.all(terms)
	if err != nil {
		return nil, err
	}
	hosts := inv.inOrder(func(h *Host) bool { return chosen[h.Name] })
	if len(hosts) == 0 {
		return nil, fmt.Errorf("%q leaves no host", strings.Join(patterns, ","))
	}
	return hosts, nil
}

// terms takes patterns and the files they name apart.
func (inv *Inventory) terms(patterns []string, read func(string) (string, error)) ([]string, error) {
	var out []string
	for _, p := range patterns {
		for _, term := range inv.split(p) {
			file, isFile := strings.CutPrefix(term, "@")
			if !isFile {
				out = append(out, term)
				continue
			}
			listed, err := inv.listed(file, read)
			if err != nil {
				return nil, err
			}
			out = append(out, listed...)
		}
	}
	if len(out) == 0 || len(out) > maxTerms {
		return nil, fmt.Errorf("%q holds %d terms, not from 1 to %d", strings.Join(patterns, ","), len(out), maxTerms)
	}
	return out, nil
}

// listed are the terms in a file.
func (inv *Inventory) listed(file string, read func(string) (string, error)) ([]string, error) {
	text, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the names in %q: %v", "@"+file, err)
	}
	var out []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); strings.HasPrefix(strings.TrimLeft(line, "!&"), "@") {
			return nil, fmt.Errorf("%s names another file: %q", file, line)
		} else if line != "" {
			out = append(out, inv.split(line)...)
		}
	}
	return out, nil
}

// split cuts a pattern at commas and colons outside of brackets. An IPv6 address is one term; where its end is not clear, a host of the inventory goes
// before an address that is none.
func (inv *Inventory) split(pattern string) []string {
	pattern = strings.TrimSpace(pattern)
	var out []string
	begin, depth := 0, 0
	put := func(end int) {
		if term := strings.TrimSpace(pattern[begin:end]); term != "" {
			out = append(out, term)
		}
		begin = end + 1
	}
	for i := 0; i < len(pattern); i++ {
		if bare := strings.TrimLeft(pattern[begin:], " !&"); strings.HasPrefix(bare, "~") || strings.HasPrefix(bare, "@") {
			break // to the end
		} else if at := len(pattern) - len(bare); i <= at {
			i = at + inv.colons(bare)
			if i >= len(pattern) {
				break
			}
		}
		switch c := pattern[i]; {
		case c == '[':
			depth++
		case c == ']':
			depth = max(depth-1, 0)
		case depth == 0 && (c == ',' || c == ':'):
			put(i)
			if begin == len(pattern) {
				return out
			}
		}
	}
	put(len(pattern))
	return out
}

// colons is the length of the IPv6 address that a pattern begins with; 0 where it begins with none.
func (inv *Inventory) colons(pattern string) int {
	whole := pattern
	if comma := strings.IndexByte(pattern, ','); comma >= 0 {
		whole = pattern[:comma]
	}
	if strings.Count(whole, ":") < 2 {
		return 0
	}
	for end := len(whole); end > 0; end = strings.LastIndexByte(whole[:end], ':') {
		if _, ok := inv.named[strings.TrimSpace(whole[:end])]; ok && strings.Contains(whole[:end], ":") {
			return end
		}
	}
	if _, err := netip.ParseAddr(strings.TrimSpace(whole)); err == nil {
		return len(whole)
	}
	return 0
}

// chooser answers what terms name.
type chooser struct {
	inv     *Inventory
	read    func(string) (string, error)
	groups  map[string]*Group
	audited map[string]bool
}

// all puts the terms together: union, then &, then !.
func (c *chooser) all(terms []string) (map[string]bool, error) {
	chosen, any := map[string]bool{}, false
	for _, mark := range []string{"", "&", "!"} {
		for _, term := range terms {
			bare := strings.TrimLeft(term, "&!")
			if term[:len(term)-len(bare)] != mark {
				if len(term)-len(bare) > 1 {
					return nil, fmt.Errorf("%q has more than one mark", term)
				}
				continue
			}
			if mark != "" && !any {
				c.add(chosen, c.everyone())
				any = true
			}
			found, err := c.term(bare)
			if err != nil {
				return nil, err
			}
			switch mark {
			case "":
				c.add(chosen, found)
				any = true
			case "&":
				narrow(chosen, found)
			case "!":
				for _, name := range found {
					delete(chosen, name)
				}
			}
		}
	}
	return chosen, nil
}

func (c *chooser) add(chosen map[string]bool, names []string) {
	for _, n := range names {
		chosen[n] = true
	}
}

func narrow(chosen map[string]bool, to []string) {
	keep := make(map[string]bool, len(to))
	for _, n := range to {
		keep[n] = true
	}
	for n := range chosen {
		if !keep[n] {
			delete(chosen, n)
		}
	}
}

func (c *chooser) everyone() []string {
	out := make([]string, len(c.inv.Hosts))
	for i, h := range c.inv.Hosts {
		out[i] = h.Name
	}
	return out
}

// term gives the hosts that one term without its mark names.
func (c *chooser) term(term string) ([]string, error) {
	if term == "all" {
		return c.everyone(), nil
	}
	if g := c.groups[term]; g != nil {
		return g.Hosts, nil
	}
	if c.audited[term] {
		return []string{term}, nil
	}
	if inner, ok := strings.CutPrefix(strings.TrimSuffix(term, "]"), "["); ok && c.audited[inner] {
		return []string{inner}, nil // an IPv6 address, as in a URL
	}
	if file, ok := strings.CutPrefix(term, "@"); ok {
		return c.together(file)
	}
	if expr, ok := strings.CutPrefix(term, "~"); ok {
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, fmt.Errorf("%q: %v", term, err)
		}
		return c.matching(term, re.MatchString)
	}
	if open := strings.IndexByte(term, '['); open >= 0 && strings.Contains(term[open:], ":") {
		return c.span(term)
	}
	if strings.ContainsAny(term, "*?[\\") {
		if _, err := path.Match(term, ""); err != nil {
			return nil, fmt.Errorf("%q is not a pattern: %v", term, err)
		}
		return c.matching(term, func(name string) bool {
			ok, _ := path.Match(term, name) // the pattern was found good above
			return ok
		})
	}
	return nil, c.unknown(term)
}

// together gives the hosts that any term of a file names; it is for a file behind a mark, whose terms have none of their own.
func (c *chooser) together(file string) ([]string, error) {
	terms, err := c.inv.listed(file, c.read)
	if err != nil || len(terms) == 0 || len(terms) > maxTerms {
		return nil, cmp.Or(err, fmt.Errorf("%q holds %d terms, not from 1 to %d", "@"+file, len(terms), maxTerms))
	}
	var out []string
	for _, term := range terms {
		if strings.ContainsAny(term[:1], "&!@") {
			return nil, fmt.Errorf("%s: %q has a mark, and the file has one", file, term)
		}
		found, err := c.term(term)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

func (c *chooser) span(term string) ([]string, error) {
	list, err := expand(term, maxHosts)
	if err != nil {
		return nil, err
	}
	for _, name := range list {
		if !c.audited[name] {
			return nil, fmt.Errorf("%q: %v", term, c.unknown(name))
		}
	}
	return list, nil
}

func (c *chooser) matching(term string, match func(string) bool) ([]string, error) {
	var out []string
	found := false
	for _, g := range c.inv.Groups {
		if match(g.Name) {
			found = true
			out = append(out, g.Hosts...)
		}
	}
	for _, h := range c.inv.Hosts {
		if match(h.Name) {
			found = true
			out = append(out, h.Name)
		}
	}
	if !found {
		return nil, fmt.Errorf("%q matches no host and no group", term)
	}
	return out, nil
}

func (c *chooser) unknown(name string) error {
	if _, ok := c.inv.named[name]; ok {
		return fmt.Errorf("%q is only passed through (vantages, jump) and not audited: put it in a group to audit it", name)
	}
	words := c.everyone()
	for _, g := range c.inv.Groups {
		words = append(words, g.Name)
	}
	return fmt.Errorf("unknown host or group %q%s", name, hint(name, append(words, "all")))
}

// inOrder gives the hosts to keep, in the order of the inventory.
func (inv *Inventory) inOrder(keep func(*Host) bool) []*Host {
	return slices.DeleteFunc(slices.Clone(inv.Hosts), func(h *Host) bool { return !keep(h) })
}
