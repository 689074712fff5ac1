package postfix

import (
	"strings"
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// FuzzTable looks a key up in tables of any name and text: nothing may panic, and a table that is not read is never said to hold a key.
func FuzzTable(f *testing.F) {
	f.Add("texthash:/t", "a 1\n\"b c\" 2\n#\n  3\n", "a")
	f.Add("unionmap:{inline:{a=1},pipemap:{static:b,texthash:/t}}", "b c\n", "a")
	f.Add("pipemap:{", "", "")
	f.Add("inline:{{a = b}, c=}", "", "c")
	f.Add("cidr:/t", "if 1.2.0.0/16\n!1.2.3.0/24 OK\nendif\n", "1.2.4.1")
	f.Add("pcre:/t", "/(a)(?=b)/ $1\nif /x/\n", "ab")
	f.Add("{static:x, {search_order = a}}", "", "a")
	f.Fuzz(func(t *testing.T, spec, text, key string) {
		s := (&facts.Snapshot{}).With(&facts.File{Path: "/t", Data: []byte(text)})
		m := &model{snap: s, dir: "/etc/postfix", version: [3]int{3, 10, 0}, tables: map[string]*table{}}
		tb := m.table(spec)
		got := tb.look(key)
		if got.ok && tb.unread != "" || got.ok && got.failed != "" {
			t.Errorf("%q: %+v of a table that says %q %q", spec, got, tb.unread, tb.missing)
		}
		tb.values()
		m.askable(tb)
		m.told(tb, key)
	})
}

// FuzzAnswers reads and judges any two files: an answer has a text, and a second command's sh stays within its quotes.
func FuzzAnswers(f *testing.F) {
	f.Add("mynetworks = 0.0.0.0/0\n", "smtp inet n - n - - smtpd -vo mynetworks=::/0\n")
	f.Add("smtpd_relay_restrictions = check_client_access ldap:/a'b, reject\n", "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n")
	f.Add("transport_maps = inline:{*=error:x}\nsmtpd_upstream_proxy_protocol = haproxy\n", "smtp inet n - n - - smtpd\n")
	f.Add("postscreen_access_list = inline:{{0.0.0.0=dunno, reject}}, static:x\npostscreen_denylist_action = drop\npostscreen_allowlist_interfaces = !/a, ::\n", "smtp inet n - n - 1 postscreen\nsmtpd pass - - n - - smtpd\n")
	f.Add("smtpd_command_filter = inline:{{DATA=RCPT TO:<}, {EHLO [198.51.100.7]=HELO}}, static:{rcpt to:<a@b>}\nsmtpd_authorized_xforward_hosts = 1/2\n", "smtp inet n - n - - smtpd\n")
	f.Fuzz(func(t *testing.T, main, master string) {
		s := (&facts.Snapshot{Addrs: labAddrs}).With(&facts.File{Path: "/etc/postfix/main.cf", Data: []byte(main)}, &facts.File{Path: "/etc/postfix/master.cf", Data: []byte(master)})
		c, err := read(s, mta.Install{MTA: "postfix", Version: "3.10.4", Config: "/etc/postfix"})
		if err != nil {
			return
		}
		for _, a := range answers(s, c) {
			if a.Text == "" || a.Outcome == judge.Outcome("") {
				t.Fatalf("no text: %+v", a)
			}
		}
		if sh := follow(s, c); sh != "" && !strings.HasSuffix(sh, "\nfi\n") {
			t.Errorf("an odd end: %q", sh)
		}
	})
}
