package main

import (
	"mtaharden/remediate/judge"
	"mtaharden/remediate/probe"
)

// probeWords are the words of probe's reports in one language.
type probeWords struct {
	verdict                                                              map[probe.Verdict]string // one word
	sentence                                                             map[probe.Verdict]string // with the client's address
	state                                                                map[probe.PortState]string
	outcome                                                              map[judge.Outcome]string
	listing                                                              map[probe.ListStatus]string
	columns                                                              []string // of csv
	here, there                                                          string   // a client: this machine's address, that of another host
	trusted                                                              string   // what a verdict of relaying does not say
	forms, unasked, unproven                                             string
	banner, product, tls, cert, auth, relay, note, proxy, dnsbl, address string
	noAuth, authPlain, authTLS, noTLS, issuer, until, unverified         string
	openProxy, noProxy, perhapsProxy                                     string
	totals, title, asked, askedHere, askedForms, means, onlyOpen         string
	sections                                                             map[string]string
}

func probeWordsOf(lang string) probeWords {
	if lang == "ko" {
		return probeKorean()
	}
	return probeEnglish()
}

func probeEnglish() probeWords {
	w := probeWords{
		verdict: map[probe.Verdict]string{}, state: map[probe.PortState]string{}, outcome: map[judge.Outcome]string{}, listing: map[probe.ListStatus]string{},
		sentence: map[probe.Verdict]string{
			probe.Proven:     "RELAYS for %s: a message arrived",
			probe.Relays:     "RELAYS for %s",
			probe.AcceptsAll: "TAKES ALL from %s, also for domains that exist nowhere: an open relay or a sink, delivery unproven",
			probe.Unsure:     "cannot tell whether it relays for %s",
			probe.OwnRelays:  "takes mail for elsewhere from %s, which is the server's own machine: nearly all trust that, so it says nothing of other clients",
			probe.Refused:    "refuses every foreign recipient from %s",
			probe.NoService:  "no mail service for %s",
			probe.NotOpen:    "not open to %s",
		},
		columns: []string{"target", "address", "port", "kind", "state", "verdict", "forms", "client", "banner", "product", "tls", "certificate_until",
			"auth_without_tls", "vrfy", "expn", "proxy", "dnsbl", "error"},
		here: "%s, this machine's address", there: "%s (%s)",
		trusted: "; that says nothing of other clients if that address is trusted there",
		forms:   "%d forms refused", unasked: "%d not tested", unproven: "%s taken, delivery unproven",
		banner: "banner", product: "product", tls: "TLS", cert: "certificate", auth: "AUTH", relay: "relay", note: "note", proxy: "proxy", dnsbl: "dnsbl",
		address: "address", noAuth: "none", authPlain: "without TLS: %s", authTLS: "with TLS: %s", noTLS: "not offered", issuer: "issuer", until: "until", unverified: "not verified: %s",
		openProxy: "OPEN PROXY", noProxy: "no open proxy", perhapsProxy: "cannot tell",
		totals: "summary", title: "Mail relay sweep of %s, port %s", asked: "asked from %s, %s to %s UTC, mtaharden %s", askedHere: "this machine",
		askedForms: "asked in these forms alone: %s", means: "A server \"relays\" that took mail from this client for somewhere else. Where the client's address is trusted by that server, this says nothing of other clients.",
		onlyOpen: "%d addresses: %d relay, %d cannot tell, %d refuse, %d own, %d no mail service,\n%d closed, %d no answer, %d not reached; %d open proxies, %d listed",
		sections: map[string]string{"relays": "RELAYS", "proxy": "OPEN PROXY", "unsure": "CANNOT TELL", "own": "THIS MACHINE (proves nothing)", "refuses": "REFUSES", "none": "NO MAIL SERVICE", "lost": "NOT REACHED", "listed": "LISTED", "closed": "CLOSED OR SILENT"},
	}
	for _, v := range probe.Verdicts() {
		w.verdict[v] = string(v)
	}
	for _, s := range []probe.PortState{probe.Open, probe.Closed, probe.Silent, probe.Unreachable} {
		w.state[s] = string(s)
	}
	for _, o := range []judge.Outcome{judge.Relayed, judge.Refused, judge.Disclosed, judge.CannotTell, judge.Deferred, judge.Dead, judge.Delivered} {
		w.outcome[o] = string(o)
	}
	for _, s := range []probe.ListStatus{probe.Listed, probe.NotListed, probe.ListUnsure, probe.NotLooked} {
		w.listing[s] = string(s)
	}
	return w
}

func probeKorean() probeWords {
	return probeWords{
		verdict: map[probe.Verdict]string{
			probe.Proven: "릴레이 입증(취약)", probe.Relays: "릴레이 허용(취약)", probe.AcceptsAll: "모두 수락(취약 의심)", probe.Unsure: "확인필요",
			probe.OwnRelays: "자체 장비(판정 불가)", probe.Refused: "릴레이 거부(양호)", probe.NoService: "메일 서비스 없음", probe.NotOpen: "접속 불가",
		},
		sentence: map[probe.Verdict]string{
			probe.Proven:     "릴레이 입증(취약): %s 에서 보낸 메일이 도착함",
			probe.Relays:     "릴레이 허용(취약): %s 에 대해 외부 수신자를 수락함",
			probe.AcceptsAll: "모두 수락(취약 의심): %s 에 대해 존재하지 않는 도메인까지 수락함. 오픈 릴레이이거나 싱크이며 실제 배달은 입증되지 않음",
			probe.Unsure:     "확인필요: %s 에 대해 판정할 수 없음",
			probe.OwnRelays:  "판정 불가: %s 는 서버 자신의 장비임. 대부분의 서버가 자신을 신뢰하므로 다른 클라이언트에 대해서는 알 수 없음",
			probe.Refused:    "릴레이 거부(양호): %s 에 대해 외부 수신자를 모두 거부함",
			probe.NoService:  "메일 서비스 없음: %s",
			probe.NotOpen:    "접속 불가: %s",
		},
		state:   map[probe.PortState]string{probe.Open: "열림", probe.Closed: "닫힘", probe.Silent: "응답 없음", probe.Unreachable: "경로 없음"},
		outcome: map[judge.Outcome]string{judge.Relayed: "릴레이", judge.Refused: "거부(양호)", judge.Disclosed: "노출(취약)", judge.CannotTell: "확인필요", judge.Deferred: "보류", judge.Dead: "응답 불가", judge.Delivered: "수신"},
		listing: map[probe.ListStatus]string{probe.Listed: "등재됨", probe.NotListed: "등재되지 않음", probe.ListUnsure: "확인필요", probe.NotLooked: "조회하지 않음"},
		columns: []string{"대상", "주소", "포트", "종류", "상태", "판정", "형식", "클라이언트", "배너", "제품", "TLS", "인증서 만료", "TLS 없는 AUTH", "VRFY", "EXPN", "프락시", "DNSBL", "오류"},
		here:    "%s(이 장비의 주소)", there: "%s(%s)",
		trusted: ". 이 주소가 그 서버에서 신뢰 대상이라면 다른 클라이언트에 대해서는 알 수 없음",
		forms:   "%d개 형식 거부", unasked: "%d개 형식 미확인", unproven: "%s 수락(배달 미입증)",
		banner: "배너", product: "제품", tls: "TLS", cert: "인증서", auth: "AUTH", relay: "릴레이", note: "참고", proxy: "프락시", dnsbl: "DNSBL",
		address: "주소", noAuth: "없음", authPlain: "TLS 없이: %s", authTLS: "TLS 사용: %s", noTLS: "제공하지 않음", issuer: "발급자", until: "만료", unverified: "검증 실패: %s",
		openProxy: "오픈 프락시(취약)", noProxy: "오픈 프락시 아님", perhapsProxy: "확인필요",
		totals: "요약", title: "메일 릴레이 점검: %s, 포트 %s", asked: "점검 위치 %s, %s ~ %s UTC, mtaharden %s", askedHere: "이 장비",
		askedForms: "점검한 주소 형식: %s", means: "\"릴레이 허용\"은 이 클라이언트가 보낸 외부 수신자 메일을 수락했다는 뜻임. 클라이언트의 주소가 그 서버에서 신뢰 대상이라면 다른 클라이언트에 대해서는 알 수 없음.",
		onlyOpen: "주소 %d개: 릴레이 허용 %d, 확인필요 %d, 릴레이 거부 %d, 자체 장비 %d, 메일 서비스 없음 %d,\n닫힘 %d, 응답 없음 %d, 접속 불가 %d; 오픈 프락시 %d, DNSBL 등재 %d",
		sections: map[string]string{"relays": "릴레이 허용(취약)", "proxy": "오픈 프락시(취약)", "unsure": "확인필요", "own": "자체 장비(판정 불가)", "refuses": "릴레이 거부(양호)", "none": "메일 서비스 없음", "lost": "접속 불가", "listed": "DNSBL 등재", "closed": "닫힘 또는 응답 없음"},
	}
}
