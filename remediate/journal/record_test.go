package journal

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
)

// says is a host that answers every command with a text in which NONCE is the command's.
type says string

func (s says) Run(_ context.Context, c remote.Cmd, limit int) (remote.Result, error) {
	nonce := c.Argv[len(c.Argv)-1]
	return remote.Result{Stdout: []byte(strings.ReplaceAll(string(s), "NONCE", nonce)), Stderr: []byte("sh: \x1b[31mno\n")}, nil
}
func (says) Transport() remote.Transport { return remote.Transport{} }
func (says) Close() error                { return nil }

// TestHostile holds that an answer that is not the script's own is refused, and never half believed.
func TestHostile(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":          "",
		"noise":            "welcome\nto the host\n",
		"no end":           "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE fact folder yes\n",
		"cut line":         "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE do",
		"clock":            "\nNONCE begin 1 soon\nNONCE done\n",
		"no clock":         "\nNONCE begin 1 -5\nNONCE done\n",
		"line between":     "\nNONCE begin 1 1800000000\nNONCE fact run r1\nhello\nNONCE done\n",
		"unknown":          "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE fact more yes\nNONCE done\n",
		"unknown word":     "\nNONCE begin 1 1800000000\nNONCE ask run r1\nNONCE done\n",
		"another run":      "\nNONCE begin 1 1800000000\nNONCE fact run r2\nNONCE done\n",
		"no run":           "\nNONCE begin 1 1800000000\nNONCE done\n",
		"before a run":     "\nNONCE begin 1 1800000000\nNONCE fact folder yes\nNONCE fact run r1\nNONCE done\n",
		"twice":            "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE fact run r1\nNONCE done\n",
		"path":             "\nNONCE begin 1 1800000000\nNONCE fact run ../../etc\nNONCE done\n",
		"lock path":        "\nNONCE begin 1 1800000000\nNONCE fact lock.run ../x\nNONCE fact run r1\nNONCE done\n",
		"control":          "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE fact lock.holder \x1b]0;x\x07\nNONCE done\n",
		"end":              "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE fact end maybe\nNONCE done\n",
		"token":            "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE fact token mine\nNONCE done\n",
		"deadline":         "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE fact guard.deadline 99999999999999\nNONCE done\n",
		"no hex":           "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE blob about\n zz\nNONCE end 1\nNONCE done\n",
		"blob size":        "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE blob about\n 41 42\nNONCE end 1\nNONCE done\n",
		"blob no end":      "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE blob about\n 41 42\n",
		"raw size":         "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE raw manifest 5\nab\nNONCE end 5\nNONCE done\n",
		"raw huge":         "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE raw manifest 999999999999999999999\nab\nNONCE end 5\nNONCE done\n",
		"raw negative":     "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE raw manifest -1\nab\nNONCE end -1\nNONCE done\n",
		"manifest cut":     "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE blob manifest\n 41\nNONCE end 99\nNONCE done\n",
		"about of another": "\nNONCE begin 1 1800000000\nNONCE fact run r1\nNONCE blob about\n 72 75 6e 20 72 32 0a\nNONCE end 7\nNONCE done\n",
	} {
		rec, err := Read(t.Context(), says(text), Layout{}, "r1")
		if err == nil || rec != nil || !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %+v, %v", name, rec, err)
			continue
		}
		if strings.ContainsRune(err.Error(), 0x1b) {
			t.Errorf("%s: the message holds an escape sequence: %q", name, err)
		}
	}
}

func TestEntries(t *testing.T) {
	text := "1 1800000000 save doing \n2 1800000001 save done\n3 1800000002 guard doing /etc/cron.d/x  two  blanks\nnonsense\n" +
		"-1 1800000002 swap doing x\n4 soon swap doing\n5 1800000003 dance doing\n6 1800000003 swap fine\n\n7 1800000004 swap doing \x1b[2J\n8 18000"
	got, damaged := entries([]byte(text))
	at := func(n int64) time.Time { return time.Unix(1_800_000_000+n, 0).UTC() }
	want := []Entry{
		{1, at(0), "save", "doing", ""}, {2, at(1), "save", "done", ""}, {3, at(2), "guard", "doing", "/etc/cron.d/x  two  blanks"},
		{7, at(4), "swap", "doing", "\x1b[2J"},
	}
	if diff := cmp.Diff(want, got); diff != "" || damaged != 6 {
		t.Errorf("%d damaged lines, entries (-want +got):\n%s", damaged, diff)
	}
}

// TestNotes holds what the library writes to what this package reads, under each shell; a line that was cut is ended and not lost.
func TestNotes(t *testing.T) {
	t.Parallel()
	for _, shell := range shells {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			t.Parallel()
			h := remotetest.NewDir(t, "", nil)
			h.Shell = shell
			l := Layout{Dir: filepath.Join(h.Root, "runs")}
			script := `mkdir -p "$mh_dir"
mh_note save doing
mh_note save 'done' "two
lines"
printf '3 18000000' >>"$mh_dir/journal"
mh_note backup failed 'no room: 100%s \n'
printf '%s\n' 'reload x' 'postmap' | mh_put "$mh_dir/owed"
mh_take restore && mh_take confirm
mh_fact took "$? $mh_taker"
`
			parts, _, err := l.Ask(t.Context(), h, "r1", script, 1<<20)
			if err != nil || len(parts) != 1 || parts[0].Text != "1 restore" {
				t.Fatalf("%v: %v, %v", shell, parts, err)
			}
			rec, err := Read(t.Context(), h, l, "r1")
			if err != nil {
				t.Fatalf("%v: %v", shell, err)
			}
			var got []string
			for _, e := range rec.Entries {
				got = append(got, e.Step+" "+e.State+" "+e.Text)
			}
			want := []string{"save doing ", "save done two lines", `backup failed no room: 100%s \n`}
			if diff := cmp.Diff(want, got); diff != "" || rec.Damaged != 1 || rec.Token != "restore" || !cmp.Equal(rec.Owed, []string{"reload x", "postmap"}) {
				t.Errorf("%v: %+v (-want +got):\n%s", shell, rec, diff)
			}
			if names, err := filepath.Glob(l.Run("r1") + "/*"); err != nil || len(names) != 3 {
				t.Errorf("%v: the folder holds %v", shell, names)
			}
		})
	}
}

// TestRace has many processes claim one name at once: one wins, and nothing of the others is left.
func TestRace(t *testing.T) {
	t.Parallel()
	for _, shell := range shells {
		t.Run(strings.Join(shell, " "), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			script := `mkdir -p "$mh_dir"
for i in 1 2 3 4 5 6 7 8; do
  (
    mkdir "$mh_base/c$i"
    while [ ! -e "$mh_base/go" ]; do :; done
    mh_claim "$mh_base/c$i" "$mh_base/won" && echo "won $i" >>"$mh_base/log"
    rm -rf "$mh_base/c$i"
  ) &
done
for i in 1 2 3 4 5 6 7 8; do
  until [ -d "$mh_base/c$i" ]; do :; done
done
: >"$mh_base/go"
wait`
			if out, err := sh(t, shell, dir, script); err != nil || out != "" {
				t.Fatalf("%v: %v, %q", shell, err, out)
			}
			log, err := os.ReadFile(filepath.Join(dir, "log"))
			if err != nil || strings.Count(string(log), "won") != 1 {
				t.Errorf("%v: %q, %v", shell, log, err)
				return
			}
			winner := "c" + strings.TrimSpace(strings.TrimPrefix(string(log), "won "))
			if names, err := os.ReadDir(filepath.Join(dir, "won")); err != nil || len(names) != 1 || names[0].Name() != winner {
				t.Errorf("%v: %s won, and the directory holds %v", shell, winner, names)
			}
		})
	}
}

// TestHashes holds every way of hashing to the same result, and cksum to its own form.
func TestHashes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a file")
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	const sum = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	for _, tool := range []string{"sha256sum", "shasum", "openssl", "perl", "cksum"} {
		want := sum
		if tool == "cksum" {
			want = "cksum:1219131554 3"
		}
		out, err := sh(t, []string{"dash"}, dir, "mh__sha="+tool+"\nmh_hash '"+file+"'\necho $? \"$mh_sum\"\nmh_hash /nonexistent\necho $? \"$mh_sum\"")
		if err != nil || out != "0 "+want+"\n1 \n" {
			t.Errorf("%s: %v, %q", tool, err, out)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\nN-12345678 begin 1 1800000000\nN-12345678 fact run r1\nN-12345678 blob about\n 72 75\nN-12345678 end 2\nN-12345678 raw x 2\nab\nN-12345678 end 2\nN-12345678 done\n"))
	f.Add([]byte("\nN-12345678 begin 1 1\nN-12345678 fact lock.run r1\nN-12345678 fact run r1\nN-12345678 blob journal\n 31 20 31\nN-12345678 end 9\nN-12345678 done\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parts, now, err := parse(data, "N-12345678")
		if err != nil {
			return
		}
		for _, p := range parts {
			if p.Size < int64(len(p.Data)) || strings.ContainsAny(p.Text, "\n\x1b\x00") {
				t.Fatalf("%+v", p)
			}
		}
		records, err := recordsOf(parts, now)
		if err != nil {
			return
		}
		for _, r := range records {
			if CheckRun(r.Run) != nil || r.Lock != nil && r.Lock.Run != r.Run {
				t.Fatalf("%+v", r)
			}
			again := Record{Run: r.Run}
			text := r.About.Text()
			if err := again.about(Part{Data: []byte(text), Size: int64(len(text)), File: true}); err != nil || !cmp.Equal(again.About, r.About) {
				t.Fatalf("%+v, read again %+v: %v", r.About, again.About, err)
			}
		}
	})
}

func FuzzBytes(f *testing.F) {
	for n := range shells {
		f.Add([]byte(strings.Repeat("x", n) + "it's 100% \\n $(x) `y` !\x00\xff\r\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "f")
		shell := shells[len(data)%len(shells)] // all of them would take seconds an input
		out, err := sh(t, shell, t.TempDir(), Put(remote.Quote(file), data))
		if got, rerr := os.ReadFile(file); err != nil || rerr != nil || string(got) != string(data) || out != "" {
			t.Fatalf("%v wrote %q for %q: %v, %v, %q", shell, got, data, err, rerr, out)
		}
	})
}
