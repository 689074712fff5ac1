package remediate

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/playbooks"
	"mtaharden/remediate/apply"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
	"mtaharden/remediate/remote/remotetest"
	"mtaharden/remediate/remote/ssh"
)

// curious is a driver whose reading raises a question where the host's first answer is "ask". follow is the second command's part.
func curious(answer, follow string) *mta.Driver {
	return &mta.Driver{
		Name: "curious", Collect: "mh_fact curious " + answer + "\n",
		Detect: func(s *facts.Snapshot) []mta.Install { return []mta.Install{{MTA: "curious", Basis: mta.Lab}} },
		Read:   func(_ *facts.Snapshot, in mta.Install) (*mta.Config, error) { return &mta.Config{Install: in}, nil },
		Follow: func(s *facts.Snapshot, _ *mta.Config) string {
			if s.Fact("curious") == "ask" {
				return follow
			}
			return ""
		},
		Answers: func(s *facts.Snapshot, _ *mta.Config) []judge.Answer {
			a := judge.Answer{Question: judge.Question{Class: judge.Outside, Form: "plain", Verb: judge.Rcpt}, Judge: judge.MTA, Outcome: judge.CannotTell, Text: "not asked"}
			if o, ok := s.Output("curious:second"); ok && o.State == facts.Whole {
				a.Outcome, a.Text = judge.Relayed, strings.TrimSpace(string(o.Stdout))
			}
			return []judge.Answer{a}
		},
	}
}

// sshTarget starts s and returns a target that is reached through it.
func sshTarget(t *testing.T, s *remotetest.Server) Target {
	t.Helper()
	rules, err := playbooks.Baseline()
	if err != nil {
		t.Fatal(err)
	}
	file, pub := remotetest.NewKeyFile(t, "")
	s.User, s.Keys = "admin", append(s.Keys, pub)
	to := ssh.Target{Name: "mx1", Address: "127.0.0.1", Port: s.Start(t), User: "admin", Identities: []string{file}, KnownHosts: []string{s.KnownHosts(t)}}
	return Target{Name: "mx1", Address: "127.0.0.1", Rules: rules, Dial: func(ctx context.Context) (remote.Host, error) { return ssh.Dial(ctx, to) }}
}

func openRelay(t *testing.T, o Outcome) string {
	t.Helper()
	if o.Result == nil {
		t.Fatalf("no result: %v", o.Err)
	}
	for _, f := range o.Result.Findings {
		if f.Rule == "open-relay" && f.MTA == "curious" {
			return string(f.Status) + " " + f.Have
		}
	}
	t.Fatal("no finding open-relay")
	return ""
}

// TestFollow: one login, and a second exec only where reading raised a question; what was saved replays to the same; a second command that
// fails, or that raises the question again, costs its own answer alone.
func TestFollow(t *testing.T) {
	for _, c := range []struct {
		name, answer, follow string
		execs                int32
		says                 string
	}{
		{"no question", "quiet", "mh_cmd curious:second 5 echo no", 1, "not asked"},
		{"a question", "ask", "mh_cmd curious:second 5 echo open to all", 2, "fail RCPT relayed (plain): open to all"},
		{"still unanswered", "ask", "mh_fact curious:nothing more", 2, "not asked"},
		{"a second command that fails", "ask", "kill -9 $$", 2, "not asked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &remotetest.Server{}
			target, drivers := sshTarget(t, s), []*mta.Driver{curious(c.answer, c.follow)}
			var got []Outcome
			Run(t.Context(), Config{Targets: []Target{target}, Drivers: drivers, Forks: 1, Now: time.Now}, func(o Outcome) { got = append(got, o) })
			if len(got) != 1 || got[0].Err != nil {
				t.Fatalf("%+v", got)
			}
			if s.Logins.Load() != 1 || s.Execs.Load() != c.execs {
				t.Errorf("%d logins and %d execs, not 1 and %d", s.Logins.Load(), s.Execs.Load(), c.execs)
			}
			if have := openRelay(t, got[0]); !strings.Contains(have, c.says) {
				t.Errorf("have %q, not %q", have, c.says)
			}
			saved, err := facts.Parse(bytes.NewReader(got[0].Raw))
			if err != nil {
				t.Fatal(err)
			}
			again := Outcome{Result: Judge(saved, drivers, target, time.Now())}
			if live, replayed := openRelay(t, got[0]), openRelay(t, again); live != replayed {
				t.Errorf("live %q, replayed %q", live, replayed)
			}
		})
	}
}

// TestFollowCollected: collect saves what the second command brought, too, and an installed collector gets none.
func TestFollowCollected(t *testing.T) {
	s := &remotetest.Server{}
	drivers := []*mta.Driver{curious("ask", "mh_cmd curious:second 5 echo told")}
	c := Config{Targets: []Target{sshTarget(t, s)}, Drivers: drivers, Forks: 1, Now: time.Now}
	CollectAll(t.Context(), c, func(o Outcome) {
		saved, err := facts.Parse(bytes.NewReader(o.Raw))
		if err != nil {
			t.Fatal(err)
		}
		if out, ok := saved.Output("curious:second"); !ok || string(out.Stdout) != "told\n" {
			t.Errorf("saved: %+v", out)
		}
	})
	if s.Execs.Load() != 2 {
		t.Errorf("%d execs", s.Execs.Load())
	}
	installed := filepath.Join(t.TempDir(), "collect.sh")
	if err := os.WriteFile(installed, []byte(facts.Script(Parts(drivers)...)), 0o700); err != nil {
		t.Fatal(err)
	}
	c.Targets[0].Installed = []string{"/bin/sh", installed}
	CollectAll(t.Context(), c, func(o Outcome) {
		if o.Err != nil || o.Snapshot == nil {
			t.Errorf("%v", o.Err)
		}
	})
	if s.Execs.Load() != 3 {
		t.Errorf("%d execs: an installed collector got a second command", s.Execs.Load())
	}
}

// TestFollowFault: a fault in what raises the questions loses no snapshot.
func TestFollowFault(t *testing.T) {
	d := curious("ask", "")
	d.Follow = func(*facts.Snapshot, *mta.Config) string { panic("for the test") }
	c := Config{Targets: []Target{sshTarget(t, &remotetest.Server{})}, Drivers: []*mta.Driver{d}, Forks: 1, Now: time.Now}
	Run(t.Context(), c, func(o Outcome) {
		if o.Err != nil || !strings.Contains(openRelay(t, o), "not asked") {
			t.Errorf("%v", o.Err)
		}
	})
}

// TestProveStopped: in a stage the daemons of an installation that runs are asked, those of one that is stopped on the host are not there to be.
func TestProveStopped(t *testing.T) {
	for _, active := range []bool{true, false} {
		target, d := sshTarget(t, &remotetest.Server{}), curious("quiet", "")
		d.Detect = func(*facts.Snapshot) []mta.Install {
			return []mta.Install{{MTA: "curious", Active: active, Basis: mta.Lab}}
		}
		d.Prove = func(*facts.Snapshot, *mta.Config) string { return "mh_cmd curious:second 5 echo no daemon" }
		h, err := target.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		judge := (&Judges{Drivers: []*mta.Driver{d}, Now: time.Now}).Of(target)
		asked := map[apply.Where]bool{}
		for _, where := range []apply.Where{apply.Live, apply.InStage} {
			j, err := judge(t.Context(), h, where)
			if err != nil {
				t.Fatal(err)
			}
			asked[where] = strings.Contains(openRelay(t, Outcome{Result: j.Result}), "no daemon")
		}
		if asked[apply.Live] || asked[apply.InStage] != active {
			t.Errorf("active %t: asked %v", active, asked)
		}
	}
}
