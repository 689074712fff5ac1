package inventory

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

func seeds(f *testing.F, each func(a *txtar.Archive)) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		each(a)
	}
}

// FuzzLoad: no text makes a panic; every mistake has a place inside the text; the scan finds every key that the decoder finds; every
// value of a loaded inventory has a place; a second reading says the same.
func FuzzLoad(f *testing.F) {
	seeds(f, func(a *txtar.Archive) {
		for _, file := range a.Files {
			if strings.HasSuffix(file.Name, ".toml") {
				f.Add(string(file.Data))
			}
		}
	})
	f.Add("\ufeffa.'b'.\"c\\u0041\" = [ {x=1,\ny=2}, '''a''''' ]\r\n[[a.d]]\n[a.d.e]\n")
	f.Add("a = { b.c = 1, 'd' = \"\"\"\\\"\"\"\"\" }\n\"\" = 1\n[x.\"\"]")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 20_000 {
			return
		}
		(&scanner{file: newSource("x", text), text: text}).document()
		inv, err := Parse("/inv/x", text, "/home/me")
		again, errAgain := Parse("/inv/x", text, "/home/me")
		if fmt.Sprint(err) != fmt.Sprint(errAgain) {
			t.Fatalf("%v, then %v", err, errAgain)
		}
		if err != nil {
			checkPlaces(t, text, err)
			return
		}
		if dump(inv) != dump(again) {
			t.Fatal("two readings differ")
		}
		for _, h := range inv.Hosts {
			if o := h.Origin[""]; o.Line < 1 || o.Col < 1 {
				t.Fatalf("host %s: %+v", h.Name, o)
			}
		}
	})
}

func checkPlaces(t *testing.T, text string, err error) {
	var errs *Errors
	if !errors.As(err, &errs) || len(errs.List) == 0 {
		t.Fatalf("%T: %v", err, err)
	}
	lines := strings.Count(text, "\n") + 1
	for _, e := range errs.List {
		if e.Line == 0 && e.Text != "no hosts" || e.Line > lines || e.Line < 0 || e.Line > 0 && e.Col < 1 {
			t.Fatalf("no place: %v", e)
		}
	}
}

// FuzzRange: what a pattern makes is bounded, and every name is one that is safe; a pattern without brackets stands for itself.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"mx[01:04].example.com", "[1:9:2][a:d]", "a[", "]", "[z:a]", "[0:999999999:999999999]", "x[A:C]y[00:01]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, pattern string) {
		list, err := expand(pattern, 1000)
		if err != nil {
			return
		}
		if len(list) == 0 || len(list) > 1000 {
			t.Fatalf("%d names", len(list))
		}
		for _, name := range list {
			if !validName(name) || strings.ContainsAny(name, "/[] \x1b") || name[0] == '-' || name[0] == '.' {
				t.Fatalf("name %q", name)
			}
		}
		if !strings.Contains(pattern, "[") && !slices.Equal(list, []string{pattern}) {
			t.Fatalf("%q became %q", pattern, list)
		}
	})
}

// FuzzSelect: a choice is never empty without an error, holds hosts of the inventory in its order, and taking a choice's hosts away
// from all leaves the others.
func FuzzSelect(f *testing.F) {
	var text string
	seeds(f, func(a *txtar.Archive) {
		for i, file := range a.Files {
			if file.Name == "select" {
				text = string(a.Files[0].Data)
				for line := range strings.Lines(string(a.Files[i].Data)) {
					f.Add(strings.TrimSpace(line))
				}
			}
		}
	})
	inv, err := Parse("x.toml", text, "/")
	if err != nil {
		f.Fatal(err)
	}
	none := func(string) (string, error) { return "", os.ErrNotExist }
	f.Fuzz(func(t *testing.T, pattern string) {
		hosts, err := inv.choose([]string{pattern}, none)
		if err != nil {
			return
		}
		at := -1
		for _, h := range hosts {
			next := slices.Index(inv.Hosts, h)
			if next <= at {
				t.Fatalf("%q: %s is out of order", pattern, h.Name)
			}
			at = next
		}
		if len(hosts) == 0 {
			t.Fatalf("%q: no host and no error", pattern)
		}
	})
}

func manyHosts(n int) string {
	var b strings.Builder
	b.WriteString("[defaults]\nuser = 'root'\nplaybooks = ['baseline']\n[groups.mx]\nrole = 'mx'\n")
	fmt.Fprintf(&b, "hosts = ['h[00001:%05d].example.com']\n", n)
	for i := range n {
		fmt.Fprintf(&b, "[hosts.\"h%05d.example.com\"]\naddress = \"10.%d.%d.%d\"\nvars = { site = \"a\" }\n", i+1, i>>16, i>>8&255, i&255)
	}
	return b.String()
}

func BenchmarkLoad10000(b *testing.B) {
	text := manyHosts(10_000)
	for b.Loop() {
		inv, err := Parse("x.toml", text, "/")
		if err != nil || len(inv.Hosts) != 10_000 {
			b.Fatal(err)
		}
	}
}
