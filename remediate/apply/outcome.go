package apply

import (
	"fmt"
	"time"

	"mtaharden/remediate/plan"
)

// Ending is how a run left a host.
type Ending string

const (
	Unchanged   Ending = "unchanged"      // as it was: nothing to do, or the run ended before the bar
	Changed     Ending = "changed"        // changed and confirmed
	RolledBack  Ending = "rolled-back"    // put back as it was
	Failed      Ending = "failed"         // putting it back failed
	NotBegun    Ending = "not-begun"      // the run ended before the host's turn
	NotKnown    Ending = "not-known"      // the link was lost after the bar and the state could not be read back
	NeedsPerson Ending = "needs-a-person" // a conflict, which nobody but a person may decide
)

// Step is a step of a run on a host, in the words of its journal.
type Step string

const (
	Save       Step = "save"
	Backup     Step = "backup"
	StageStep  Step = "stage"
	Regenerate Step = "regenerate"
	Validate   Step = "validate"
	Prove      Step = "prove"
	Guard      Step = "guard"
	Swap       Step = "swap"
	Reload     Step = "reload"
	Verify     Step = "verify"
	Confirm    Step = "confirm"
)

// Steps lists the steps in their order. Until Guard is done no live file has changed: what follows is right of the bar.
func Steps() []Step {
	return []Step{Save, Backup, StageStep, Regenerate, Validate, Prove, Guard, Swap, Reload, Verify, Confirm}
}

// StepState says how far a step got.
type StepState string

const (
	Pending StepState = "pending"
	Doing   StepState = "doing"
	Done    StepState = "done"
	Broken  StepState = "failed"
	Skipped StepState = "skipped"
	Undone  StepState = "undone"
)

// StepReport is one step as reports show it.
type StepReport struct {
	Step  Step      `json:"step"`
	State StepState `json:"state"`
	Error string    `json:"error,omitempty"`
}

// Outcome is how a run ended on one host. Everything in it that lies right of the bar was read back from the host.
type Outcome struct {
	Host   string
	Run    string // "" where the host was never touched
	Ending Ending
	// Reason says why it ended so, where that is not the good end: one clause that begins in lower case.
	Reason  string
	Err     error // the failure behind Reason; errors.Is names its kind
	Nothing bool  // there was nothing to do: Unchanged is then the good end
	Stands  int   // of Nothing: how many findings stand that no change of the plan's mends, or that could not be judged
	Steps   []StepReport
	Until   time.Time // of NotKnown: the moment by which the host has restored itself
	Command string    // of Failed and NeedsPerson: what a person types on the host
	Result  *plan.Result
	// Generated are the changes of files that the host's own programs made from their sources.
	Generated []plan.Change
	Warnings  []string // what a person should know and that stopped nothing
	// Conflicts are the files whose content is neither the one nor the other; their diffs are shown to the person who decides.
	Conflicts []Conflict
}

// Conflict is a file of a rollback that holds what neither the run nor the host before it had put there.
type Conflict struct {
	Path string
	Diff string // three ways: as it was before the run, as the run left it, as it is
}

// Sentence says in one sentence how the host stands.
func (o Outcome) Sentence(lang string) string {
	say, because := sentences, ": "
	if lang == "ko" {
		say = sentencesKo
	}
	text := say[o.Ending]
	switch o.Ending {
	case Failed: // what is typed stands last, so that nothing else is
		why := ""
		if o.Reason != "" {
			why = " (" + o.Reason + ")"
		}
		return fmt.Sprintf(text, why, o.Command)
	case NotKnown:
		text = fmt.Sprintf(text, o.Until.Local().Format(time.TimeOnly))
	case NeedsPerson:
		if o.Command != "" {
			because = " (" + o.Command + "): "
		}
	}
	switch {
	case o.Nothing && o.Stands > 0 && lang == "ko":
		text += because + fmt.Sprintf("계획에 조치할 것이 없음, 조치되지 않은 항목 %d건", o.Stands)
	case o.Nothing && o.Stands > 0:
		text += because + fmt.Sprintf("the plan has nothing to do here, and mends nothing of what stands (findings: %d)", o.Stands)
	case o.Nothing && lang == "ko":
		text += because + "조치할 것이 없음"
	case o.Nothing:
		text += because + "there was nothing to do"
	case o.Reason != "":
		text += because + o.Reason
	}
	return text
}

// standing counts the findings that are not well.
func standing(r *plan.Result) int {
	n := 0
	if r != nil {
		for _, f := range r.Findings {
			if f.Status == plan.Fail || f.Status == plan.Error || f.Status == plan.Unknown {
				n++
			}
		}
	}
	return n
}

var sentences = map[Ending]string{
	Unchanged:   "nothing was changed",
	Changed:     "changed and confirmed",
	RolledBack:  "rolled back",
	Failed:      "rollback failed%s, type this on the host: %s",
	NotKnown:    "not known: the link was lost after the bar, the host restores itself by %s",
	NotBegun:    "not begun",
	NeedsPerson: "a person is needed",
}

var sentencesKo = map[Ending]string{
	Unchanged:   "변경 없음",
	Changed:     "변경 및 확정됨",
	RolledBack:  "원상 복구됨",
	Failed:      "복구 실패%s, 호스트에서 다음을 실행: %s",
	NotKnown:    "상태 불명: 적용 중 연결이 끊김, 호스트가 %s까지 스스로 복구함",
	NotBegun:    "시작하지 않음",
	NeedsPerson: "담당자 확인 필요",
}
