package exim

import "testing"

// What reading misses is asked for, and nothing else: no password file, no name that a client or a variable makes.
func TestFollow(t *testing.T) {
	const head = "primary_hostname = mx.example.edu\ndomainlist local_domains = @\nacl_smtp_rcpt = r\nbegin acl\nr:\n"
	for _, test := range []struct{ name, acl, want string }{
		{"nothing", "  deny\n", ""},
		{"a table in a condition", "  accept condition = ${lookup{$sender_host_address}iplsearch{/etc/mail/friends}{yes}{no}}\n", "mh_file '/etc/mail/friends'\n"},
		{"a list file", "  accept hosts = /etc/mail/hosts\n", "mh_file '/etc/mail/hosts'\n"},
		{"behind what does not hold", "  accept condition = no\n    hosts = /etc/mail/hosts\n", ""},
		{"passwords", "  accept condition = ${lookup{$local_part}lsearch{/etc/exim4/passwd}{yes}{no}}\n", ""},
		{"a name that is made up", "  accept condition = ${lookup{x}lsearch{/etc/$domain}{yes}{no}}\n", "mh_file '/etc/example.org' '/etc/mx.example.edu'\n"},
		{"quotes", "  accept hosts = /etc/a'b\n", ""},
		{"elsewhere", "  accept hosts = /home/x/hosts\n", ""},
		{"aliases", "  accept verify = recipient\nbegin routers\na:\n  driver = redirect\n  data = ${lookup{$local_part}lsearch{/etc/aliases}}\n", ""},
	} {
		m := modelOf(t, "4.96", "/c", head+test.acl, "", nil, func(string) ([]byte, bool, bool) { return nil, false, false })
		found := follow(nil, configOf(m))
		if found != test.want {
			t.Errorf("%s: %q, want %q", test.name, found, test.want)
		}
	}
}
