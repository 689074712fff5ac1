package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// layers is the import table: a package of ours may import those named and nothing else of ours. A trailing /* stands for every package below.
var layers = map[string][]string{
	"inventory":                   {},
	"playbooks":                   {},
	"remediate/remote":            {},
	"remediate/judge":             {},
	"remediate/remote/ssh":        {"remediate/remote"},
	"remediate/remote/sshconfig":  {"remediate/remote"}, // what ssh's files say, apart from the room that dials: cmd lays it under the inventory
	"remediate/remote/local":      {"remediate/remote"},
	"remediate/remote/remotetest": {"remediate/remote"},
	"remediate/facts":             {"remediate/remote"},
	"remediate/mta":               {"remediate/judge", "remediate/facts", "remediate/remote"},
	"remediate/mta/all":           {"remediate/mta", "remediate/mta/*"},
	"remediate/mta/mtatest":       {"remediate/mta", "remediate/judge", "remediate/facts", "remediate/remote"},
	"remediate/mta/*":             {"remediate/mta", "remediate/judge", "remediate/facts", "remediate/remote"},
	"remediate/probe":             {"remediate/judge"},
	"remediate/plan":              {"playbooks", "remediate/mta", "remediate/judge", "remediate/facts", "remediate/remote"},
	"remediate/journal":           {"remediate/remote"},
	"remediate/backup":            {"remediate/plan", "remediate/journal", "remediate/remote"},
	"remediate/apply":             {"remediate/plan", "remediate/journal", "remediate/backup", "remediate/judge", "remediate/remote"},
	"remediate/history":           {"remediate/plan", "remediate/apply", "remediate/backup", "remediate/journal", "remediate/judge", "remediate/remote"},
	"remediate/report":            {"remediate/plan", "remediate/apply", "remediate/judge"},
	"remediate":                   {"inventory", "playbooks", "remediate/remote", "remediate/judge", "remediate/facts", "remediate/mta", "remediate/plan", "remediate/report", "remediate/probe", "remediate/journal", "remediate/backup", "remediate/apply", "remediate/history"},
	"cmd/mtaharden":               {"*"},
	"cmd/mtalab":                  {"*"},
}

type listed struct {
	ImportPath string
	Dir        string
	Doc        string
	Imports    []string
	GoFiles    []string
}

func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,GoFiles", "mtaharden/...").Output()
	if err != nil {
		t.Fatalf("cannot list the packages: %v", err)
	}
	var all []listed
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("found %d packages: the list is not whole", len(all))
	}
	return all
}

func matches(pattern, name string) bool {
	if dir, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, dir)
	}
	return pattern == name
}

func row(name string) ([]string, bool) {
	if r, ok := layers[name]; ok {
		return r, true
	}
	for pattern, r := range layers {
		if strings.HasSuffix(pattern, "/*") && matches(pattern, name) {
			return r, true
		}
	}
	return nil, false
}

// TestLayering holds every package to its row of the import table, and to having a doc sentence.
func TestLayering(t *testing.T) {
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, "mtaharden/")
		if p.Doc == "" && len(p.GoFiles) > 0 {
			t.Errorf("%s has no package comment", name)
		}
		allowed, ok := row(name)
		if !ok {
			t.Errorf("%s has no row in the import table", name)
			continue
		}
		for _, imp := range p.Imports {
			ours, isOurs := strings.CutPrefix(imp, "mtaharden/")
			if !isOurs {
				continue
			}
			good := false
			for _, a := range allowed {
				good = good || matches(a, ours)
			}
			if !good {
				t.Errorf("%s imports %s, which its row of the import table does not hold", name, ours)
			}
		}
	}
}

// TestOnePlace fails when the code outside an MTA's own room names it: a new MTA is one folder, one line in mta/all, and TOML.
func TestOnePlace(t *testing.T) {
	var names []string
	for _, p := range list(t) {
		if n, ok := strings.CutPrefix(p.ImportPath, "mtaharden/remediate/mta/"); ok && n != "all" && n != "mtatest" {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		t.Fatal("no driver was found")
	}
	for _, p := range list(t) {
		name := strings.TrimPrefix(p.ImportPath, "mtaharden/")
		if strings.HasPrefix(name, "remediate/mta/") || name == "cmd/mtalab" {
			continue
		}
		for _, f := range p.GoFiles {
			for _, bad := range namesIn(t, filepath.Join(p.Dir, f), names) {
				t.Errorf("%s names an MTA: %s", name, bad)
			}
		}
	}
}

// namesIn returns the identifiers and string literals of a Go file that hold one of names; import paths and comments may.
func namesIn(t *testing.T, file string, names []string) []string {
	t.Helper()
	set := token.NewFileSet()
	tree, err := parser.ParseFile(set, file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	check := func(pos token.Pos, text string) {
		for _, n := range names {
			if strings.Contains(strings.ToLower(text), n) {
				bad = append(bad, set.Position(pos).String()+": "+text)
			}
		}
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ImportSpec:
			return false
		case *ast.Ident:
			check(n.Pos(), n.Name)
		case *ast.BasicLit:
			if n.Kind == token.STRING {
				s, _ := strconv.Unquote(n.Value)
				check(n.Pos(), s)
			}
		}
		return true
	})
	return bad
}

// TestHouse holds the tree to its top level.
func TestHouse(t *testing.T) {
	allowed := map[string]bool{"cmd": true, "inventory": true, "remediate": true, "playbooks": true, "testdata": true, "go.mod": true, "go.sum": true, "README.md": true}
	out, err := exec.Command("git", "-C", "../..", "ls-files").Output()
	if err != nil {
		t.Skipf("not a git checkout: %v", err)
	}
	for _, f := range strings.Fields(string(out)) {
		top, _, _ := strings.Cut(f, "/")
		if !allowed[top] && !strings.HasPrefix(top, ".") {
			t.Errorf("the top level holds %s", top)
		}
	}
}
