package inventory

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what was found into testdata's want files")

// TestCases reads every testdata/*.txtar: the *.toml files are one inventory in /inv with the home directory /home/me; "select" holds one
// choice a line, its patterns between blanks; other files are what a choice may read. "want" is what must come of it: the mistakes with
// their places, or the inventory and the choices written out.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runCase(t, file, a)
		})
	}
}

func runCase(t *testing.T, file string, a *txtar.Archive) {
	r, texts, choices := newReader("/home/me"), map[string]string{}, ""
	want := -1
	for i, f := range a.Files {
		switch {
		case f.Name == "want":
			want = i
		case f.Name == "select":
			choices = string(f.Data)
		case strings.HasSuffix(f.Name, ".toml"):
			r.file("/inv/"+f.Name, string(f.Data))
		default:
			texts[f.Name] = string(f.Data)
		}
	}
	inv, err := r.finish()
	got := ""
	if err != nil {
		got = strings.ReplaceAll(err.Error(), "/inv/", "") + "\n"
	} else {
		got = dump(inv) + choose(inv, choices, texts)
	}
	if want < 0 {
		t.Fatal("no want in the case")
	}
	if *update {
		a.Files[want].Data = []byte(got)
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(string(a.Files[want].Data), got); d != "" {
		t.Errorf("want - got +\n%s", d)
	}
}

func choose(inv *Inventory, choices string, texts map[string]string) string {
	var b strings.Builder
	for line := range strings.Lines(choices) {
		line = strings.TrimSpace(line)
		hosts, err := inv.choose(strings.Fields(line), func(name string) (string, error) {
			if text, ok := texts[name]; ok {
				return text, nil
			}
			return "", errors.New("no such file")
		})
		fmt.Fprintf(&b, "select %s: ", line)
		if err != nil {
			fmt.Fprintln(&b, "error:", err)
			continue
		}
		for _, h := range hosts {
			fmt.Fprint(&b, h.Name, " ")
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

// dump writes an inventory out with the place of each value.
func dump(inv *Inventory) string {
	var b strings.Builder
	fmt.Fprintf(&b, "vantages %q recipients %q\n", inv.Vantages, inv.BackupRecipients)
	for _, g := range inv.Groups {
		fmt.Fprintf(&b, "group %s children %q hosts %q max_unavailable %d window %v\n", g.Name, g.Children, g.Hosts, g.MaxUnavailable, g.Window)
	}
	for _, h := range inv.Hosts {
		dumpHost(&b, "host", h)
	}
	for _, h := range inv.Passed() {
		dumpHost(&b, "passed", h)
	}
	for _, w := range inv.Waivers {
		fmt.Fprintf(&b, "waiver %s for %s until %s, %q at %s:%d covers", w.Rule, w.Hosts, w.Expires.Format(time.DateOnly), w.Reason, filepath.Base(w.File), w.Line)
		for _, h := range inv.Hosts {
			if w.Matches(w.Rule, h.Name) {
				fmt.Fprint(&b, " ", h.Name)
			}
		}
		fmt.Fprintln(&b)
	}
	return b.String()
}

func dumpHost(b *strings.Builder, what string, h *Host) {
	fmt.Fprintf(b, "%s %s groups %q\n", what, h.Name, h.Groups)
	for _, v := range h.Values() {
		o := v.Origin
		fmt.Fprintf(b, "  %s = %s  %s:%d %s\n", v.Key, v.Text, filepath.Base(o.File), o.Line, o.From)
	}
}

func TestParseKeepsTheZeroValueForTheUnsaid(t *testing.T) {
	inv, err := Parse("/inv/a.toml", "[hosts.a]\nrelay_networks = []\n[hosts.b]\n", "")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := inv.Hosts[0].RelayNetworks, inv.Hosts[1].RelayNetworks; a == nil || len(a) != 0 || b != nil {
		t.Errorf("said to be none: %#v, unsaid: %#v", a, b)
	}
}

func TestLoadTakesFilesAndDirectories(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b.toml": "[hosts.b]\n", "a.toml": "[hosts.a]\nidentity = 'key'\n", "readme": "no", ".x.toml": "no"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inv, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(inv.Hosts) != 2 || inv.Hosts[0].Name != "a" || inv.Hosts[1].Name != "b" || len(inv.Digest) != 64 {
		t.Errorf("%+v", inv)
	}
	if got := inv.Hosts[0].Identity; !slices.Equal(got, []string{filepath.Join(dir, "key")}) {
		t.Errorf("identity %q", got)
	}
	for _, wrong := range []string{filepath.Join(dir, "none"), t.TempDir()} {
		if _, err := Load(wrong); err == nil || !strings.HasPrefix(err.Error(), "cannot read inventory: ") {
			t.Errorf("Load(%s): %v", wrong, err)
		}
	}
}
