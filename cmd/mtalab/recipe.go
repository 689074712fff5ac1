package main

import (
	"fmt"
	"hash/fnv"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/txtar"
)

// A Recipe is one planted configuration and what must be found on it: testdata/lab/recipes/MTA/NAME.txtar. Its files are
// the tree that is planted; plant.sh among them is run before the MTA is restarted, after.sh when it greets. Its comment
// says, one thing a line:
//
//	# free text
//	releases: deb11 deb12 deb13       where it holds; every release unless said
//	host: deb12-rhel-sendmail         a host of its own instead
//	role: mx                          intent, as in an inventory
//	relay_networks: 192.0.2.0/24 …
//	vantages: outside outside2 …      through which hosts the network may be asked; outside unless said; itself is the host
//	network: asked|silent|unasked     the audit is always one with --probe; silent: no vantage point is a stranger to the host; or never
//	expect: RULE STATUS               the worst status of the rule's findings on the host
//	says: RULE words                  one of the rule's findings, or a judge in its evidence, says these words
//	sound: yes                        no finding is fail, unknown or error
//	apply: unfixable RULE [MTA]       a person has to mend it; every other fail is planned, applied, and passes then
//	apply: refused words              apply changes nothing and says these words
//	login: USER PASSWORD              an account of the host, that may relay from outside
//	mail: none                        the host takes no legitimate mail at all as it is planted
//	port: 587                         where strangers ask; 25 unless said
//	family: 6                         over IPv6
//	outside: accepts N                how many of the 16 relay forms are accepted from there
//	outside: FORM accepted|refused    one of them
//	outside: vrfy disclosed|refused   likewise expn
//	outside: dead                     no greeting at all
//
// The last four are said alike of outside2, inside (the bridge) and itself (the host, calling its own address).
// Where nothing is said of outside, it follows from what is expected of open-relay (see implied).
type Recipe struct {
	Name          string // MTA/NAME
	MTA           string
	Releases      []string
	Host          string
	Role          string
	RelayNetworks []string
	Vantages      []string
	Network       string // asked, silent, unasked, or empty: asked where the run samples it
	Expect        []Expectation
	Says          []Saying
	Sound         bool
	Unfixable     []string // rules, or rule and MTA
	Refused       string   // what apply says that it does not begin; empty where it does
	Login         Account
	NoMail        bool // nothing is taken before a mend, so that nothing can be lost by it
	Port          int
	IPv6          bool
	Meets         map[string]Stranger // by where the stranger calls from
	Files         []txtar.File
}

// An Expectation is the status that a rule must have.
type Expectation struct{ Rule, Status string }

// A Saying is words that a finding of a rule must have.
type Saying struct{ Rule, Words string }

// A Stranger is what somebody who calls a host must meet. Accepts is -1 where it is unsaid.
type Stranger struct {
	Accepts int
	Forms   map[string]string // form → accepted, refused
	Asks    map[string]string // vrfy, expn → disclosed, refused
	Dead    bool
	Some    bool // at least one form is accepted
	DeadToo bool // a server that does not serve strangers is as good as one that refuses them
}

func anyStranger() Stranger {
	return Stranger{Accepts: -1, Forms: map[string]string{}, Asks: map[string]string{}}
}

// probed says whether a recipe's audit asks the network too: where its word turns on that, or everybody's does who may be asked so.
func (r *Recipe) probed(all bool) bool { return r.Network != "unasked" && (all || r.Network != "") }

// callers are where strangers call from, in the order of asking.
func callers() []string { return []string{"outside", "outside2", "inside", "itself"} }

// implied is what a stranger outside must meet where a recipe does not say it: an open relay takes at least one form, one
// whose verdict is an error does not greet, and every other takes none (or, where nothing is said of relaying, does not greet).
func (r *Recipe) implied() Stranger {
	if o, ok := r.Meets["outside"]; ok {
		return o
	}
	o := anyStranger()
	i := slices.IndexFunc(r.Expect, func(e Expectation) bool { return e.Rule == "open-relay" })
	switch {
	case i >= 0 && r.Expect[i].Status == "fail":
		o.Some = true
	case i >= 0 && r.Expect[i].Status == "error":
		o.Dead = true
	case i >= 0, r.Sound:
		o.Accepts = 0
	default:
		o.Accepts, o.DeadToo = 0, true
	}
	return o
}

func statuses() []string {
	return []string{"fail", "error", "unknown", "review", "waived", "pass", "not-applicable"} // worst first
}

// parseRecipe reads a recipe. Every mistake names its line.
func parseRecipe(name string, data []byte) (*Recipe, error) {
	ar := txtar.Parse(data)
	r := &Recipe{
		Name: name, MTA: path.Dir(name), Port: 25, Vantages: []string{"outside"}, Files: ar.Files, Meets: map[string]Stranger{},
	}
	for i, line := range strings.Split(string(ar.Comment), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			return nil, fmt.Errorf("%s:%d: not a key and a value: %q", name, i+1, line)
		}
		if err := r.set(key, strings.Fields(value)); err != nil {
			return nil, fmt.Errorf("%s:%d: %v", name, i+1, err)
		}
	}
	for _, f := range r.Files {
		if !fs.ValidPath(f.Name) {
			return nil, fmt.Errorf("%s: %q is not a path below the root", name, f.Name)
		}
	}
	if len(r.Expect) == 0 && !r.Sound {
		return nil, fmt.Errorf("%s: nothing is expected: say expect or sound", name)
	}
	return r, nil
}

func (r *Recipe) set(key string, f []string) error {
	want := func(n int) error {
		if len(f) != n {
			return fmt.Errorf("%s takes %d words, not %d", key, n, len(f))
		}
		return nil
	}
	switch key {
	case "releases":
		r.Releases = f
		return nil
	case "relay_networks":
		r.RelayNetworks = f
		for _, n := range f {
			if _, err := netip.ParsePrefix(n); err != nil {
				return fmt.Errorf("relay_networks: %v", err)
			}
		}
		return nil
	case "expect":
		if err := want(2); err != nil {
			return err
		}
		if !slices.Contains(statuses(), f[1]) {
			return fmt.Errorf("%q is no status (%s)", f[1], strings.Join(statuses(), " "))
		}
		r.Expect = append(r.Expect, Expectation{f[0], f[1]})
		return nil
	case "says":
		if len(f) < 2 {
			return fmt.Errorf("says takes a rule and words")
		}
		r.Says = append(r.Says, Saying{f[0], strings.Join(f[1:], " ")})
		return nil
	case "apply":
		return r.setApply(f)
	case "login":
		if err := want(2); err != nil {
			return err
		}
		r.Login = Account{f[0], f[1]}
		return nil
	case "vantages":
		r.Vantages = f
		return nil
	case "outside", "outside2", "inside", "itself":
		return r.setStranger(key, f)
	}
	if err := want(1); err != nil {
		return err
	}
	return r.setWord(key, f[0])
}

func (r *Recipe) setApply(f []string) error {
	switch {
	case (len(f) == 2 || len(f) == 3) && f[0] == "unfixable":
		r.Unfixable = append(r.Unfixable, strings.Join(f[1:], " "))
	case len(f) > 1 && f[0] == "refused":
		r.Refused = strings.Join(f[1:], " ")
	default:
		return fmt.Errorf("apply: want unfixable RULE [MTA] or refused WORDS, not %q", strings.Join(f, " "))
	}
	return nil
}

func (r *Recipe) setWord(key, word string) error {
	switch key {
	case "host":
		r.Host = word
	case "role":
		r.Role = word
	case "sound":
		if word != "yes" {
			return fmt.Errorf("sound is yes or unsaid")
		}
		r.Sound = true
	case "mail":
		if word != "none" {
			return fmt.Errorf("mail is none or unsaid")
		}
		r.NoMail = true
	case "network":
		if !slices.Contains([]string{"asked", "silent", "unasked"}, word) {
			return fmt.Errorf("network is asked, silent or unsaid")
		}
		r.Network = word
	case "family":
		if word != "6" {
			return fmt.Errorf("family is 6 or unsaid")
		}
		r.IPv6 = true
	case "port":
		n, err := strconv.ParseUint(word, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("%q is no port", word)
		}
		r.Port = int(n)
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return nil
}

func (r *Recipe) setStranger(where string, f []string) error {
	o, ok := r.Meets[where]
	if !ok {
		o = anyStranger()
	}
	defer func() { r.Meets[where] = o }()
	if len(f) == 1 && f[0] == "dead" {
		o.Dead = true
		return nil
	}
	if len(f) != 2 {
		return fmt.Errorf("%s: want dead, or two words", where)
	}
	switch known := slices.ContainsFunc(relayForms(), func(m relayForm) bool { return m.Name == f[0] }); {
	case f[0] == "accepts":
		n, err := strconv.ParseUint(f[1], 10, 8)
		if err != nil || int(n) > len(relayForms()) {
			return fmt.Errorf("%s: %q is not a count of the %d forms", where, f[1], len(relayForms()))
		}
		o.Accepts = int(n)
	case known && (f[1] == "accepted" || f[1] == "refused"):
		o.Forms[f[0]] = f[1]
	case (f[0] == "vrfy" || f[0] == "expn") && (f[1] == "disclosed" || f[1] == "refused"):
		o.Asks[f[0]] = f[1]
	default:
		return fmt.Errorf("%s: cannot understand %q", where, strings.Join(f, " "))
	}
	return nil
}

// loadRecipes reads every recipe below a folder, sorted by name.
func loadRecipes(lab fs.FS) ([]*Recipe, error) {
	names, err := fs.Glob(lab, "recipes/*/*.txtar")
	if err != nil {
		return nil, err
	}
	var recipes []*Recipe
	for _, name := range names {
		data, err := fs.ReadFile(lab, name)
		if err != nil {
			return nil, err
		}
		r, err := parseRecipe(strings.TrimSuffix(strings.TrimPrefix(name, "recipes/"), ".txtar"), data)
		if err != nil {
			return nil, err
		}
		recipes = append(recipes, r)
	}
	return recipes, nil
}

// hostsFor lists the hosts that a recipe runs on; unless all, the one that the seed picks.
func (r *Recipe) hostsFor(c *Catalog, seed string, all bool) ([]string, error) {
	if release, _, _ := strings.Cut(r.Host, "-"); slices.Contains(c.gone, release) {
		return nil, nil
	}
	if r.Host != "" {
		_, err := c.Select([]string{r.Host})
		return []string{r.Host}, err
	}
	k, ok := c.Kinds[r.MTA]
	if !ok {
		return nil, fmt.Errorf("%s: the lab has no hosts of the kind %q", r.Name, r.MTA)
	}
	releases := r.Releases
	if len(releases) == 0 {
		releases = k.Releases
	}
	var hosts []string
	for _, release := range releases {
		if slices.Contains(c.gone, release) {
			continue
		}
		if !slices.Contains(k.Releases, release) {
			return nil, fmt.Errorf("%s: the lab has no %s-%s", r.Name, release, r.MTA)
		}
		hosts = append(hosts, release+"-"+r.MTA)
	}
	if all || len(hosts) == 0 {
		return hosts, nil
	}
	return hosts[pick(seed+r.Name, len(hosts)):][:1], nil
}

// pick is a number below n that a text decides, the same on every machine.
func pick(text string, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return int(h.Sum32() % uint32(n))
}

// sample keeps n recipes that the seed picks, in their order; n of 0 keeps all.
func sample(recipes []*Recipe, n int, seed string) []*Recipe {
	if n <= 0 || n >= len(recipes) {
		return recipes
	}
	ranked := slices.Clone(recipes)
	rank := func(r *Recipe) int { return pick(seed+"/"+r.Name, 1<<30) }
	slices.SortFunc(ranked, func(a, b *Recipe) int { return rank(a) - rank(b) })
	ranked = ranked[:n]
	slices.SortFunc(ranked, func(a, b *Recipe) int { return strings.Compare(a.Name, b.Name) })
	return ranked
}
