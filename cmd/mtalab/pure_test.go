package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"
)

func testCatalog(t *testing.T) *Catalog {
	t.Helper()
	c, err := loadCatalog(os.DirFS("../../testdata/lab"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCatalog(t *testing.T) {
	c := testCatalog(t)
	var names []string
	for _, h := range c.Hosts() {
		names = append(names, h.Name)
		if !c.Network.Bridge4.Contains(h.Addr) || !c.Network.Bridge6.Contains(h.Addr6) {
			t.Errorf("%s: %s and %s are not on the bridge", h.Name, h.Addr, h.Addr6)
		}
	}
	want := "deb11-exim deb11-login deb11-postfix deb11-sendmail deb12-cfonly-sendmail deb12-exim deb12-login deb12-none deb12-openrc-postfix deb12-opensmtpd deb12-postfix deb12-rhel-sendmail " +
		"deb12-sendmail deb12-sudo-postfix deb12-sysvinit-postfix deb13-exim deb13-login deb13-postfix deb13-sendmail"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("hosts\n got %s\nwant %s", got, want)
	}
	for _, doc := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"} {
		if netip.MustParsePrefix(doc).Overlaps(c.Network.Bridge4) {
			t.Errorf("the bridge %s is in %s, which recipes use", c.Network.Bridge4, doc)
		}
	}
}

func TestCatalogMistakes(t *testing.T) {
	text, err := os.ReadFile("../../testdata/lab/lab.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, old, new, want string }{
		{"unknown key", "[base]", "[base]\ncolour = 1", "unknown key"},
		{"one address twice", "[kinds.sendmail]\nnumber = 2", "[kinds.sendmail]\nnumber = 1", "same address"},
		{"an address of the plan's", "[kinds.none]\nnumber = 4", "[kinds.none]\nnumber = 214", "same address"},
		{"a release that is not there", `releases = ["deb12"]`, `releases = ["deb9"]`, "deb9"},
		{"a vantage point without a network", "network4 = \"203.0.113.0/24\"", "", "outside2 lacks"},
		{"laid over nothing", `from = "postfix"`, `from = "qmail"`, "qmail"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if !strings.Contains(string(text), test.old) {
				t.Fatalf("lab.toml has no %q", test.old)
			}
			_, err := loadCatalog(fstest.MapFS{"lab.toml": {Data: []byte(strings.Replace(string(text), test.old, test.new, 1))}})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestSelect(t *testing.T) {
	c := testCatalog(t)
	hosts, err := c.Select([]string{"deb12-exim", "deb11-postfix", "deb12-exim"})
	if err != nil || len(hosts) != 2 || hosts[0].Name != "deb12-exim" {
		t.Errorf("got %v, %v", hosts, err)
	}
	if _, err := c.Select([]string{"deb12-qmail"}); err == nil {
		t.Error("a host that is not there was selected")
	}
}

// A changed recipe is a new image; the parts of a key do not run into each other.
func TestCacheKeys(t *testing.T) {
	lab := os.DirFS("../../testdata/lab")
	c := testCatalog(t)
	h := c.hostOf("deb12", "postfix")
	before, err := c.layerKey(lab, "under", h, "postfix")
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]func(k *Kind){
		"packages": func(k *Kind) { k.Packages = append([]string{"more"}, k.Packages...) },
		"script":   func(k *Kind) { k.Script = "exim.sh" },
		"password": func(k *Kind) { k.BecomePassword = "x" },
	}
	for name, change := range changes {
		c := testCatalog(t)
		k := c.Kinds["postfix"]
		change(&k)
		c.Kinds["postfix"] = k
		if after, err := c.layerKey(lab, "under", h, "postfix"); err != nil || after == before {
			t.Errorf("%s changed, the key did not (%v)", name, err)
		}
	}
	if after, _ := c.layerKey(lab, "other", h, "postfix"); after == before {
		t.Error("the image under it changed, the key did not")
	}
	a, _ := c.baseKey(lab, "deb11")
	b, _ := c.baseKey(lab, "deb12")
	if a == b {
		t.Error("two releases share a base image")
	}
	if cacheKey("ab", "c") == cacheKey("a", "bc") {
		t.Error("parts run into each other")
	}
}

func TestMirror(t *testing.T) {
	codenames := []string{"bullseye", "bookworm", "trixie"}
	for _, test := range []struct {
		name  string
		files fstest.MapFS
		want  mirror
		fails bool
	}{
		{"deb822", fstest.MapFS{
			"etc/apt/sources.list.d/a.list": {Data: []byte("deb http://apt.example.net/x tool-bookworm main\n")},
			"etc/apt/sources.list.d/debian.sources": {Data: []byte("# c\nTypes: deb deb-src\nURIs: http://mirror.example.org/debian\nSuites: bookworm\n bookworm-updates\n" +
				"Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://mirror.example.org/sec\nSuites: bookworm-security\nComponents: main\n")},
		}, mirror{"http://mirror.example.org/debian", "http://mirror.example.org/sec"}, false},
		{"one line", fstest.MapFS{
			"etc/apt/sources.list": {Data: []byte("# deb http://no.example.org/ trixie main\ndeb-src http://src.example.org/ trixie main\n" +
				"deb [arch=amd64 signed-by=/k.gpg] http://one.example.org/debian trixie main contrib # c\n" +
				"deb http://one.example.org/sec bullseye/updates main\n")},
		}, mirror{"http://one.example.org/debian", "http://one.example.org/sec"}, false},
		{"switched off", fstest.MapFS{
			"etc/apt/sources.list.d/debian.sources": {Data: []byte("Enabled: no\nTypes: deb\nURIs: http://x.example.org/\nSuites: trixie\nComponents: main\n")},
		}, mirror{}, true},
		{"another project's archive", fstest.MapFS{
			"etc/apt/sources.list.d/z.sources": {Data: []byte("Types: deb\nURIs: http://x.example.org/\nSuites: nodistro\nComponents: main\n")},
		}, mirror{}, true},
		{"nothing", fstest.MapFS{}, mirror{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			all, err := aptSources(test.files)
			if err != nil {
				t.Fatal(err)
			}
			got, err := debianMirror(all, codenames)
			if (err != nil) != test.fails {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzSources(f *testing.F) {
	f.Add("deb [signed-by=/k] http://h/ trixie main\n")
	f.Add("Types: deb\nURIs: http://h/\nSuites: trixie\n trixie-updates\nComponents: main\n\nTypes: deb\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range append(parseList(text), parseDeb822(text)...) {
			if s.URI == "" || strings.ContainsAny(s.URI, " \t\n") {
				t.Errorf("the address %q", s.URI)
			}
		}
		if m, err := debianMirror(parseDeb822(text), []string{"trixie"}); err == nil && m.Main == "" {
			t.Error("a mirror without an address")
		}
	})
}

func TestCgroupMounts(t *testing.T) {
	hybrid := "30 29 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" +
		"31 29 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n32 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	want := cgroups{unified: "/sys/fs/cgroup/unified", systemd: "/sys/fs/cgroup/systemd", memory: "/sys/fs/cgroup/memory"}
	if got := parseCgroups(hybrid); got != want {
		t.Errorf("got %+v", got)
	}
	if got := parseCgroups("30 29 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"); got != (cgroups{unified: "/sys/fs/cgroup"}) {
		t.Errorf("got %+v", got)
	}
}

func TestZone(t *testing.T) {
	l := &Lab{Catalog: testCatalog(t)}
	z := l.zone()
	for _, test := range []struct {
		name   string
		qtype  uint16
		want   string
		exists bool
	}{
		{"deb12-postfix.lab.test.", dns.TypeA, "10.87.0.41", true},
		{"DEB12-postfix.lab.test.", dns.TypeAAAA, "fd87:6d74:616c:6162::29", true},
		{"example.org.", dns.TypeMX, "10 sink.lab.test.", true},
		{"anything.example.net.", dns.TypeA, "10.87.0.2", true},
		{"example.com.", dns.TypeTXT, "", true},
		{"client7.example.net.", dns.TypeA, "198.51.100.7", true},
		{"client7.example.net.", dns.TypeAAAA, "2001:db8:51::7", true},
		{"client7.example.com.", dns.TypeA, "203.0.113.7", true},
		{"7.113.0.203.in-addr.arpa.", dns.TypePTR, "client7.example.com.", true},
		{"9.113.0.203.in-addr.arpa.", dns.TypePTR, "client9.example.com.", true},
		{"7.100.51.198.in-addr.arpa.", dns.TypePTR, "client7.example.net.", true},
		{"9.100.51.198.in-addr.arpa.", dns.TypePTR, "client9.example.net.", true},
		{"41.0.87.10.in-addr.arpa.", dns.TypePTR, "deb12-postfix.lab.test.", true},
		{"1.2.0.192.in-addr.arpa.", dns.TypePTR, "", false},
		{"nobody.lab.test.", dns.TypeA, "", false},
		{"mail.invalid.", dns.TypeMX, "", false},
		{"notexample.com.", dns.TypeA, "", false},
	} {
		records, exists := z.answer(dns.Question{Name: test.name, Qtype: test.qtype, Qclass: dns.ClassINET})
		got := ""
		for _, r := range records {
			got = strings.TrimPrefix(r.String(), r.Header().String())
		}
		if got != test.want || exists != test.exists {
			t.Errorf("%s %s: got %q, exists %t; want %q, %t", test.name, dns.TypeToString[test.qtype], got, exists, test.want, test.exists)
		}
	}
}

func TestInventoryStanzas(t *testing.T) {
	l := &Lab{Catalog: testCatalog(t), State: "/state"}
	text := l.inventoryOf([]Host{l.hostOf("deb12", "postfix"), l.hostOf("deb12", "sudo-postfix")}, []string{"outside", "deb12-postfix"}, func(Host) string { return "role = \"mx\"\n" })
	want := `vantages = ["outside", "deb12-postfix"]

[defaults]
user = "root"
identity = "/state/keys/id_ed25519"
known_hosts = "/state/keys/known_hosts"

[groups.lab]
hosts = ["deb12-postfix", "deb12-sudo-postfix"]

[hosts."deb12-postfix"]
address = "10.87.0.41"
role = "mx"

[hosts."deb12-sudo-postfix"]
address = "10.87.0.46"
user = "mailadm"
become = "sudo"
become_password_file = "/state/keys/become.deb12-sudo-postfix"
role = "mx"

[hosts."outside"]
address = "198.51.100.7"
`
	if diff := cmp.Diff(want, text); diff != "" {
		t.Error(diff)
	}
}

func TestLastAddr(t *testing.T) {
	for command, want := range map[string]string{
		"/bin/sh -s 192.0.2.1": "192.0.2.1", "/bin/sh -s '2001:db8::1'": "2001:db8::1", "": "invalid IP", "id": "invalid IP", "cat 192.0.2.1 file": "invalid IP",
	} {
		if got := lastAddr(command).String(); got != want {
			t.Errorf("%q: %s, not %s", command, got, want)
		}
	}
}

// Where the MTA goes through certificates at each start, the bundle and the host's own stay; elsewhere nothing is touched.
func TestFewerCertificates(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "etc/ssl/certs")
	if err := errors.Join(fewerCertificates(root), os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "ca-certificates.crt"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "one.pem"), nil, 0o644), os.Symlink("one.pem", filepath.Join(dir, "002c0b4f.0"))); err != nil {
		t.Fatal(err)
	}
	count := func(want int) {
		t.Helper()
		if err := fewerCertificates(root); err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != want {
			t.Errorf("%d are left, want %d (%v)", len(entries), want, err)
		}
	}
	count(3)
	script := filepath.Join(root, "usr/lib/postfix/configure-instance.sh")
	if err := os.MkdirAll(filepath.Dir(script), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		text string
		want int
	}{{"cp /etc/ssl/certs/ca-certificates.crt .\n", 3}, {"c_rehash \"$dest_dir\"\n", 2}} {
		if err := os.WriteFile(script, []byte(test.text), 0o755); err != nil {
			t.Fatal(err)
		}
		count(test.want)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := fewerCertificates(root); err != nil {
		t.Error(err)
	}
}
