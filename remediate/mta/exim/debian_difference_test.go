package exim

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// debianConf is a random update-exim4.conf.conf, and whether the configuration is split.
func (g *generator) debianConf() (text string, split bool) {
	split = g.chance(50)
	nets := g.one("", "10.0.0.0/8", "0.0.0.0/0", "10.1.2.0/24 ; 2001:db8::/32", "198.51.100.0/24 : 10.0.0.0/8", "*", "192.168.0.0/16;!10.1.2.3;10.0.0.0/8", "net-iplsearch\\;/etc/exim4/nets")
	nets = strings.ReplaceAll(nets, "net-iplsearch\\;/etc/exim4/nets", "/etc/exim4/nets")
	set := func(name, value string) { text += name + "='" + value + "'\n" }
	set("dc_eximconfig_configtype", g.one("internet", "internet", "smarthost", "satellite", "local"))
	set("dc_other_hostnames", g.one("", "mx.example.edu", "mx.example.edu;own.example.edu", "*", "*.example.edu : example.net"))
	set("dc_local_interfaces", g.one("", "127.0.0.1 ; ::1", "10.9.9.1"))
	set("dc_readhost", g.one("", "mx.example.edu"))
	set("dc_relay_domains", g.one("", "relay.example.net", "*.example.org", "*", "example.org;relay.example.net", "!example.org : *.org"))
	set("dc_minimaldns", g.one("false", "false", "true"))
	set("dc_relay_nets", nets)
	set("dc_smarthost", g.one("", "10.1.1.1", "smart.example.net::587"))
	set("CFILEMODE", "644")
	set("dc_use_split_config", fmt.Sprint(split))
	set("dc_hide_mailname", g.one("", "true", "false"))
	set("dc_mailname_in_oh", "true")
	set("dc_localdelivery", g.one("mail_spool", "maildir_home"))
	return text, split
}

// TestDifferenceDebian makes configurations of Debian's own sources with random variables: what this program takes the generator to
// make is what it makes, every line of the live file has its source, and what the sources say is what Exim answers.
func TestDifferenceDebian(t *testing.T) {
	seed := int64(howMany("MTAHARDEN_DIFFERENCE_SEED", 1))
	configs := howMany("MTAHARDEN_EXIM_CONFIGS", 60) / 4
	script := facts.Script(Driver.Collect)
	for _, root := range shadowRoots(t) {
		s := startShadow(t, root)
		c := newTally()
		for i := range configs {
			g := newGenerator(seed*7919 + int64(i))
			conf, split := g.debianConf()
			files := map[string]string{debConf: conf, "/etc/mailname": "mx.example.edu\n", "/etc/exim4/nets": "10.0.0.0/8\n!10.1.2.3 # not this\n203.0.113.0/25\n"}
			local := debLocal
			if split {
				local = debSplit + "/main/000_localmacros"
			}
			if g.chance(50) {
				files[local] = g.one("CHECK_RCPT_VERIFY_SENDER = yes\n", "MAIN_RELAY_NETS = 192.168.0.0/16\n", "CHECK_RCPT_REMOTE_LOCALPARTS = ^x\n", "CHECK_RCPT_DOMAIN_DNSBLS = rhs.example.com\n", "CHECK_RCPT_GIVE_UNKNOWN_HOST_MESSAGE = yes\nCHECK_RCPT_IP_DNSBLS = bl.example.com\n")
			}
			if g.chance(30) {
				files["/etc/exim4/hubbed_hosts"] = "hub.example.org: 10.1.1.1\n*.example.net: 10.1.1.2\n"
			}
			if g.chance(30) {
				files["/etc/exim4/local_host_whitelist"] = "198.51.100.7\n"
			}
			where := fmt.Sprintf("%s Debian's %d", s.version, i)
			r, err := s.ask(order{Files: files, Generate: true, Collect: script})
			if err != nil {
				t.Fatal(err)
			}
			if r.Broken != "" {
				t.Logf("%s is not taken: %s\n%s", where, r.Broken, conf)
				continue
			}
			snap, err := facts.Parse(bytes.NewReader(r.Snapshot))
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range detect(snap) {
				before := c.differ
				if compareHost(t, where, snap, in, c) == 0 {
					t.Errorf("%s: asked nothing: %s", where, snap.Fact("exim:1:not-asked"))
				}
				compareGenerated(t, where, snap, in)
				if c.differ > before {
					t.Logf("%s:\n%s%v", where, conf, files[local])
				}
			}
		}
		c.report(t)
		if c.told < configs*10 {
			t.Errorf("%s: %d answers compared: too few", s.version, c.told)
		}
	}
}

// compareGenerated holds what this program makes of Debian's sources against the file that the generator made.
func compareGenerated(t *testing.T, where string, s *facts.Snapshot, in mta.Install) {
	t.Helper()
	cfg, err := read(s, in)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	d := cfg.Model.(*model).cfg.deb
	if d == nil {
		t.Errorf("%s: Debian's sources were not found", where)
		return
	}
	if len(d.differs) > 0 || len(d.lacking) > 0 {
		t.Errorf("%s: the generator makes %v, and not %v", where, d.differs[:min(len(d.differs), 3)], d.lacking[:min(len(d.lacking), 3)])
	}
}
