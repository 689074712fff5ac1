package main

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// A comparison is testdata/lab/nmap.toml: what nmap's scripts and the probe say of planted hosts, and why they differ.
type comparison struct {
	Reasons []reason   `toml:"reason"`
	Rows    []compared `toml:"recipe"`
}

// A reason is why the two may differ in one respect: verdict, relay, unproven, commands or users.
type reason struct {
	ID    string `toml:"id"`
	About string `toml:"about"`
	Text  string `toml:"text"`
}

// A compared is what both say of one recipe on one host. Of the probe only what nmap asks too is held.
type compared struct {
	Name  string   `toml:"name"`
	Host  string   `toml:"host"`
	Says  string   `toml:"nmap_says"`   // smtp-open-relay's own words
	Calls string   `toml:"probe_says"`  // open, unproven, closed or none, of every form that the probe knows
	Nmap  []string `toml:"nmap_relay"`  // the forms that it counts
	Probe []string `toml:"probe_relay"` // of the same 16
	Maybe []string `toml:"probe_maybe"` // and those that were taken as any account there is
	Users []string `toml:"nmap_users"`  // methods by which smtp-enum-users finds accounts: RCPT, VRFY, EXPN
	Tells []string `toml:"probe_tells"` // VRFY and EXPN where they disclose
	Lacks []string `toml:"nmap_lacks"`  // lines of the reply to EHLO that only the probe has
	Adds  []string `toml:"nmap_adds"`   // or only nmap
	Why   []string `toml:"why"`
}

const leastCompared = 30 // recipes that the comparison must have

// loadComparison reads the table. A row that differs without a reason, a reason that is for nothing, a recipe that is not there are errors.
func loadComparison(lab fs.FS, recipes []*Recipe) (*comparison, error) {
	var c comparison
	meta, err := toml.DecodeFS(lab, "nmap.toml", &c)
	if err != nil {
		return nil, fmt.Errorf("cannot read nmap.toml: %v", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("cannot read nmap.toml: unknown key %s", unknown[0])
	}
	return &c, c.check(recipes)
}

func (c *comparison) check(recipes []*Recipe) error {
	used := map[string]bool{}
	seen := map[string]bool{}
	for _, row := range c.Rows {
		if !slices.ContainsFunc(recipes, func(r *Recipe) bool { return r.Name == row.Name }) || seen[row.Name] {
			return fmt.Errorf("nmap.toml: %s is no recipe, or there twice", row.Name)
		}
		seen[row.Name] = true
		about := map[string]bool{}
		for _, id := range row.Why {
			i := slices.IndexFunc(c.Reasons, func(r reason) bool { return r.ID == id })
			if i < 0 {
				return fmt.Errorf("nmap.toml: %s: no reason is called %q", row.Name, id)
			}
			used[id], about[c.Reasons[i].About] = true, true
		}
		if wrong := row.unexplained(about); wrong != "" {
			return fmt.Errorf("nmap.toml: %s: %s", row.Name, wrong)
		}
	}
	for _, r := range c.Reasons {
		if !used[r.ID] || r.Text == "" {
			return fmt.Errorf("nmap.toml: the reason %q is for nothing, or empty", r.ID)
		}
	}
	if len(c.Rows) < leastCompared {
		return fmt.Errorf("nmap.toml: %d recipes are compared, and %d must be", len(c.Rows), leastCompared)
	}
	return nil
}

// differs says in which respects the two differ. A form that the probe leaves unproven is a difference of its own, whatever nmap says of it.
func (r compared) differs() map[string]bool {
	maybe := func(form string) bool { return slices.Contains(r.Maybe, form) }
	return map[string]bool{
		"verdict":  r.nmapVerdict() != r.Calls,
		"relay":    !slices.Equal(slices.DeleteFunc(slices.Clone(r.Nmap), maybe), slices.DeleteFunc(slices.Clone(r.Probe), maybe)),
		"unproven": len(r.Maybe) > 0,
		"users":    !slices.Equal(r.Users, r.Tells),
		"commands": len(r.Lacks) > 0 || len(r.Adds) > 0,
	}
}

// nmapVerdict puts smtp-open-relay's words into the probe's: open, closed, or none where it gave up.
func (r compared) nmapVerdict() string {
	switch {
	case strings.HasPrefix(r.Says, "Server is an open relay"):
		return "open"
	case strings.HasPrefix(r.Says, "Server doesn't seem to be an open relay"):
		return "closed"
	}
	return "none"
}

// unexplained says which difference has no reason, or which reason no difference.
func (r compared) unexplained(about map[string]bool) string {
	differs := r.differs()
	for _, respect := range sortedKeys(differs) {
		switch {
		case differs[respect] && !about[respect]:
			return fmt.Sprintf("nmap and the probe differ about %s, and no reason is given", respect)
		case !differs[respect] && about[respect]:
			return fmt.Sprintf("a reason is given about %s, where nothing differs", respect)
		}
	}
	for _, respect := range sortedKeys(about) {
		if _, ok := differs[respect]; !ok {
			return fmt.Sprintf("nothing is compared that is called %q", respect)
		}
	}
	return ""
}

// against lists where what was met is not what the table says.
func (r compared) against(met compared) []string {
	var wrong []string
	lists := []struct {
		name      string
		want, got []string
	}{
		{"nmap_says", []string{r.Says}, []string{met.Says}}, {"probe_says", []string{r.Calls}, []string{met.Calls}},
		{"nmap_relay", r.Nmap, met.Nmap}, {"probe_relay", r.Probe, met.Probe}, {"probe_maybe", r.Maybe, met.Maybe},
		{"nmap_users", r.Users, met.Users}, {"probe_tells", r.Tells, met.Tells},
		{"nmap_lacks", r.Lacks, met.Lacks}, {"nmap_adds", r.Adds, met.Adds},
	}
	for _, l := range lists {
		if !slices.Equal(l.want, l.got) {
			wrong = append(wrong, fmt.Sprintf("%s is [%s], the table has [%s]", l.name, strings.Join(l.got, " "), strings.Join(l.want, " ")))
		}
	}
	return wrong
}

// toml is a row as nmap.toml has it, without reasons.
func (r compared) toml() string {
	var b strings.Builder
	fmt.Fprintf(&b, "[[recipe]]\nname = %q\nhost = %q\nnmap_says = %q\nprobe_says = %q\n", r.Name, r.Host, r.Says, r.Calls)
	for _, l := range []struct {
		key   string
		words []string
	}{
		{"nmap_relay", r.Nmap}, {"probe_relay", r.Probe}, {"probe_maybe", r.Maybe}, {"nmap_users", r.Users}, {"probe_tells", r.Tells},
		{"nmap_lacks", r.Lacks}, {"nmap_adds", r.Adds},
	} {
		if len(l.words) > 0 {
			fmt.Fprintf(&b, "%s = [%s]\n", l.key, quotedList(l.words))
		}
	}
	return b.String()
}
