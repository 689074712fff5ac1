package inventory

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const ansibleText = `# a fleet
lone.example.com ansible_host=192.0.2.9

[mx]
mx[01:03].example.com ansible_user=ops ansible_become=yes
"relay.example.com:2222" note="two words" # the relay
mx01.example.com  ; not a comment in this place
`

const ansibleGroups = `
[mx:vars]
ansible_ssh_private_key_file = ~/.ssh/mx
site=seoul
site=busan
ansible_ssh_pass=hunter2
db_password: x=hunter2
api_token=hunter2
tmpl="{{ other }}"
ansible_python_interpreter=/usr/bin/python3
[old]
legacy ansible_become_method=su
[fleet:children]
mx
old # both
[all:vars]
ansible_port=022
`

func TestFromAnsible(t *testing.T) {
	text, notes, err := FromAnsible("hosts", strings.Replace(ansibleText, "mx01.example.com  ; not a comment in this place\n", "", 1)+ansibleGroups)
	if err != nil {
		t.Fatal(err)
	}
	want := `# made from the Ansible inventory "hosts"

[defaults]
port = 22

[groups."mx"]
hosts = [
  "mx[01:03].example.com",
  "relay.example.com",
]
identity = "~/.ssh/mx"

[groups."mx".vars]
site = "busan"

[groups."old"]
hosts = [
  "legacy",
]

[groups."fleet"]
children = [
  "mx",
  "old",
]

[hosts."lone.example.com"]
address = "192.0.2.9"

[hosts."mx[01:03].example.com"]
user = "ops"
become = "sudo"

[hosts."relay.example.com"]
port = 2222

[hosts."relay.example.com".vars]
note = "two words"
`
	if d := cmp.Diff(want, text); d != "" {
		t.Errorf("want - got +\n%s", d)
	}
	wantNotes := []string{
		"hosts:12: ansible_ssh_pass is not taken: put the password into a file of mode 0600 and name it in password_file or become_password_file",
		"hosts:13: db_password: x is not taken: put the password into a file of mode 0600 and name it in password_file or become_password_file",
		"hosts:14: api_token is not taken: put the password into a file of mode 0600 and name it in password_file or become_password_file",
		"hosts:15: tmpl is not taken: it is a template",
		"hosts:16: ansible_python_interpreter is not taken",
		"hosts:18: ansible_become_method = su is not taken: write become = … where root is reached otherwise than by sudo",
	}
	if d := cmp.Diff(wantNotes, notes); d != "" {
		t.Errorf("notes: want - got +\n%s", d)
	}
	if strings.Contains(text+strings.Join(notes, ""), "hunter2") {
		t.Error("a password got through")
	}
	inv, err := Parse("hosts.toml", text, "/home/me")
	if err != nil || len(inv.Hosts) != 6 {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestFromAnsibleRefuses(t *testing.T) {
	for text, want := range map[string]string{
		ansibleText:          `hosts:7:1: ";" is not NAME=VALUE`,
		"[mx\nh\n":           `hosts:1:1: "[mx" is not a section (write it as [group], [group:children] or [group:vars])`,
		"h a='b\n":           `hosts:1:1: a ' without its end`,
		"h\nh[1:\n":          `hosts:2:1: "h[1:" has a [ without a ]`,
		"[mx:vars]\nx\n":     `hosts:2:1: "x" is not NAME=VALUE`,
		"h ansible_port=ssh": `hosts:1:1: ansible_port: "ssh" is not a port`,
	} {
		if _, _, err := FromAnsible("hosts", text); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// FuzzFromAnsible: no text makes a panic, and what comes of it is always TOML.
func FuzzFromAnsible(f *testing.F) {
	f.Add(ansibleText + ansibleGroups)
	f.Add("0:0\n2001:db8::1\n[2001:db8::1]:22\n")
	f.Add("[a:children]\nb\n[b]\n\"x y\" a=\"\\\\\"\n[]\n[")
	f.Fuzz(func(t *testing.T, ini string) {
		text, _, err := FromAnsible("hosts", ini)
		if err != nil {
			return
		}
		if _, err := decode(newSource("x", text)); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}
