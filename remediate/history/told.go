package history

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/journal"
)

// Told is how a run stands on a host, as the host itself tells it.
type Told struct {
	Run      string
	Command  string
	Of       string
	Started  time.Time
	Ticket   string
	Note     string
	User     string // who ran it, and where: "kim@jump1"
	Plan     string
	Over     bool         // the run has ended on the host
	Ending   apply.Ending // where it is not Over: Unchanged or NotKnown, or NeedsPerson where nobody will put the host back
	Sentence string
	Steps    []apply.StepReport
	Owed     []string
	Damaged  int // lines of the host's journal that cannot be read
}

// Read makes of a host's runs, all that it has, how each stands. base is the folder of all runs there: for what a person types. lang is "en"
// or "ko".
func Read(records []journal.Record, base string, now time.Time, lang string) []Told {
	say := wordsOf(lang)
	var out []Told
	for i := range records {
		r := &records[i]
		if !r.Folder {
			continue
		}
		t := told(r, base, now, say)
		if by := undoneBy(records, r); by != "" && (t.Ending == apply.Changed || t.Ending == apply.RolledBack) {
			t.Ending, t.Sentence = apply.RolledBack, fmt.Sprintf(say.undone, by)
		}
		out = append(out, t)
	}
	slices.SortStableFunc(out, func(a, b Told) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Run, b.Run)) })
	return out
}

// undoneBy is the confirmed rollback of a run.
func undoneBy(records []journal.Record, r *journal.Record) string {
	for i := range records {
		o := &records[i]
		if o.About.Command == "rollback" && o.About.Of == r.Run {
			if e, _, _, over := apply.ReadBack(o, o.Now); over && e == apply.Changed {
				return o.Run
			}
		}
	}
	return ""
}

func told(r *journal.Record, base string, now time.Time, say words) Told {
	ending, steps, why, over := apply.ReadBack(r, now)
	a := r.About
	t := Told{
		Run: r.Run, Command: cmp.Or(a.Command, "apply"), Of: a.Of, Started: a.Started, Ticket: a.Ticket, Note: a.Note, Plan: a.Plan, User: a.User, Over: over, Ending: ending,
		Steps: steps, Owed: r.Owed, Damaged: r.Damaged,
	}
	if a.Controller != "" {
		t.User += "@" + a.Controller
	}
	switch {
	case over && ending == apply.Changed && t.Command == "rollback":
		t.Ending, t.Sentence = apply.RolledBack, fmt.Sprintf(say.undid, a.Of)
	case over:
		o := apply.Outcome{Ending: ending, Reason: clean(why), Command: script(base, r.Run, journal.FileRestore)}
		t.Sentence = clean(o.Sentence(say.lang))
	default:
		t.open(r, base, now, say)
	}
	return t
}

// open says how a run stands that has not ended on its host.
func (t *Told) open(r *journal.Record, base string, now time.Time, say words) {
	at := underWay(t.Steps)
	restore := script(base, r.Run, journal.FileRestore)
	switch {
	case r.Held():
		t.Ending, t.Sentence = apply.NotKnown, fmt.Sprintf(say.underWay, at, clean(r.Lock.Holder))
	case r.Armed():
		deadline := now.Add(r.Guard.Deadline.Sub(r.Now)).Local().Format(time.TimeOnly)
		t.Ending, t.Sentence = apply.NotKnown, fmt.Sprintf(say.armed, at, deadline)
	case !apply.Crossed(r):
		t.Ending, t.Sentence = apply.Unchanged, fmt.Sprintf(say.left, at)
		if r.Lock != nil {
			t.Sentence += fmt.Sprintf(say.locked, restore)
		}
	case r.Lock == nil:
		t.Ending, t.Sentence = apply.NotKnown, fmt.Sprintf(say.unsaid, at, r.Run)
	case r.Token == "confirm":
		t.Ending, t.Sentence = apply.NeedsPerson, fmt.Sprintf(say.confirmed, script(base, r.Run, "confirm.sh"))
	default:
		t.Ending, t.Sentence = apply.NeedsPerson, fmt.Sprintf(say.person, at, restore)
	}
	if len(r.Owed) > 0 {
		t.Sentence += say.owed + strings.Join(r.Owed, ", ")
	}
}

func script(base, run, name string) string { return "sh " + base + "/" + run + "/" + name }

// underWay is the step that was begun last, "-" where none was.
func underWay(steps []apply.StepReport) string {
	at := "-"
	for _, s := range steps {
		if s.State != apply.Pending {
			at = string(s.Step)
		}
	}
	return at
}

// words are the sentences of one language.
type words struct {
	lang, undone, undid, underWay, armed, left, locked, confirmed, person, unsaid, owed string
}

func wordsOf(lang string) words {
	if lang == "ko" {
		return words{
			lang: "ko", undone: "실행 %s에 의해 원상 복구됨", undid: "실행 %s을(를) 원상 복구함", underWay: "진행 중: %s 단계, 실행자 %s",
			armed: "상태 불명: %s 단계에서 중단됨, 호스트가 %s까지 스스로 복구함", left: "변경 없음: %s 단계에서 중단됨",
			locked:    "; 다음 apply 또는 rollback까지 호스트가 잠겨 있음, 해제하려면 호스트에서 실행: %s",
			confirmed: "확정되었으나 정리 전에 중단됨: 다음 apply 또는 rollback이 정리함, 또는 호스트에서 실행: %s",
			person:    "담당자 확인 필요: %s 단계에서 중단되었고 자동 복구가 대기하지 않음: 다음 apply 또는 rollback이 복구함, 또는 호스트에서 실행: %s",
			unsaid:    "상태 불명: 호스트에 %s 이후의 기록이 없고 진행 중인 실행도 아님: rollback %s이(가) 모든 파일을 확인함",
			owed:      "; 남은 작업: ",
		}
	}
	return words{
		lang: "en", undone: "rolled back by run %s", undid: "rolled back run %s", underWay: "under way: %s, by %s",
		armed: "not known: broken off at %s, the host restores itself by %s", left: "nothing was changed: broken off at %s",
		locked:    "; the host is locked until the next apply or rollback, or until one types there: %s",
		confirmed: "confirmed, and broken off before it had cleared up: the next apply or rollback does, or type there: %s",
		person:    "a person is needed: broken off at %s, and no guard is armed: the next apply or rollback puts the host back, or type there: %s",
		unsaid:    "not known: the host says nothing of it after %s, and it is not under way: rollback %s looks at every file",
		owed:      "; owed: ",
	}
}
