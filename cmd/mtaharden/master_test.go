package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"mtaharden/inventory"
	"mtaharden/remediate/remote/remotetest"
)

// TestSocketOfAnother: the ControlMaster of ssh_config is used where its socket can only be of the machine that the inventory means, reached as it says.
func TestSocketOfAnother(t *testing.T) {
	const full = "/s/%r@%h:%p"
	for _, c := range []struct {
		name, config, inv string
		path              string // "": it is not used
	}{
		{"ssh_config says all", "ControlPath " + full + "\nHost mx1\n HostName 192.0.2.1\n User ops\n", "", "/s/ops@192.0.2.1:22"},
		{"ssh_config's own way", "ControlPath " + full + "\nHost mx1\n HostName 10.0.0.5\n User ops\n ProxyJump front\n", "", "/s/ops@10.0.0.5:22"},
		{"a private address behind the inventory's jump", "ControlPath " + full + "\nUser ops\n", "address = \"10.0.0.5\"\njump = \"front\"\n", ""},
		{"the same, hashed", "ControlPath /s/%C\nUser ops\n", "address = \"10.0.0.5\"\njump = \"front\"\n", ""},
		{"another jump than ssh_config's", "ControlPath " + full + "\nUser ops\nHost mx1\n ProxyJump back\n", "address = \"10.0.0.5\"\njump = \"front\"\n", ""},
		{"the jump of both", "ControlPath " + full + "\nUser ops\nHost mx1\n ProxyJump joe@front:33\n", "address = \"10.0.0.5\"\njump = \"joe@front:33\"\n", "/s/ops@10.0.0.5:22"},
		{"no jump, says the inventory", "ControlPath " + full + "\nUser ops\nHost mx1\n ProxyJump back\n", "jump = []\n", ""},
		{"no jump, say both", "ControlPath " + full + "\nUser ops\n", "jump = []\n", "/s/ops@mx1:22"},
		{"no jump, and a command", "ControlPath " + full + "\nUser ops\nHost mx1\n ProxyCommand nc %h %p\n", "jump = []\n", ""},
		{"a jump host that the inventory moves", "ControlPath " + full + "\nUser ops\nHost mx1\n ProxyJump front\n", "[hosts.front]\naddress = \"192.0.2.9\"\n", ""},
		{"a jump host that the inventory gives a user", "ControlPath " + full + "\nUser ops\nHost mx1\n ProxyJump front\n", "[hosts.front]\nuser = \"joe\"\n", "/s/ops@mx1:22"},
		{"the inventory's address, user and port", "ControlPath " + full + "\n", "address = \"192.0.2.7\"\nuser = \"ops\"\nport = 2201\n", "/s/ops@192.0.2.7:2201"},
		{"a path without the port", "ControlPath /s/%r@%h\nUser ops\n", "address = \"192.0.2.7\"\nport = 2201\n", ""},
		{"a path without the address", "ControlPath /s/%r@%n:%p\nUser ops\n", "address = \"192.0.2.7\"\n", ""},
		{"a path without the user", "ControlPath /s/%h:%p\nUser joe\n", "user = \"ops\"\n", ""},
		{"a path without the user, who is the same", "ControlPath /s/%h:%p\nUser ops\n", "user = \"ops\"\n", "/s/mx1:22"},
		{"none", "ControlPath none\n", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			config := filepath.Join(dir, "config")
			if err := os.WriteFile(config, []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			inv, err := inventory.Parse("inv.toml", "[groups.mx]\nhosts = [\"mx1\"]\n[hosts.mx1]\n"+c.inv, "/home/me")
			if err != nil {
				t.Fatal(err)
			}
			remotetest.Need(t, "ssh", "openssh-client")
			for _, without := range []bool{false, true} {
				if without {
					t.Setenv("PATH", "/nothing")
				}
				command := &cobra.Command{}
				ctx, end := withEnd(t.Context())
				defer end()
				command.SetContext(ctx)
				r := &reach{batch: true, sshConfig: config, inventory: []string{"inv.toml"}, state: dir, inv: inv, prompt: &prompter{batch: true}}
				d, err := newDialer(command, r)
				if err != nil {
					t.Fatal(err)
				}
				x, err := d.target(t.Context(), inv.Hosts[0], meant)
				if err != nil {
					t.Fatal(err)
				}
				if got := strings.TrimPrefix(x.ControlPath, "none"); got != c.path {
					t.Errorf("without ssh %v: the socket is %q, want %q", without, got, c.path)
				}
			}
		})
	}
}
