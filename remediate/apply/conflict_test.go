package apply

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mtaharden/remediate/journal"
)

// spoil makes a third content of each kind at the live files of a swapped site.
func (s *site) spoil() {
	s.t.Helper()
	at := func(name string) string { return filepath.Join(s.live, name) }
	s.must(os.WriteFile(at("map"), []byte("a person's"), 0o600))      // created by the run, then edited
	s.must(os.Remove(at("main.cf")))                                  // edited by the run, then removed
	s.must(os.Remove(at("unkept")))                                   // and replaced by a link
	s.must(os.Symlink("/etc/hostname", at("unkept")))                 //
	s.must(syscall.Chmod(at("queue"), 0o700))                         // a third mode
	s.must(os.WriteFile(at("gone"), []byte("a person's too"), 0o600)) // deleted by the run, then made again
}

// TestConflict holds that by hand nothing is touched where anything is neither the one nor the other, and that the guard and --force keep it.
func TestConflict(t *testing.T) {
	for _, shell := range [][]string{{"dash"}, {"mksh"}, {"busybox", "sh"}} {
		for _, how := range []string{"--force", "--guard"} {
			t.Run(shell[0]+how, func(t *testing.T) {
				t.Parallel()
				s := small(t, scratch(t)).ready()
				s.shell = shell
				s.faulty()
				before := s.before()
				if r := s.do("swap.sh"); r.status != 0 {
					t.Fatalf("swap: %+v", r)
				}
				s.spoil()
				spoilt := tree(t, s.live)
				for _, args := range [][]string{{"--dry"}, nil} {
					r := s.do("restore.sh", args...)
					if r.status != 3 || r.said() != "conflict conflict conflict conflict ours conflict" {
						t.Errorf("restore %v: %+v", args, r)
					}
					if d := cmp.Diff(spoilt, tree(t, s.live)); d != "" {
						t.Errorf("restore %v touched: %s", args, d)
					}
				}
				r := s.do("restore.sh", how)
				if r.status != 0 || r.said() != "displaced displaced displaced displaced restored displaced reloaded" {
					t.Errorf("restore %s: %+v", how, r)
				}
				if d := cmp.Diff(before, tree(t, s.live)); d != "" {
					t.Errorf("restore %s: %s", how, d)
				}
				s.checkOver("restored")
				s.checkDisplaced(map[string]string{"1": "a person's", "3": "-> /etc/hostname", "4": "0 0 0700\n", "6": "a person's too"})
			})
		}
	}
}

func (s *site) checkDisplaced(want map[string]string) {
	s.t.Helper()
	got := map[string]string{}
	dir := filepath.Join(s.rundir(), "displaced")
	entries, err := os.ReadDir(dir)
	s.must(err)
	for _, e := range entries {
		p := filepath.Join(dir, e.Name())
		if to, err := os.Readlink(p); err == nil {
			got[e.Name()] = "-> " + to
			continue
		}
		data, err := os.ReadFile(p)
		s.must(err)
		got[e.Name()] = string(data)
	}
	if d := cmp.Diff(want, got); d != "" {
		s.t.Errorf("displaced: %s", d)
	}
}

// TestInPlace holds that an inode that was written to is not put back: its copy is, with its attributes and time. A copy that is damaged is
// not put back either.
func TestInPlace(t *testing.T) {
	s := small(t, scratch(t)).ready()
	s.faulty()
	before := s.before()
	if r := s.do("swap.sh"); r.status != 0 {
		t.Fatalf("swap: %+v", r)
	}
	keep := filepath.Join(s.rundir(), "keep/2")
	f, err := os.OpenFile(keep, os.O_WRONLY|os.O_APPEND, 0)
	s.must(err)
	f.WriteString("written to")
	f.Close()
	copied := filepath.Join(s.rundir(), "copy/3")
	good, err := os.ReadFile(copied)
	s.must(err)
	s.must(os.WriteFile(copied, []byte("flipped"), 0o600))
	r := s.do("restore.sh")
	if r.status != 6 || r.said() != "restored restored failed restored restored restored reloaded" || !strings.Contains(r.stderr, "the saved copy of "+s.m.Items[2].Path+" is damaged") {
		t.Errorf("with a damaged copy: %+v", r)
	}
	if _, err := os.Stat(s.layout.Lock()); err != nil {
		t.Errorf("the lock was given back: %v", err)
	}
	s.must(os.WriteFile(copied, good, 0o600))
	s.must(exec.Command("touch", "-r", filepath.Join(s.live, "main.cf"), filepath.Join(s.live, "main.cf")).Run())
	if r := s.do("restore.sh"); r.status != 0 || r.said() != "already already restored already already already reloaded" {
		t.Errorf("with the copy repaired: %+v", r)
	}
	after := tree(t, s.live)
	for _, name := range []string{"main.cf", "gone", "map", "queue"} {
		if before[name] != after[name] {
			t.Errorf("%s: %s, before %s", name, after[name], before[name])
		}
	}
}

// TestStale holds that a swap that meets what the backup did not see changes nothing, whatever it is.
func TestStale(t *testing.T) {
	for name, spoil := range map[string]func(s *site){
		"content":   func(s *site) { s.must(os.WriteFile(s.m.Items[1].Path, []byte("x"), 0)) },
		"mode":      func(s *site) { s.must(os.Chmod(s.m.Items[1].Path, 0o600)) },
		"owner":     func(s *site) { s.must(os.Chown(s.m.Items[1].Path, 1, 1)) },
		"there":     func(s *site) { s.write(s.m.Items[0].Path, "") },
		"hard link": func(s *site) { s.must(os.Link(s.m.Items[1].Path, filepath.Join(s.dir, "second name"))) },
		"moved":     func(s *site) { s.must(os.Rename(s.live, s.live+"2")); s.must(os.Symlink(s.live+"2", s.live)) },
		"mode item": func(s *site) { s.must(syscall.Chmod(s.m.Items[3].Path, 0o700)) },
		"link":      func(s *site) { s.must(os.Remove(s.m.Items[4].Service.Before.Links[0])) },
		"new lost":  func(s *site) { s.must(os.Truncate(filepath.Join(s.rundir(), "new/3"), 3)) },
		"no guard":  func(s *site) { s.must(os.RemoveAll(filepath.Join(s.rundir(), "guard"))) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := small(t, scratch(t)).ready()
			s.faulty()
			spoil(s)
			spoilt := tree(t, s.live)
			r := s.do("swap.sh")
			if r.status != 5 {
				t.Errorf("swap: %+v", r)
			}
			after := tree(t, s.live)
			for _, state := range []map[string]string{spoilt, after} {
				for k, v := range state { // the run's own second names go when it is over
					state[k] = regexp.MustCompile(` links \d`).ReplaceAllString(v, "")
				}
			}
			if d := cmp.Diff(spoilt, after); d != "" {
				t.Errorf("%s: %s", name, d)
			}
			s.checkOver("restored")
		})
	}
}

// TestFenced holds who may do what once the run's token is taken.
func TestFenced(t *testing.T) {
	s := small(t, scratch(t)).ready()
	s.faulty()
	if r := s.do("confirm.sh"); r.status != 3 {
		t.Errorf("confirm before the swap: %+v", r)
	}
	if r := s.do("swap.sh"); r.status != 0 {
		t.Fatalf("swap: %+v", r)
	}
	for range 2 {
		if r := s.do("confirm.sh"); r.status != 0 || r.said() != "confirmed" {
			t.Fatalf("confirm: %+v", r)
		}
		s.checkOver("confirmed")
	}
	for _, script := range []string{"restore.sh", "swap.sh"} {
		if r := s.do(script, "--guard"); r.status != 4 || r.said() != "fenced" {
			t.Errorf("%s after the confirmation: %+v", script, r)
		}
	}
	s.checkSwapped()
	s.mkdir(s.layout.Lock())
	s.write(filepath.Join(s.layout.Lock(), "run"), "r2\n")
	if r := s.do("restore.sh"); r.status != 3 || r.said() != "locked" {
		t.Errorf("while another run is at work: %+v", r)
	}
	s.mkdir(s.layout.Run("r2") + "/token")
	if r := s.do("restore.sh", "--for", "r2"); r.status != 4 || r.said() != "fenced" {
		t.Errorf("for a rollback that is over: %+v", r)
	}
	s.checkSwapped()
	s.must(os.RemoveAll(s.layout.Run("r2") + "/token"))
	if r := s.do("restore.sh", "--for", "r2"); r.status != 0 {
		t.Errorf("for a rollback: %+v", r)
	}
	if held, _ := filepath.Glob(s.layout.Run("r2") + "/busy.*/done"); len(held) != 2 {
		t.Errorf("the locks that it gave back: %v", held)
	}
	if _, err := os.Stat(s.layout.Lock()); err != nil {
		t.Errorf("the rollback's lock: %v", err)
	}
	if r := s.do("confirm.sh"); r.status != 4 {
		t.Errorf("confirm after the rollback: %+v", r)
	}
}

// TestEmpty holds that the scripts of a run that has saved nothing only end it.
func TestEmpty(t *testing.T) {
	s := siteIn(t, scratch(t))
	s.ready()
	if r := s.do("restore.sh", "--guard"); r.status != 0 || len(r.lines) != 0 {
		t.Errorf("restore: %+v", r)
	}
	s.checkOver("restored")
	if _, err := os.Stat(filepath.Join(s.dir, "reloads")); err == nil {
		t.Error("it reloaded, and nothing had changed")
	}
}

// TestDurable holds that each way of making files durable works here for files and directories, and says when it fails.
func TestDurable(t *testing.T) {
	dir := t.TempDir()
	for _, way := range []string{"names", "perl", "all"} {
		script := journal.Script() + "mh_setup; mh__sync=" + way + "; mh_durable " + dir + " /etc/hostname || exit 1; [ $mh__sync = all ] || ! mh_durable " + dir + "/none"
		if out, err := exec.Command("dash", "-c", script).CombinedOutput(); err != nil {
			t.Errorf("%s: %v %s", way, err, out)
		}
	}
}
