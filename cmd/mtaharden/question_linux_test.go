package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/plan"
)

// TestInterruptedQuestion: a person is asked about a host's generated files and does not answer. The first interrupt leaves the question standing, for the
// host is to be brought to its end; the second takes it back, and those of the hosts that wait behind it: a host's lock and shell are held meanwhile.
func TestInterruptedQuestion(t *testing.T) {
	if os.Getenv("MTAHARDEN_ASKS") != "" {
		ch := &change{changing: &changing{}, stderr: &lines{w: os.Stderr}, plan: &plan.Plan{}}
		ch.prompt = &prompter{}
		ctx, _, _, release := ch.signals()
		defer release()
		files := []apply.GeneratedFile{{Path: "/etc/map", Diff: "+a line\n", Unexplained: []string{"+a line"}}}
		ended := make(chan error)
		for _, host := range []string{"a", "b"} {
			go func() { ended <- ch.agree(ctx, host)(files) }()
		}
		fmt.Printf("ended: %v\nended: %v\n", <-ended, <-ended)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestInterruptedQuestion$")
	cmd.Env = append(os.Environ(), "MTAHARDEN_ASKS=1")
	screen, err := attend(cmd, []answer{{"Type yes: ", interruptKey}, {"once more to give them up", interruptKey}})
	for text, n := range map[string]int{"Type yes: ": 1, "the question was taken back: interrupted": 1, "ended: ": 2} {
		if err != nil || strings.Count(screen, text) != n {
			t.Errorf("%v; %q is not there %d times:\n%s", err, text, n, screen)
		}
	}
}

// TestInterruptedAgreement: before anything is begun one interrupt takes the question back, and the run with it.
func TestInterruptedAgreement(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	if _, err := new(prompter).question(ctx, "go on? "); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Error(err)
	}
}

// TestQuestionInTurn: while one thing is asked for on the terminal nothing else is.
func TestQuestionInTurn(t *testing.T) {
	if os.Getenv("MTAHARDEN_ASKS") != "" {
		p, asked := &prompter{}, make(chan string)
		p.ttyMu.Lock() // somebody is typing a one-time code
		go func() {
			line, err := p.question(t.Context(), "go on? ")
			asked <- fmt.Sprintf("%q, %v", line, err)
		}()
		time.Sleep(200 * time.Millisecond) // a slow machine sees less, and nothing that is wrong
		fmt.Println("the code was typed")
		p.ttyMu.Unlock()
		fmt.Println(<-asked)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestQuestionInTurn$")
	cmd.Env = append(os.Environ(), "MTAHARDEN_ASKS=1")
	screen, err := attend(cmd, []answer{{"go on? ", "yes"}})
	code, question := strings.Index(screen, "the code was typed"), strings.Index(screen, "go on? ")
	if err != nil || code < 0 || question < code || !strings.Contains(screen, `"yes", <nil>`) {
		t.Errorf("%v: %s", err, screen)
	}
}
