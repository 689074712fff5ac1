package sshconfig

import (
	"maps"
	"slices"
	"strings"

	"mtaharden/remediate/remote"
)

// value is what one keyword was found to say.
type value struct {
	words []string
	from  string
}

// reading is one look through the files for one host.
type reading struct {
	q      Query
	me     local
	host   string // that Host patterns are compared with: the host as named, in the final pass its HostName
	active bool
	final  bool // the second pass
	wanted bool // a second pass is asked for
	said   map[string]value
}

// read is what the reader of our own makes of the files.
func (c *Config) read(q Query) (*Settings, error) {
	r := &reading{q: q, me: c.me, host: q.Host, said: map[string]value{}}
	for key, word := range q.given() {
		r.said[key] = value{words: []string{word}}
	}
	if err := r.pass(c.roots); err != nil {
		return nil, err
	}
	if r.wanted {
		name, err := r.hostname()
		if err != nil {
			return nil, err
		}
		r.final, r.host = true, name
		r.said["hostname"] = value{words: []string{strings.ReplaceAll(name, "%", "%%")}, from: r.said["hostname"].from}
		if err := r.pass(c.roots); err != nil {
			return nil, err
		}
	}
	s, err := r.settings()
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(s.From, func(_, from string) bool { return from == "" })
	return s, nil
}

func (r *reading) pass(roots []root) error {
	for _, one := range roots {
		r.active = true
		if err := r.lines(one.lines, true); err != nil {
			return err
		}
	}
	return nil
}

// lines goes through directives; may is false in a file that a block includes which is not for this host.
func (r *reading) lines(lines []line, may bool) error {
	for _, l := range lines {
		if l.err != nil {
			return l.errorf("%v", l.err)
		}
		if len(l.words) == 0 && l.rest == "" {
			return l.errorf("no argument after keyword %q", l.key)
		}
		switch l.key {
		case "include":
			was := r.active
			if err := r.lines(l.included, may && was); err != nil {
				return err
			}
			r.active = was
		case "host":
			if len(l.words) == 0 {
				return l.errorf("no argument after keyword %q", l.key)
			}
			r.active = may && matchHost(r.host, l.words)
		case "match":
			found, err := r.match(l)
			if err != nil {
				return err
			}
			r.active = may && found
		default:
			if err := r.take(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// matchHost says whether a Host line is for host: one of its patterns matches, and none of those with a ! does.
func matchHost(host string, patterns []string) bool {
	found := false
	for _, p := range patterns {
		bare, negated := strings.CutPrefix(p, "!")
		if remote.Like(bare, host) {
			if negated {
				return false
			}
			found = true
		}
	}
	return found
}

// matchList compares with a list of patterns between commas.
func matchList(s, list string) bool { return matchHost(s, strings.Split(list, ",")) }

// match judges the criteria of a Match line; all must hold.
func (r *reading) match(l line) (bool, error) {
	result := true
	for rest, count := l.rest, 0; rest != ""; count++ {
		var word string
		word, rest = keyword(rest)
		if word == "" || word[0] == '#' {
			break
		}
		name, negated := strings.CutPrefix(strings.ToLower(word), "!")
		if name == "all" {
			if next, _ := keyword(rest); next != "" && next[0] != '#' {
				return false, l.errorf("all cannot be combined with other criteria")
			}
			return result && !negated, nil
		}
		if name == "canonical" || name == "final" {
			r.wanted = r.wanted || name == "final"
			result = result && r.final != negated
			continue
		}
		var arg string
		if arg, rest = keyword(rest); arg == "" || arg[0] == '#' {
			return false, l.errorf("no argument after Match %s", name)
		}
		if slices.Contains(undecided, name) {
			result = false // whether negated or not
			continue
		}
		holds, err := r.criterion(l, name, arg)
		if err != nil {
			return false, err
		}
		result = result && holds != negated
	}
	return result, nil
}

// undecided are criteria that ssh alone can judge: a block that has one is not for this host, and Config.Notes names it.
var undecided = []string{"exec", "localnetwork", "tagged", "version", "sessiontype", "command"}

func (r *reading) criterion(l line, name, arg string) (bool, error) {
	switch name {
	case "host":
		host, err := r.hostname()
		return matchList(strings.ToLower(host), strings.ToLower(arg)), err
	case "originalhost":
		return matchList(strings.ToLower(r.q.Host), strings.ToLower(arg)), nil
	case "user":
		return matchList(r.user(), arg), nil
	case "localuser":
		return matchList(r.me.user, arg), nil
	}
	return false, l.errorf("unsupported Match attribute %s", name)
}

func (r *reading) user() string {
	if v, ok := r.said["user"]; ok {
		return v.words[0]
	}
	return r.me.user
}

// hostname is the address as far as it is known by now.
func (r *reading) hostname() (string, error) {
	v, ok := r.said["hostname"]
	if !ok {
		return r.host, nil
	}
	name, err := expand(v.words[0], map[byte]string{'h': r.q.Host})
	return name, err
}

// unread are the notes on what the reader cannot follow whatever the host.
func unread(roots []root) []string {
	var notes []string
	var walk func([]line)
	walk = func(lines []line) {
		for _, l := range lines {
			walk(l.included)
			words := strings.Fields(strings.ToLower(l.rest))
			for _, w := range words {
				if w = strings.TrimPrefix(w, "!"); l.key == "match" && slices.Contains(undecided, w) {
					notes = append(notes, l.where()+": Match "+w+" is not followed without an ssh program: the block is passed over")
				}
			}
			if l.key == "canonicalizehostname" && len(words) > 0 && words[0] != "no" {
				notes = append(notes, l.where()+": CanonicalizeHostname is not followed without an ssh program: names are taken as they stand")
			}
		}
	}
	for _, r := range roots {
		walk(r.lines)
	}
	return notes
}
