package plan

import (
	"strings"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
)

// WeakSSH is the rule of the finding that a host was reached by algorithms which no longer protect a connection. The broken ones are used only
// where the inventory allows them for that host by name, so that a person answers for it: the status is review.
const WeakSSH = "ssh-weak"

// weakSSH is that finding, where the connection used any.
func weakSSH(s *facts.Snapshot) []Finding {
	used := strings.Join(s.Transport.Legacy, ", ")
	if used == "" {
		return nil
	}
	return []Finding{{
		Rule: WeakSSH, Install: -1, Severity: playbooks.High, Status: Review,
		Words: Words{
			Title:  "The way to the host: SSH itself is weak",
			Why:    "Who can listen to or change such a connection may read what the audit reads and, while a change is made, send commands of their own (RFC 8732, RFC 8758, RFC 9142).",
			Have:   "logged in by " + used,
			Want:   "current algorithms alone",
			Manual: "Update the host's sshd, or give it newer algorithms (sshd_config(5): KexAlgorithms, HostKeyAlgorithms, Ciphers, MACs); then take allow_legacy_ssh, where it is set, out of the inventory.",
		},
		Ko: Words{
			Title:  "호스트 접속 경로: SSH 자체가 취약함",
			Why:    "이러한 연결은 도청·변조가 가능하여 점검 내용이 노출되거나, 조치 중 다른 명령이 삽입될 수 있음 (RFC 8732, RFC 8758, RFC 9142)",
			Have:   "취약한 알고리즘으로 접속함: " + used,
			Want:   "현행 알고리즘만 사용",
			Manual: "sshd를 갱신하거나 최신 알고리즘을 허용(sshd_config(5)의 KexAlgorithms, HostKeyAlgorithms, Ciphers, MACs)한 뒤 인벤토리에서 allow_legacy_ssh를 제거",
		},
	}}
}
