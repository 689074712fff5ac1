package facts_test

import (
	"os"
	"path/filepath"
	"testing"

	"mtaharden/remediate/facts"
)

// A unit that systemd made of a start script is "generated" whether or not it starts at boot: the script's links alone have it start.
func TestGeneratedUnit(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/systemctl", `#!/bin/sh
for unit; do :; done
case $unit in
linked.service | stopped.service) src=/etc/init.d/${unit%.service} ;;
old.service) src=/etc/rc.d/init.d/old ;;
wanted.service) src=/etc/init.d/wanted ;;
native.service) echo "Id=$unit
LoadState=loaded
ActiveState=active
FragmentPath=/lib/systemd/system/native.service
UnitFileState=static"; exit ;;
esac
echo "Id=$unit
LoadState=loaded
ActiveState=inactive
FragmentPath=/run/systemd/generator.late/$unit
UnitFileState=generated
SourcePath=$src"
`)
	write("bin/uname", "#!/bin/sh\necho Linux\n")
	for _, link := range []string{"etc/rc2.d/S01linked", "etc/rc.d/rc3.d/S20old", "etc/rc2.d/K01stopped"} {
		write(link, "")
	}
	link := filepath.Join(dir, "etc/systemd/system/multi-user.target.wants/wanted.service")
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/run/systemd/generator.late/wanted.service", link); err != nil {
		t.Fatal(err)
	}
	base(t, dir)
	s, _ := inDirectory(t, dir, facts.Nonce(), "any_collect() {\nmh_init=systemd\nmh_service linked stopped old wanted native\n}\nany_collect\n")
	for name, want := range map[string]string{
		"linked":  "enabled inactive linked.service /etc/init.d/linked /etc/rc2.d/S01linked",
		"stopped": "disabled inactive stopped.service /etc/init.d/stopped",
		"old":     "enabled inactive old.service /etc/rc.d/init.d/old /etc/rc.d/rc3.d/S20old",
		"wanted":  "enabled inactive wanted.service /etc/init.d/wanted /etc/systemd/system/multi-user.target.wants/wanted.service",
		"native":  "enabled active native.service /lib/systemd/system/native.service",
	} {
		if got := s.Fact("service:" + name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
