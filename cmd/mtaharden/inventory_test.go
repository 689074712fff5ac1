package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mtaharden/inventory"
	"mtaharden/remediate"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/report"
)

const listText = `vantages = ["probe"]
[defaults]
user = "root"
relay_networks = []
[groups.mx]
hosts = ["mx[1:2]"]
role = "mx"
window = "22:00-02:00 UTC"
[hosts.mx1]
address = "192.0.2.1"
port = 2222
jump = ["bastion"]
vars.note = "한국어"
[hosts.probe]
address = "198.51.100.2"
[[waivers]]
rule = "vrfy"
hosts = "mx"
reason = "ticket 1"
expires = 2026-11-20
[[waivers]]
rule = "expn"
hosts = "mx2"
reason = "ticket 2"
expires = 2026-11-21
`

func TestInventoryList(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	inv, err := inventory.Parse("inv.toml", listText, "/home/me")
	if err != nil {
		t.Fatal(err)
	}
	want := map[bool]string{
		false: `HOST  ADDRESS         USER  BECOME  VIA      GROUPS  ROLE  PLAYBOOKS  RELAY NETWORKS  WINDOW
mx1   192.0.2.1:2222  root  -       bastion  mx      mx    baseline   none            22:00-02:00 UTC
mx2   mx2:22          root  -       -        mx      mx    baseline   none            22:00-02:00 UTC
mx1: vrfy waiver EXPIRED on 2026-11-20: ticket 1  inv.toml:16
mx2: vrfy waiver EXPIRED on 2026-11-20: ticket 1  inv.toml:16
mx2: expn waived until 2026-11-21: ticket 2  inv.toml:21
not audited, passed through only: probe (root@198.51.100.2:22)
vantages: probe
2 hosts from inv.toml
`,
		true: `mx1  inv.toml:6
  reached at 192.0.2.1:2222 as root
  in the groups mx
  address         192.0.2.1        host mx1  inv.toml:10
  port            2222             host mx1  inv.toml:11
  user            root             defaults  inv.toml:3
  jump            bastion          host mx1  inv.toml:12
  relay_networks  (none)           defaults  inv.toml:4
  role            mx               group mx  inv.toml:7
  window          22:00-02:00 UTC  group mx  inv.toml:8
  vars.note       한국어           host mx1  inv.toml:13
  identity        /home/me/.ssh/id_ed25519 /home/me/.ssh/id_ecdsa /home/me/.ssh/id_rsa  default
  known_hosts     /home/me/.ssh/known_hosts /home/me/.ssh/known_hosts2 /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2  default
  vrfy waiver EXPIRED on 2026-11-20: ticket 1  inv.toml:16

mx2  inv.toml:6
  reached at mx2:22 as root
  in the groups mx
  user            root             defaults  inv.toml:3
  relay_networks  (none)           defaults  inv.toml:4
  role            mx               group mx  inv.toml:7
  window          22:00-02:00 UTC  group mx  inv.toml:8
  port            22               default
  identity        /home/me/.ssh/id_ed25519 /home/me/.ssh/id_ecdsa /home/me/.ssh/id_rsa  default
  known_hosts     /home/me/.ssh/known_hosts /home/me/.ssh/known_hosts2 /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2  default
  vrfy waiver EXPIRED on 2026-11-20: ticket 1  inv.toml:16
  expn waived until 2026-11-21: ticket 2  inv.toml:21

not audited, passed through only: probe (root@198.51.100.2:22)
vantages: probe
2 hosts from inv.toml
`,
	}
	for origins, text := range want {
		var b bytes.Buffer
		if err := lister(origins).listInventory(t.Context(), &b, inv, inv.Hosts, time.Date(2026, 11, 21, 12, 0, 0, 0, time.Local)); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(text, b.String()); d != "" {
			t.Errorf("origins %v: want - got +\n%s", origins, d)
		}
	}
}

func lister(origins bool) *dialer {
	r := &reach{format: "text"}
	if origins {
		r.verbose = 1
	}
	return &dialer{reach: r, trace: func(string) func(string) { return nil }}
}

func TestInventoryListCommand(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.toml"), filepath.Join(dir, "bad.toml")
	ini, twice := filepath.Join(dir, "hosts"), filepath.Join(dir, "twice")
	for name, text := range map[string]string{ini: "[mx]\na ansible_ssh_pass=x\n", twice: "[mx]\na\na[1:2]\na1\n", good: listText, bad: "[defaults]\nprot = 22\n[groups.mx]\nhosts = ['a', 'a']\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr []string
	}{
		{"json", []string{"inventory", "list", "-i", good, "--format", "json", "--limit", "mx1"}, 0, `"endpoint": "192.0.2.1:2222"`, nil},
		{"said to be none", []string{"inventory", "list", "-i", good, "--format", "json"}, 0, `"relay_networks": []`, nil},
		{"mistakes", []string{"inventory", "list", "-i", bad}, 64, "", []string{`bad.toml:2:1: unknown key "prot" in defaults: did you mean "port"?`, `bad.toml:4:15: host "a" is twice`}},
		{"unknown host", []string{"inventory", "list", "-i", good, "--limit", "mx11"}, 64, "", []string{`did you mean "mx1"?`}},
		{"no inventory", []string{"inventory", "list"}, 64, "", []string{"needs an inventory"}},
		{"format", []string{"inventory", "list", "-i", good, "--format", "csv"}, 64, "", []string{`"csv" is not one of`}},
		{"unknown word", []string{"inventory", "lits"}, 64, "", []string{"list"}},
		{"import", []string{"inventory", "import", ini}, 0, `[groups."mx"]`, []string{"hosts:2: ansible_ssh_pass is not taken"}},
		{"import needs a hand", []string{"inventory", "import", twice, "-o", filepath.Join(dir, "out.toml")}, 2, "", []string{`host "a1" is twice in group "mx"`}},
		{"import nothing", []string{"inventory", "import", filepath.Join(dir, "none")}, 64, "", []string{"cannot import"}},
		{"no file", []string{"inventory", "check", "-i", filepath.Join(dir, "none")}, 64, "", []string{"cannot read inventory"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(tt.args, strings.NewReader(""), &stdout, &stderr); code != tt.code {
				t.Errorf("exit %d, want %d\n%s", code, tt.code, stderr.String())
			}
			if !strings.Contains(stdout.String(), tt.stdout) || tt.code != 0 && stdout.Len() > 0 {
				t.Errorf("stdout\n%s", stdout.String())
			}
			for _, want := range tt.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
				}
			}
		})
	}
}

func TestInventoryCheck(t *testing.T) {
	kind := func(k error) error {
		return &remote.Error{Op: "log in to", Host: "h", Kind: k, Err: errors.New("cause \x1b[31m")}
	}
	in := remote.Transport{Name: "ssh", HostKey: "ssh-ed25519 SHA256:x"}
	sudo := remote.Transport{Name: "ssh", Become: "sudo"}
	seen := func(root bool) *facts.Snapshot { return &facts.Snapshot{Root: root, Complete: true} }
	driver := func(installs ...mta.Install) []*mta.Driver {
		return []*mta.Driver{{Name: "m", Detect: func(*facts.Snapshot) []mta.Install { return installs }}}
	}
	one := driver(mta.Install{MTA: "m", Version: "1.2", Active: true}, mta.Install{MTA: "m", Instance: "out"})
	tests := []struct {
		name    string
		outcome remediate.Outcome
		drivers []*mta.Driver
		row     string // reached key login privilege mta
		state   report.State
	}{
		{"fine", remediate.Outcome{Transport: in, Snapshot: seen(true)}, one, "yes yes yes root m 1.2, m (out) not running", report.OK},
		{"no mta", remediate.Outcome{Transport: in, Snapshot: seen(true)}, nil, "yes yes yes root none", report.OK},
		{"plain login", remediate.Outcome{Transport: in, Snapshot: seen(false)}, nil, "yes yes yes not asked for none", report.OK},
		{"sudo gave no root", remediate.Outcome{Transport: sudo, Snapshot: seen(false)}, nil, "yes yes yes no none", report.NoPrivilege},
		{"no sudo", remediate.Outcome{Transport: in, Err: kind(remote.ErrPrivilege)}, one, "yes yes yes no -", report.NoPrivilege},
		{"cut", remediate.Outcome{Transport: in, Err: kind(remote.ErrCut)}, one, "yes yes yes - -", report.Incomplete},
		{"lost", remediate.Outcome{Transport: in, Err: kind(remote.ErrUnreachable)}, one, "yes yes yes - -", report.Incomplete},
		{"no end", remediate.Outcome{Transport: in, Snapshot: &facts.Snapshot{Root: true}, Err: remediate.ErrIncomplete}, one, "yes yes yes - -", report.Incomplete},
		{"dead", remediate.Outcome{Err: kind(remote.ErrUnreachable)}, one, "no - - - -", report.Unreachable},
		{"key", remediate.Outcome{Err: kind(remote.ErrHostKey)}, one, "yes no - - -", report.HostKey},
		{"login", remediate.Outcome{Err: kind(remote.ErrAuth)}, one, "yes yes no - -", report.AuthFailed},
		{"other", remediate.Outcome{Err: errors.New("odd")}, one, "- - - - -", report.Failed},
	}
	var found []checked
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newChecked(tt.outcome, tt.drivers)
			found = append(found, c)
			if c.State != tt.state || (c.State != report.OK) != (c.Error != "") {
				t.Errorf("%+v, want state %s", c, tt.state)
			}
			if row := strings.Join([]string{c.Reached, c.Key, c.Login, c.Privilege, c.mta()}, " "); row != tt.row {
				t.Errorf("%s, want %s", row, tt.row)
			}
		})
	}
	var b bytes.Buffer
	if err := writeChecks(&b, found); err != nil || strings.Contains(b.String(), "\x1b") || strings.Count(b.String(), "hint: ") != 3 || !strings.Contains(b.String(), "3 of 12 hosts are fine") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestCheckExit(t *testing.T) {
	for _, tt := range []struct {
		states []report.State
		want   int
	}{
		{nil, 0},
		{[]report.State{report.OK, report.OK}, 0},
		{[]report.State{report.OK, report.Incomplete}, 3},
		{[]report.State{report.Unreachable, report.Incomplete}, 4},
		{[]report.State{report.HostKey}, 4},
		{[]report.State{report.AuthFailed}, 4},
		{[]report.State{report.NoPrivilege, report.OK}, 4},
		{[]report.State{report.Failed}, 3}, // as in an audit: 4 is for a host that was not entered
	} {
		var found []checked
		for _, s := range tt.states {
			found = append(found, checked{State: s})
		}
		if got := checkExit(found); got != tt.want {
			t.Errorf("%v: exit %d, want %d", tt.states, got, tt.want)
		}
	}
}
