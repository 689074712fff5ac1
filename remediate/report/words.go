package report

import (
	"strings"
	"unicode"

	"mtaharden/remediate/apply"
	"mtaharden/remediate/plan"
)

// words are a report's own words in one language.
type words struct {
	status                                             map[plan.Status]string
	severity                                           map[plan.Severity]string
	state                                              map[State]string
	have, want, why, place, todo, evidence, guide      string
	controls, changes                                  string
	summary, hosts, folded, nothing, problems, fixable string
	refuse, perhaps, notReached                        string
	regenerate, validate, reload                       string
	moment                                             string // layout of a log line's time
	proofs                                             map[plan.Proof]string
	judges                                             map[string]string
	kinds                                              map[plan.ChangeKind]string
	says                                               map[string]string // the judges' outcomes
	outcome, run, steps, warning, conflict             string
	undoes, planned, ticket, mendable                  string
	endings                                            map[apply.Ending]string
}

func wordsOf(lang string) words {
	if lang == "ko" {
		return korean()
	}
	return english()
}

func english() words {
	w := words{
		have: "have", want: "want", why: "why", place: "at", todo: "by hand", evidence: "evidence",
		guide: "guide", controls: "controls", changes: "changes",
		summary: "summary", hosts: "hosts", folded: "%d passed, %d not applicable", nothing: "nothing would be changed",
		problems: "not collected", fixable: "fix", refuse: "would refuse: %s, %s messages, last %s",
		perhaps: "may refuse: %s, %s messages, last %s (an entry by name may still let it relay)", notReached: "%d not reached, %d not read to the end",
		regenerate: "regenerate", validate: "validate", reload: "reload", moment: "2 Jan 15:04",
		outcome: "outcome", run: "run", steps: "steps", warning: "warning", conflict: "conflict",
		undoes: "%s of %s", planned: "plan", ticket: "ticket", mendable: "an apply mends it",
	}
	w.status = map[plan.Status]string{}
	for _, s := range plan.Statuses() {
		w.status[s] = strings.ToUpper(string(s))
	}
	w.severity = map[plan.Severity]string{}
	for _, s := range plan.Severities() {
		w.severity[s] = string(s)
	}
	w.state = map[State]string{
		OK: "ok", Unreachable: "unreachable", AuthFailed: "authentication failed", HostKey: "host key refused",
		NoPrivilege: "no privilege", NotBegun: "not begun", Incomplete: "not read to the end", Failed: "error",
	}
	w.proofs = map[plan.Proof]string{plan.ByEvaluator: "planned, proven by evaluator", plan.AtApply: "planned, proven at apply"}
	w.judges = map[string]string{"config": "configuration", "mta": "the MTA asked", "network": "network"}
	return w // kinds and outcomes are English words already
}

// korean uses the words of the Korean guides: 양호, 취약 and 확인필요 are their verdicts.
func korean() words {
	return words{
		have: "현황", want: "기준", why: "사유", place: "위치", todo: "수동 조치", evidence: "근거",
		guide: "가이드 문구", controls: "통제 항목", changes: "변경 사항",
		summary: "요약", hosts: "호스트", folded: "양호 %d건, 해당없음 %d건", nothing: "변경할 내용 없음",
		problems: "수집하지 못함", fixable: "자동 조치", refuse: "거부 예상: %s, %s건, 최근 %s",
		perhaps: "거부 가능성: %s, %s건, 최근 %s (이름 기반 항목으로 계속 허용될 수 있음)", notReached: "접속 불가 %d대, 수집 미완료 %d대",
		regenerate: "재생성", validate: "검증", reload: "재적용", moment: "1월 2일 15:04",
		outcome: "결과", run: "작업", steps: "단계", warning: "주의", conflict: "충돌",
		undoes: "%s (대상 %s)", planned: "계획", ticket: "변경 번호", mendable: "apply로 조치 가능",
		endings: map[apply.Ending]string{
			apply.Unchanged: "변경 없음", apply.Changed: "변경됨", apply.RolledBack: "원상 복구", apply.Failed: "복구 실패",
			apply.NotBegun: "시작하지 않음", apply.NotKnown: "상태 불명", apply.NeedsPerson: "담당자 확인 필요",
		},
		status: map[plan.Status]string{
			plan.Pass: "양호", plan.Fail: "취약", plan.Unknown: "확인필요", plan.Error: "확인필요", plan.Review: "확인필요",
			plan.NotApplicable: "해당없음", plan.Waived: "취약(예외승인)",
		},
		severity: map[plan.Severity]string{"critical": "심각", "high": "상", "medium": "중", "low": "하"},
		state: map[State]string{
			OK: "정상", Unreachable: "접속 불가", AuthFailed: "인증 실패", HostKey: "호스트 키 불일치",
			NoPrivilege: "권한 없음", NotBegun: "시작하지 않음", Incomplete: "수집 미완료", Failed: "오류",
		},
		proofs: map[plan.Proof]string{plan.ByEvaluator: "계획됨, 평가기로 입증", plan.AtApply: "계획됨, 적용 시 입증"},
		judges: map[string]string{"config": "설정", "mta": "MTA 질의", "network": "네트워크"},
		kinds: map[plan.ChangeKind]string{
			plan.EditFile: "수정", plan.CreateFile: "생성", plan.DeleteFile: "삭제", plan.Generated: "재생성", plan.ModeChange: "권한 변경", plan.Unit: "서비스",
		},
		says: map[string]string{
			"relayed": "릴레이됨", "delivered": "수신됨", "refused": "거부됨", "deferred": "보류됨", "dead": "동작하지 않음",
			"disclosed": "노출됨", "cannot-tell": "판단 불가",
		},
	}
}

// word is a word in the report's language, itself where it has no other.
func word[K ~string](words map[K]string, key K) string {
	if w, ok := words[key]; ok {
		return w
	}
	return string(key)
}

// clean makes a string from a host safe for a terminal: control and format characters (escape sequences, carriage returns, characters
// that turn the direction of writing) are shown, not done. Line breaks become the sign that stands for them.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return '␤'
		case r == '\t':
			return ' '
		case r < 0x20:
			return 0x2400 + r
		case r == 0x7f:
			return '␡'
		case unprintable(r):
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

// unprintable says whether a character is one to obey rather than to show.
func unprintable(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }
