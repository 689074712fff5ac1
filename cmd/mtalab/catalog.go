package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/BurntSushi/toml"
)

// A Catalog is testdata/lab/lab.toml: which hosts the lab can have and what their images are made of.
type Catalog struct {
	Network  Network
	Vantages map[string]Vantage
	Base     Base
	Releases map[string]Release
	Kinds    map[string]Kind

	// Programs of this machine, each with the package that has it: for the lab, for its tests, for its benchmark, for comparing.
	Tools        map[string]string `toml:"tools"`
	TestTools    map[string]string `toml:"test_tools"`
	BenchTools   map[string]string `toml:"bench_tools"`
	CompareTools map[string]string `toml:"compare_tools"`

	gone []string // releases that were taken out of the plan
}

// forget takes a release out of the plan: its hosts are no more, and a recipe for it alone runs nowhere.
func (c *Catalog) forget(release string) {
	c.gone = append(c.gone, release)
	for name, k := range c.Kinds {
		k.Releases = slices.DeleteFunc(slices.Clone(k.Releases), func(r string) bool { return r == release })
		c.Kinds[name] = k
	}
}

// Network is the address plan. Numbers are the last octet of an address.
type Network struct {
	Bridge4    netip.Prefix `toml:"bridge4"`
	Bridge6    netip.Prefix `toml:"bridge6"`
	Domain     string       `toml:"domain"`
	Controller int          `toml:"controller"`
	Sink       int          `toml:"sink"`
	Resolver   int          `toml:"resolver"`
	Inside     int          `toml:"inside"`
	Router     int          `toml:"router"`
	Stranger   int          `toml:"stranger"` // a vantage point on its own network
	Gateway    int          `toml:"gateway"`  // the router there
}

// A Vantage is a place where strangers stand: a network of its own, routed to the hosts, whose addresses have names in Domain.
type Vantage struct {
	Network4 netip.Prefix `toml:"network4"`
	Network6 netip.Prefix `toml:"network6"`
	Domain   string       `toml:"domain"`
}

// outsides are the names of the vantage points outside, sorted.
func (c *Catalog) outsides() []string { return sortedKeys(c.Vantages) }

// vantageNames are all of them: the bridge's own first.
func (c *Catalog) vantageNames() []string { return append([]string{"inside"}, c.outsides()...) }

// Base is what every image of a release shares.
type Base struct {
	Script   string
	Packages []string
}

// A Release is one Debian release.
type Release struct {
	Suite  string
	Number int
}

// A Kind is a kind of host; a host is a kind on a release.
type Kind struct {
	Number         int
	MTA            string   // empty: no MTA
	Releases       []string // where this kind is offered
	From           string   // kind whose image this one is laid over
	Packages       []string
	Script         string // set-up, run in the image when it is built
	Plant          string // what plant runs to regenerate and restart
	Init           string // systemd unless said
	User           string // login; root unless said
	Become         string
	BecomePassword string `toml:"become_password"`
}

// A Host is one host of the lab, as planned: whether it runs is another matter.
type Host struct {
	Name    string
	Release string
	Kind    string
	Number  int
	Addr    netip.Addr
	Addr6   netip.Addr
}

// loadCatalog reads lab.toml from the lab's folder. An unknown key is an error, and so are two hosts of one address.
func loadCatalog(lab fs.FS) (*Catalog, error) {
	var c Catalog
	meta, err := toml.DecodeFS(lab, "lab.toml", &c)
	if err != nil {
		return nil, fmt.Errorf("cannot read lab.toml: %v", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("cannot read lab.toml: unknown key %s", unknown[0])
	}
	return &c, c.check()
}

func (c *Catalog) check() error {
	taken := map[int]string{
		c.Network.Controller: "controller", c.Network.Sink: "sink", c.Network.Resolver: "resolver",
		c.Network.Inside: "inside", c.Network.Router: "router",
	}
	for _, h := range c.Hosts() {
		if other, ok := taken[h.Number]; ok {
			return fmt.Errorf("cannot use lab.toml: %s and %s have the same address", h.Name, other)
		}
		if h.Number < 1 || h.Number > 253 {
			return fmt.Errorf("cannot use lab.toml: %s has no address in %s", h.Name, c.Network.Bridge4)
		}
		taken[h.Number] = h.Name
	}
	for _, name := range c.outsides() {
		if v := c.Vantages[name]; !v.Network4.Addr().Is4() || !v.Network6.Addr().Is6() || v.Domain == "" {
			return fmt.Errorf("cannot use lab.toml: the vantage point %s lacks network4, network6 or domain", name)
		}
	}
	for name, k := range c.Kinds {
		if _, ok := c.Kinds[k.From]; k.From != "" && (!ok || c.Kinds[k.From].From != "") {
			return fmt.Errorf("cannot use lab.toml: kind %s is laid over %q, which is no kind of its own", name, k.From)
		}
		for _, r := range k.Releases {
			if _, ok := c.Releases[r]; !ok {
				return fmt.Errorf("cannot use lab.toml: kind %s names the release %q, which is not there", name, r)
			}
		}
	}
	return nil
}

// Hosts lists every host, sorted by name.
func (c *Catalog) Hosts() []Host {
	var hosts []Host
	for kind, k := range c.Kinds {
		for _, release := range k.Releases {
			hosts = append(hosts, c.hostOf(release, kind))
		}
	}
	sort.Slice(hosts, func(i, j int) bool { return hosts[i].Name < hosts[j].Name })
	return hosts
}

// Select returns the named hosts; no name means all of them.
func (c *Catalog) Select(names []string) ([]Host, error) {
	all := c.Hosts()
	if len(names) == 0 {
		return all, nil
	}
	var hosts []Host
	for _, name := range names {
		i := slices.IndexFunc(all, func(h Host) bool { return h.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("no host is named %q: mtalab list shows them", name)
		}
		if !slices.ContainsFunc(hosts, func(h Host) bool { return h.Name == name }) {
			hosts = append(hosts, all[i])
		}
	}
	return hosts, nil
}

// layers lists the kinds whose images lie under and make up the host's own, lowest first.
func (c *Catalog) layers(h Host) []string {
	if from := c.Kinds[h.Kind].From; from != "" {
		return []string{from, h.Kind}
	}
	return []string{h.Kind}
}

// hostOf is the host of a kind on a release.
func (c *Catalog) hostOf(release, kind string) Host {
	n := c.Releases[release].Number + c.Kinds[kind].Number
	return Host{
		Name: release + "-" + kind, Release: release, Kind: kind, Number: n,
		Addr: nth(c.Network.Bridge4, n), Addr6: nth(c.Network.Bridge6, n),
	}
}

// nth is address number n of a network.
func nth(p netip.Prefix, n int) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	b[len(b)-1] = byte(n)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// cacheKey names an image by everything it is made from, so that a changed recipe is a new image.
func cacheKey(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// baseKey is the cache key of a release's base image.
func (c *Catalog) baseKey(lab fs.FS, release string) (string, error) {
	script, err := fs.ReadFile(lab, "image/"+c.Base.Script)
	if err != nil {
		return "", err
	}
	return cacheKey("base", c.Releases[release].Suite, strings.Join(c.Base.Packages, " "), string(script)), nil
}

// layerKey is the cache key of the layer that a kind adds for a host. The host's name is in it: it is baked in.
func (c *Catalog) layerKey(lab fs.FS, under string, h Host, kind string) (string, error) {
	k := c.Kinds[kind]
	script, err := fs.ReadFile(lab, "image/"+k.Script)
	if err != nil {
		return "", err
	}
	return cacheKey("layer", under, c.layerName(h, kind), c.Network.Domain, strings.Join(k.Packages, " "), k.BecomePassword, string(script)), nil
}

// layerName is the host name baked into a layer: a layer that others are laid over has that of its own host.
func (c *Catalog) layerName(h Host, kind string) string { return h.Release + "-" + kind }
