package postfix

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/mta/mtatest"
)

// TestHosts reads what was collected on real hosts and compares it with what Postfix itself makes of its files: postconf -n for the values
// as written, postconf -n -x for the expanded ones, postconf -M for the services, postconf -P for the overrides.
func TestHosts(t *testing.T) {
	names, _ := filepath.Glob("testdata/hosts/*.snap")
	if len(names) == 0 {
		t.Fatal("no snapshots")
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			s, err := facts.Parse(f)
			if err != nil {
				t.Fatal(err)
			}
			mtatest.Run(t, &Driver, s)
			hostCase(t, s, strings.HasSuffix(name, "-open.snap"))
		})
	}
}

func hostCase(t *testing.T, s *facts.Snapshot, open bool) {
	found := detect(s)
	if len(found) != 1 {
		t.Fatalf("%d installs", len(found))
	}
	in := found[0]
	if !in.Active || in.Basis != mta.Lab || in.Version == "" || !strings.HasPrefix(in.Package, "postfix ") || len(in.Listen) == 0 || len(in.Features) == 0 {
		t.Errorf("not well detected: %+v", in)
	}
	cfg, err := read(s, in)
	if err != nil {
		t.Fatal(err)
	}
	m := cfg.Model.(*model)
	for name, want := range parameters(s, "postfix:/etc/postfix:n") {
		raw, o, ok := m.raw(name, nil)
		if !ok || squeeze(raw) != squeeze(want) || name != "config_directory" && (o.How != "file" || o.Line == 0) { // that one is -c's
			t.Errorf("%s = %q at %+v, postconf -n says %q", name, raw, o, want)
		}
	}
	for name, want := range parameters(s, "postfix:/etc/postfix:x") {
		if got := m.value(name, nil); squeeze(got) != squeeze(want) {
			t.Errorf("%s is %q, postconf -n -x says %q", name, got, want)
		}
	}
	for name, want := range parameters(s, "postfix:/etc/postfix:now") {
		if got := m.value(name, nil); squeeze(got) != squeeze(want) {
			t.Errorf("%s is %q, postconf says %q", name, got, want)
		}
	}
	services(t, s, m)
	want := judge.Refused
	if open { // master.cf has -o mynetworks=127.0.0.0/8,0.0.0.0/0
		want = judge.Relayed
	}
	for _, a := range answers(s, cfg) {
		if q := a.Question; q.Class == judge.Outside && q.Verb == judge.Rcpt && q.Form != "local" && !strings.Contains(q.ClientAddr, ":") && a.Outcome != want {
			t.Errorf("an outsider is answered %s: %s", a.Outcome, a.Text)
		} else if fixes := remedy(cfg, a); open && q.Verb == judge.Rcpt && a.Outcome == judge.Relayed && q.Class == judge.Outside && len(fixes) == 0 {
			t.Errorf("no remedy for %+v", a)
		}
	}
}

func services(t *testing.T, s *facts.Snapshot, m *model) {
	out, _ := s.Output("postfix:/etc/postfix:M")
	var want []string
	for line := range strings.Lines(string(out.Stdout)) {
		want = append(want, squeeze(line))
	}
	var got []string
	for _, sv := range m.master.services {
		got = append(got, squeeze(sv.text))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the services differ from postconf -M:\n%s\n---\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for key, want := range parameters(s, "postfix:/etc/postfix:P") {
		part := strings.Split(key, "/")
		for i := range m.master.services {
			sv := &m.master.services[i]
			if sv.name != part[0] || sv.kind != part[1] {
				continue
			}
			if o, ok := sv.override(part[2]); !ok || squeeze(o.value) != squeeze(want) {
				t.Errorf("%s is %+v, postconf -P says %q", key, o, want)
			}
		}
	}
}

func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }
