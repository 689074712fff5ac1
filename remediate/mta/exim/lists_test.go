package exim

import (
	"strings"
	"testing"

	"mtaharden/remediate/judge"
)

// question is one from a client, or about an address, as a test names it.
func question(subject string) judge.Question {
	return judge.Question{Class: judge.Outside, ClientAddr: subject, Verb: judge.Rcpt, Sender: subject, Recipient: subject}
}

// What the items of host lists mean: specification, chapter 10.11 to 10.14. The lists were put to `exim -bh` too.
func TestHostLists(t *testing.T) {
	files := map[string]string{
		"/etc/nets":  "# office\n10.1.0.0/16\n!10.2.0.1\n10.2.0.0/16\n",
		"/etc/table": "192.168.0.0/16: a\n\"2001:db8::/32\": b\n",
	}
	open := func(path string) ([]byte, bool, bool) {
		text, ok := files[path]
		return []byte(text), ok, true
	}
	p, err := parse(splitLines("/c", []byte("hostlist own = 10.0.0.1 : !10.9.0.0/16 : 10.0.0.0/8\nx = 1\n")), open, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := understand(p, open)
	for _, test := range []struct {
		list, client string
		want         truth
	}{
		{":", "127.0.0.1", no},
		{"", "10.0.0.1", no},
		{"*", "10.0.0.1", yes},
		{"10.0.0.0/8", "10.0.0.1", yes},
		{"10.0.0.0/8", "11.0.0.1", no},
		{": 127.0.0.1 : ::::1", "::1", yes},
		{"<; 127.0.0.1 ; ::1", "::1", yes},
		{"!10.0.0.1", "10.0.0.1", no},
		{"!10.0.0.1", "10.0.0.2", yes},
		{"!10.0.0.1 : 10.0.0.0/8", "11.0.0.1", no},
		{"+own", "10.9.0.1", no},
		{"+own", "10.8.0.1", yes},
		{"!+own", "10.8.0.1", no},
		{"+none", "10.8.0.1", later},
		{"/etc/nets", "10.1.2.3", yes},
		{"/etc/nets", "10.2.0.1", no},
		{"/etc/nets", "10.2.0.2", yes},
		{"net-iplsearch;/etc/table", "192.168.3.4", yes},
		{"<| net-iplsearch;/etc/table", "2001:db8::7", yes},
		{"net-iplsearch;/etc/table", "10.0.0.1", no},
		{"mail.example.com", "10.0.0.1", maybe | later},
		{"10.0.0.0/8 : *.example.com", "10.0.0.1", yes},
		{"*.example.com : 10.0.0.0/8", "10.0.0.1", maybe | later},
		{"!*.example.com : 10.0.0.0/8", "10.0.0.1", maybe | later},
		{"${if exists{/etc/nets}{/etc/nets}{}}", "10.1.0.1", yes},
		{"${if exists{/etc/none}{/etc/none}{}}", "10.1.0.1", no},
		{"${if exists{/etc/none}{/etc/none}fail}", "10.1.0.1", no},
		{"${lookup{x}lsearch{/etc/table}}", "10.1.0.1", no},
		{"${lookup{x}cdb{/etc/table}}", "10.1.0.1", maybe},
	} {
		if got := newEvaluator(c, question(test.client)).matchList(test.list, "hostlist", 0, matchHost); got != test.want {
			t.Errorf("%s in %q: %d, want %d", test.client, test.list, got, test.want)
		}
	}
}

func TestAddressLists(t *testing.T) {
	c := understand(&program{}, func(string) ([]byte, bool, bool) { return nil, false, true })
	c.primary = "mx.example.com"
	e := newEvaluator(c, judge.Question{})
	for _, test := range []struct {
		list, address string
		want          truth
	}{
		{"*@example.com", "a@example.com", yes},
		{"*@example.com", "a@x.example.com", no},
		{"*@*.example.com", "a@x.example.com", yes},
		{"example.com", "a@example.com", yes},
		{"a@example.com", "A@EXAMPLE.com", yes},
		{":", "", yes},
		{"*@example.com", "", no},
		{"^a.*@example\\.com", "abc@example.com", yes}, // the backslash is the expansion's: "." is any character
		{"\\N^a.*@example\\.com$\\N", "abc@example.com", yes},
		{"mysql;select x", "a@example.com", maybe},
	} {
		if got := e.matchList(test.list, "addresslist", 0, addressMatcher(test.address)); got != test.want {
			t.Errorf("%q in %q: %d, want %d", test.address, test.list, got, test.want)
		}
	}
	for _, test := range []struct {
		list, domain string
		want         truth
	}{
		{"@ : localhost", "mx.example.com", yes},
		{"*.org", "example.org", yes},
		{"*", "example.org", yes},
		{"! @ : *", "mx.example.com", no},
		{"@mx_any", "example.org", maybe | later},
	} {
		if got := e.matchList(test.list, "domainlist", 0, domainMatcher(test.domain)); got != test.want {
			t.Errorf("%q in %q: %d, want %d", test.domain, test.list, got, test.want)
		}
	}
}

func TestExpand(t *testing.T) {
	c := understand(&program{}, func(path string) ([]byte, bool, bool) { return nil, path == "/there", true })
	c.primary = "mx.example.com"
	e := newEvaluator(c, judge.Question{ClientAddr: "10.1.2.3", Sender: "a@b.example", Recipient: "c@D.example"})
	for _, test := range []struct {
		in, want string
		known    bool
	}{
		{"plain", "plain", true},
		{"$sender_host_address:${domain}", "10.1.2.3:d.example", true},
		{"${if eq{$local_part}{c}{yes}{no}}", "yes", true},
		{"${if and{{>{$rcpt_count}{10}}{<{$recipients_count}{${eval:$rcpt_count/2}}}}}", "", true},
		{"${if or{{exists{/none}}{exists{/there}}}{1}{0}}", "1", true},
		{"${if !def:authenticated_id{x}{y}}", "x", true},
		{"${if def:header_x:{x}{y}}", "", false},
		{"${lc:ABC}", "abc", true},
		{"${run{/bin/true}}", "", false},
		{"${if eq{${run{x}}}{1}{a}{a}}", "a", true},
		{"\\N$x\\N", "$x", true},
		{"${extract{a}{a=1 b=2}{yes}{no}}", "yes", true},
		{"${extract{c}{a=1 b=2}{yes}{no}}", "no", true},
		{"${extract{a}{a= b=2}{yes}{no}}", "", false},
		{"${extract{2}{:}{1::3}{yes}{no}}", "", false},
		{"${if", "", false},
		{"$", "", false},
	} {
		got, known := e.expand(test.in)
		if known != test.known || known && got != test.want {
			t.Errorf("%q: %q %v, want %q %v", test.in, got, known, test.want, test.known)
		}
	}
}

// A value that doubles with every line ends at a bound, and is then not known.
func TestExpandBounded(t *testing.T) {
	e := newEvaluator(understand(&program{}, func(string) ([]byte, bool, bool) { return nil, false, true }), judge.Question{ClientAddr: "10.1.2.3"})
	e.vars["acl_m0"] = value{strings.Repeat("a", 1<<10), true}
	for range 40 {
		e.modify(&cond{Name: "set acl_m0", Value: "$acl_m0$acl_m0"}, true)
		if v := e.vars["acl_m0"]; len(v.text) > 4*maxExpanded {
			t.Fatalf("%d bytes", len(v.text))
		}
	}
	if e.vars["acl_m0"].known {
		t.Error("a value without end is known")
	}
	e.vars["acl_m1"] = value{strings.Repeat("a", 1<<17), true}
	if _, known := e.expand("${sg{$acl_m1}{a}{$acl_m1}}"); known {
		t.Error("a replacement without end is known")
	}
}

// A stranger may hold a certificate that a public authority signed, wherever the system keeps their list.
func TestCertificate(t *testing.T) {
	for from, want := range map[string]truth{
		"system": maybe, "/etc/ssl/certs/ca-certificates.crt": maybe, "/etc/ssl/cert.pem": maybe, "/usr/local/share/certs/ca-root-nss.crt": maybe,
		"/etc/pki/tls/certs/ca-bundle.crt": maybe, "/etc/exim4/ca-bundle.crt": maybe, "/etc/exim4/own-ca.pem": no, "/etc/ssl/mail-ca.pem": no,
	} {
		c := understand(&program{}, func(string) ([]byte, bool, bool) { return nil, false, true })
		c.options["tls_try_verify_hosts"] = &option{Value: "*"}
		c.options["tls_verify_certificates"] = &option{Value: from}
		if got := newEvaluator(c, judge.Question{ClientAddr: "10.1.2.3", TLS: true}).certificate(); got != want {
			t.Errorf("%s: %d, want %d", from, got, want)
		}
	}
}
