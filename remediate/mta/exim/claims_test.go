package exim

import (
	"testing"
)

// What strangers may come to whom no dialogue of `exim -bh` shows: each ACL was planted on Debian 12, where the plain dialogue is
// refused by all of them.
func TestClaims(t *testing.T) {
	const head = "primary_hostname = mx.example.edu\ndomainlist local_domains = mx.example.edu\nhostlist relay_from_hosts = 10.0.0.0/8\nacl_smtp_rcpt = r\nbegin acl\n  r:\n    accept hosts = :\n"
	const tail = "    accept domains = +local_domains\n    accept hosts = +relay_from_hosts\n    accept authenticated = *\n    deny message = relay not permitted\n"
	for _, test := range []struct{ name, acl, auth, form, want string }{
		{"stock", "", "", "", ""},
		{"TLS is enough", "    accept encrypted = *\n", "", "tls", "relayed"},
		{"TLS and a login", "    accept encrypted = *\n      authenticated = *\n", "", "", ""},
		{"all of IPv6", "    accept hosts = <; ::/0\n", "", "ipv6", "relayed"},
		{"a half of IPv6", "    accept hosts = <; ::/1\n", "", "ipv6", "relayed"},
		{"a network of IPv6", "    accept hosts = <; 2001:db8:1::/48\n", "", "", ""},
		{"some ciphers", "    accept encrypted = TLS1.3:x\n", "", "tls", "cannot-tell"},
		{"any password", "", "    server_condition = yes\n", "any-password", "relayed"},
		{"any password by a condition", "", "    server_condition = ${if eq{1}{1}{yes}{no}}\n", "any-password", "relayed"},
		{"a password", "", "    server_condition = ${if eq{$auth3}{x}{yes}{no}}\n", "", ""},
		{"a list of good clients", "    accept dnslists = list.example.net\n", "", "claims", "cannot-tell"},
		{"a list of bad clients", "    deny dnslists = list.example.net\n", "", "", ""},
		{"not on a list of bad clients, of one's own", "    accept domains = +local_domains\n      !dnslists = list.example.net\n", "", "", ""},
		{"a greeting", "    accept condition = ${if eq{$sender_helo_name}{in}}\n", "", "claims", "cannot-tell"},
		{"a sender by a variable", "    accept condition = ${if eq{$sender_address_domain}{in}}\n", "", "claims", "cannot-tell"},
		{"an ACL variable", "    accept condition = $acl_c_in\n", "", "claims", "cannot-tell"},
		{"a local part", "    accept local_parts = postmaster\n", "", "claims", "cannot-tell"},
		{"a local part here", "    accept local_parts = postmaster\n      domains = +local_domains\n", "", "", ""},
		{"an address here", "    accept recipients = postmaster@mx.example.edu\n", "", "", ""},
		{"a name of a host", "    accept hosts = mail.example.net\n", "", "", ""},
		{"domains in a data base", "    require domains = +local_domains : mysql;SELECT 1\n    accept domains = mysql;SELECT 1\n", "", "", ""},
		{"none but domains in a data base", "    deny !domains = +local_domains : mysql;SELECT 1\n    accept\n", "", "", ""},
		{"a good name in DNS", "    accept verify = reverse_host_lookup\n", "", "claims", "cannot-tell"},
		{"verified senders alone", "    require verify = sender\n", "", "", ""},
		{"an ACL within", "    accept acl = in\n  in:\n    accept encrypted = *\n  rest:\n", "", "tls", "relayed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conf := head + test.acl + tail + "begin authenticators\n  a:\n    driver = plaintext\n    public_name = PLAIN\n" + test.auth
			none := func(string) ([]byte, bool, bool) { return nil, false, true }
			p, err := parse(splitLines("/c", []byte(conf)), none, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			m := &model{cfg: understand(p, none), agrees: true, names: map[string]string{"far": "example.org", "from": "example.com"}}
			form, got := "", ""
			for _, a := range m.claims() {
				form, got = a.Question.Form, string(a.Outcome)
			}
			if got != test.want || test.want != "" && form != test.form {
				t.Errorf("%s %q, want %s %q", form, got, test.form, test.want)
			}
		})
	}
}
