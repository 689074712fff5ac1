package backup

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"mtaharden/remediate/plan"
)

const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

const sound = `{"run":"r1","items":[
{"kind":"edit","path":"/etc/a","named":"/etc/b","before":{"hash":"` + sum + `","size":0,"uid":0,"gid":8,"mode":"0644"},"after":{"hash":"","uid":0,"gid":0},"kept":true},
{"kind":"service","path":"/etc/init.d/x","before":{"absent":true,"uid":0,"gid":0},"after":{"uid":0,"gid":0},"kept":false,
 "service":{"manager":"sysv","name":"x","before":{"enabled":true,"active":true,"links":["/etc/rc2.d/S20x"]},"after":{"enabled":false,"active":false}}}],
"reload":[{"argv":["true"]}]}`

func TestDecode(t *testing.T) {
	m, err := Decode([]byte(sound))
	if err != nil || len(m.Items) != 2 || m.Items[1].Service.Before.Links[0] != "/etc/rc2.d/S20x" {
		t.Fatalf("%+v, %v", m, err)
	}
	for name, change := range map[string][2]string{
		"run":          {`"r1"`, `"../r1"`},
		"relative":     {"/etc/a", "etc/a"},
		"dots":         {"/etc/a", "/etc/../a"},
		"root":         {"/etc/a", "/"},
		"control":      {"/etc/a", `/etc/\u001ba`},
		"named":        {"/etc/b", "/etc/a"},
		"kind":         {`"edit"`, `"move"`},
		"hash":         {sum, "sha256:00"},
		"no hash":      {sum, ""},
		"mode":         {`"0644"`, `"644"`},
		"no mode":      {`"0644"`, `""`},
		"mode letters": {`"0644"`, `"rwxr"`},
		"size":         {`"size":0`, `"size":-1`},
		"uid":          {`"uid":0,"gid":8`, `"uid":-1,"gid":8`},
		"unknown":      {`"kept":true`, `"kept":true,"more":1`},
		"absent kept":  {`{"hash":"` + sum + `","size":0,"uid":0,"gid":8,"mode":"0644"}`, `{"absent":true,"uid":0,"gid":0}`},
		"link":         {"/etc/rc2.d/S20x", "S20x"},
		"manager":      {`"sysv"`, `""`},
		"reload":       {`["true"]`, `[]`},
		"twice":        {`{"kind":"service"`, `{"kind":"edit","path":"/etc/a","before":{"absent":true,"uid":0,"gid":0},"after":{"uid":0,"gid":0},"kept":false},{"kind":"service"`},
		"after":        {`"reload":[{"argv":["true"]}]}`, `"reload":[{"argv":["true"]}]} {}`},
		"not UTF-8":    {"/etc/a", "/etc/\xff"},
		"cut":          {`]}`, ``},
	} {
		text := strings.Replace(sound, change[0], change[1], 1)
		if m, err := Decode([]byte(text)); err == nil || text == sound {
			t.Errorf("%s: it was read as %+v", name, m)
		}
	}
}

// TestCksum holds the checksum to that of cksum(1).
func TestCksum(t *testing.T) {
	for _, data := range []string{"", "a", "abc\n", strings.Repeat("\x00\xff long", 5000)} {
		cmd := exec.Command("cksum")
		cmd.Stdin = strings.NewReader(data)
		out, err := cmd.Output()
		s := State{Hash: "cksum:" + strings.TrimSpace(string(out)), Size: int64(len(data))}
		if err != nil || !s.Holds([]byte(data)) || s.Holds([]byte(data+"x")) {
			t.Errorf("%.10q: cksum says %s, %v", data, out, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(sound))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data)
		if err != nil {
			return
		}
		for _, i := range m.Items {
			if i.Path == "" || i.Path[0] != '/' || strings.ContainsAny(i.Path, "\n\x00\x1b") || i.Kind == plan.Unit && i.Service == nil {
				t.Fatalf("%+v", i)
			}
		}
		text, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Decode(text)
		if err != nil || !cmp.Equal(m, again, cmpopts.EquateEmpty()) {
			t.Fatalf("%v: %s", err, cmp.Diff(m, again))
		}
	})
}
