package plan

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func toyPlan(t testing.TB) (*Plan, []byte) {
	t.Helper()
	in := toyInput(t, masked())
	res := New(in)
	p := &Plan{Program: "test", Made: now(), Playbooks: []string{"baseline"}, Inventory: "hosts.toml", InventoryDigest: "ab"}
	if err := p.Add("mx1.example.com", res, in.Intent, in.Rules); err != nil {
		t.Fatal(err)
	}
	data, digest, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if digest != Digest(data) || len(digest) != 12 {
		t.Errorf("digest %q", digest)
	}
	return p, data
}

// TestPlanFile: what is encoded is read back the same, and holds no secret.
func TestPlanFile(t *testing.T) {
	p, data := toyPlan(t)
	again, err := Read("plan.json", data)
	if err != nil {
		t.Fatal(err)
	}
	second, digest, err := again.Encode()
	if err != nil || digest != Digest(data) {
		t.Fatalf("digest %s, was %s: %v\n%s", digest, Digest(data), err, cmp.Diff(string(data), string(second)))
	}
	if strings.Contains(string(data), "tops3cret") {
		t.Error("the plan holds a secret")
	}
	h := p.Hosts[0]
	if len(h.Changes) != 2 || len(h.Expect) == 0 || h.Expect[0].Before == "" || len(p.RuleSets[h.RuleSet]) == 0 {
		t.Errorf("%+v", h)
	}
	if !p.Expires.Equal(now().Add(7 * 24 * time.Hour)) {
		t.Errorf("expires %s", p.Expires)
	}
}

func TestPlanExpires(t *testing.T) {
	p, _ := toyPlan(t)
	if err := p.Expired(now().Add(Lifetime)); err != nil {
		t.Error(err)
	}
	if err := p.Expired(now().Add(Lifetime + time.Second)); !errors.Is(err, ErrExpired) {
		t.Errorf("%v", err)
	}
}

// TestPlanRefused: a bad plan file is refused with the place of the mistake.
func TestPlanRefused(t *testing.T) {
	_, data := toyPlan(t)
	good := string(data)
	for name, c := range map[string]struct{ text, want string }{
		"empty":         {"", "plan.json:1:1: it ends too early"},
		"no JSON":       {"plan", "plan.json:1:1: invalid character 'p'"},
		"cut":           {good[:len(good)/2], "it ends too early"},
		"more":          {good + "{}", "something follows"},
		"unknown field": {strings.Replace(good, `"program"`, `"programm"`, 1), `plan.json:3:3: unknown field "programm"`},
		"wrong type":    {strings.Replace(good, `"program": "test"`, `"program": 7`, 1), "plan.json:3:15: json: cannot unmarshal number"},
		"schema":        {strings.Replace(good, Schema, "mtaharden-plan/2", 1), `schema is "mtaharden-plan/2"`},
		"path":          {strings.ReplaceAll(good, `"path": "/etc/toy.conf"`, `"path": "/etc/../shadow"`), "clean absolute"},
		"relative":      {strings.ReplaceAll(good, `"path": "/etc/toy.conf"`, `"path": "toy.conf"`), "clean absolute"},
		"rule":          {strings.Replace(good, `"severity": "critical"`, `"severity": "low"`, 1), "not those of their digest"},
		"kind":          {strings.Replace(good, `"kind": "edit"`, `"kind": "run"`, 1), `unknown kind "run"`},
		"install":       {strings.Replace(good, `"install": 0`, `"install": 4`, 1), "install 4"},
		"expiry":        {strings.Replace(good, `"expires": "2026-11-28`, `"expires": "2036-11-28`, 1), "must expire within"},
		"command":       {strings.Replace(good, `"toymap"`, `""`, 1), "empty command"},
	} {
		_, err := Read("plan.json", []byte(c.text))
		var mistake *FileError
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func FuzzPlanRead(f *testing.F) {
	in := toyInput(f, masked())
	in.Rules = in.Rules[len(in.Rules)-3:] // a short seed: the fuzzer is slow with long ones
	p := &Plan{Made: now()}
	if err := p.Add("mx1", New(in), in.Intent, in.Rules); err != nil {
		f.Fatal(err)
	}
	data, _, err := p.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(data))
	f.Add(`{"schema":"mtaharden-plan/1"}`)
	f.Add(`[`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Read("plan.json", []byte(text))
		if err != nil {
			var mistake *FileError
			if !errors.As(err, &mistake) || mistake.Line < 0 {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		again, _, err := p.Encode()
		if err != nil {
			t.Fatalf("read, and not written: %v", err)
		}
		if _, err := Read("plan.json", again); err != nil {
			t.Fatalf("written, and not read: %v", err)
		}
	})
}
