package inventory

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// link ties each group to the groups it is in, and refuses undefined groups and loops.
func (r *reader) link(groups []*group) {
	var known []string
	for _, g := range groups {
		known = append(known, g.name)
	}
	for _, g := range groups {
		for _, c := range g.children {
			name, _ := c.value.(string)
			child := r.groups[name]
			if child == nil {
				r.errs.val(c, "undefined group %q%s", name, hint(name, known))
				continue
			}
			if path := r.way(child, g); path != nil {
				r.errs.val(c, "loop of groups: %s", strings.Join(append([]string{g.name}, path...), " > "))
				continue
			}
			child.parents = append(child.parents, g)
		}
	}
	for _, g := range groups {
		g.above = map[*group]bool{}
		g.climb(g.above)
	}
}

// way is the way up from the group "to" to the group "from" along the ties made so far, written downward; nil where there is none.
func (r *reader) way(from, to *group) []string {
	below := map[*group]*group{to: nil}
	for todo := []*group{to}; len(todo) > 0; todo = todo[1:] {
		if g := todo[0]; g == from {
			var path []string
			for ; g != nil; g = below[g] {
				path = append(path, g.name)
			}
			return path
		}
		for _, p := range todo[0].parents {
			if _, seen := below[p]; !seen {
				below[p] = todo[0]
				todo = append(todo, p)
			}
		}
	}
	return nil
}

func (g *group) climb(into map[*group]bool) {
	for _, p := range g.parents {
		if !into[p] {
			into[p] = true
			p.climb(into)
		}
	}
}

// layer is what a set of groups says together.
type layer struct {
	groups []string // every group, in the order of the files
	set    settings
	clash  map[string][2]setting // keys about which two groups disagree
	told   map[string]bool
}

// resolve makes the hosts and groups of the inventory.
func (r *reader) resolve(groups []*group) {
	direct := map[string][]*group{}
	for _, g := range groups {
		for _, h := range g.hosts {
			direct[h] = append(direct[h], g)
		}
	}
	passed := r.passed()
	layers := map[string]*layer{}
	inv := r.inv
	inv.named = make(map[string]*Host, len(r.order))
	members := map[string][]string{}
	for _, name := range r.order {
		l := r.layer(groups, direct[name], layers)
		h := r.host(name, l)
		inv.named[name] = h
		if passed[name] && len(direct[name]) == 0 {
			inv.others = append(inv.others, h)
			continue
		}
		inv.Hosts = append(inv.Hosts, h)
		for _, g := range l.groups {
			members[g] = append(members[g], name)
		}
	}
	for _, g := range groups {
		inv.Groups = append(inv.Groups, g.exported(members[g.name]))
	}
}

func (g *group) exported(hosts []string) *Group {
	out := &Group{Name: g.name, Hosts: hosts}
	for _, c := range g.children {
		out.Children = append(out.Children, c.value.(string))
	}
	if s, ok := g.set["max_unavailable"]; ok {
		out.MaxUnavailable = s.value.(int)
	}
	if s, ok := g.set["window"]; ok {
		w := s.value.(Window)
		out.Window = &w
	}
	return out
}

// passed are the names that vantages and jump mention.
func (r *reader) passed() map[string]bool {
	out := map[string]bool{}
	note := func(words []string) {
		for _, w := range words {
			if _, host, _, ok := SplitJump(w); ok {
				out[host] = true
			}
		}
	}
	stanza := func(set settings) {
		if s, ok := set["jump"]; ok {
			note(s.value.([]string))
		}
	}
	note(r.inv.Vantages)
	stanza(r.defaults)
	for _, g := range r.groups {
		stanza(g.set)
	}
	for _, set := range r.stanzas {
		stanza(set)
	}
	return out
}

// layer merges the groups that hold a host directly and those above them. Hosts in the same groups share one.
func (r *reader) layer(groups, direct []*group, layers map[string]*layer) *layer {
	var id strings.Builder
	for _, g := range direct {
		id.WriteString(g.name + " ")
	}
	if l := layers[id.String()]; l != nil {
		return l
	}
	in := map[*group]bool{}
	for _, g := range direct {
		in[g] = true
		maps.Copy(in, g.above)
	}
	l := &layer{set: settings{}, clash: map[string][2]setting{}, told: map[string]bool{}}
	setters := map[string][]*group{}
	for _, g := range groups {
		if in[g] {
			l.groups = append(l.groups, g.name)
			for key := range g.set {
				setters[key] = append(setters[key], g)
			}
		}
	}
	for key, by := range setters {
		l.merge(key, nearest(by))
	}
	layers[id.String()] = l
	return l
}

// nearest leaves out every group that stands above another one of the list.
func nearest(by []*group) []*group {
	var out []*group
	for _, g := range by {
		if !slices.ContainsFunc(by, func(h *group) bool { return h.above[g] }) {
			out = append(out, g)
		}
	}
	return out
}

func (l *layer) merge(key string, by []*group) {
	first := by[0].set[key]
	l.set[key] = first
	for _, g := range by[1:] {
		if other := g.set[key]; !reflect.DeepEqual(first.value, other.value) {
			l.clash[key] = [2]setting{first, other}
			return
		}
	}
}

// host applies the precedence: defaults, groups, the host's own stanza.
func (r *reader) host(name string, l *layer) *Host {
	own := r.stanzas[name]
	set := make(settings, len(r.defaults)+len(l.set)+len(own))
	maps.Copy(set, r.defaults)
	maps.Copy(set, l.set)
	maps.Copy(set, own)
	for key, two := range l.clash {
		if _, ok := own[key]; !ok && !l.told[key] {
			l.told[key] = true
			r.errs.key(two[1].node, "%s: %s and %s (%s) disagree about it, and host %q is in both: set it for the host, or make one group a child of the other",
				key, two[1].origin.From, two[0].origin.From, where(two[0].node), name)
		}
	}
	r.ownJump(name, set, own)
	r.addressPort(set)
	n := r.hosts[name]
	h := &Host{Name: name, Groups: l.groups, Origin: make(map[string]Origin, len(set)+1)}
	h.Origin[""] = origin(n, "host "+name)
	for _, k := range r.keys {
		if s, ok := set[k.name]; ok {
			k.set(h, s.value)
			h.Origin[k.name] = s.origin
			delete(set, k.name)
		}
	}
	for key, s := range set { // what is left are variables
		if h.Vars == nil {
			h.Vars = map[string]string{}
		}
		h.Vars[strings.TrimPrefix(key, "vars.")] = s.value.(string)
		h.Origin[key] = s.origin
	}
	return h
}

// addressPort takes the port that stands with an address for the host's, unless one is said nearer to the host.
func (r *reader) addressPort(set settings) {
	address, ok := set["address"]
	if !ok {
		return
	}
	_, port := splitAddress(address.value.(string))
	other, said := set["port"]
	nearness := func(o Origin) int {
		return slices.Index([]string{"defaults", "group", "host"}, strings.SplitN(o.From, " ", 2)[0])
	}
	switch {
	case port == 0:
	case said && other.origin.From == address.origin.From:
		r.errs.key(other.node, "port: the address %q at %s has one already", address.value, where(address.node))
	case !said || nearness(other.origin) <= nearness(address.origin):
		set["port"] = setting{port, address.origin, address.node}
	}
}

// ownJump keeps a host from being reached through itself: a jump host does not use the inherited list that names it.
func (r *reader) ownJump(name string, set, own settings) {
	s, ok := set["jump"]
	if !ok || !slices.ContainsFunc(s.value.([]string), func(w string) bool { return jumpHost(w) == name }) {
		return
	}
	if _, mine := own["jump"]; mine {
		r.errs.val(s.node, "jump: host %q cannot be reached through itself", name)
	}
	delete(set, "jump")
}

func jumpHost(word string) string {
	_, host, _, _ := SplitJump(word)
	return host
}

// loops refuses hosts that can be reached only through each other.
func (r *reader) loops() {
	state := map[string]int{} // 1: on the way, 2: done
	var walk func(h *Host, way []string)
	walk = func(h *Host, way []string) {
		state[h.Name] = 1
		way = append(way, h.Name)
		for _, w := range h.Jump {
			next, ok := r.inv.named[jumpHost(w)]
			if !ok || state[next.Name] == 2 {
				continue
			}
			if state[next.Name] == 1 {
				o := h.Origin["jump"]
				r.errs.put(&Error{o.File, o.Line, o.Col, fmt.Sprintf("jump: loop of hosts: %s", strings.Join(append(way, next.Name), " > "))})
				continue
			}
			walk(next, way)
		}
		state[h.Name] = 2
	}
	for _, name := range r.order {
		if state[name] == 0 {
			walk(r.inv.named[name], nil)
		}
	}
}
