package postfix

import (
	"testing"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
)

// TestSocketOwner: a socket belongs to the service that names its address, wherever that stands; a service that names a port only has the
// others. Of two entries for one service the last is the one that runs.
func TestSocketOwner(t *testing.T) {
	const master = "smtp inet n - n - - smtpd -o a=first\nsmtp inet n - n - - smtpd -o a=any\n10.9.9.1:smtp inet n - n - - smtpd -o a=named\n"
	s := (&facts.Snapshot{
		Listeners: []facts.Listener{{Addr: "127.0.0.1:25", PID: 7}, {Addr: "10.9.9.1:25", PID: 7}},
	}).With(&facts.File{Path: "/etc/postfix/main.cf", Data: []byte("inet_interfaces = loopback-only\n")}, &facts.File{Path: "/etc/postfix/master.cf", Data: []byte(master)})
	c, err := read(s, mta.Install{MTA: "postfix", Version: "3.10", Config: "/etc/postfix"})
	if err != nil {
		t.Fatal(err)
	}
	m := c.Model.(*model)
	m.listeners = m.findListeners(7)
	for addr, want := range map[string]string{"127.0.0.1:25": "any", "10.9.9.1:25": "named"} {
		l, ok := m.find(addr)
		if !ok {
			t.Errorf("no listener %s among %v", addr, listenAddrs(m))
			continue
		}
		if o, _ := l.smtpd.override("a"); o == nil || o.value != want {
			t.Errorf("%s is served by %+v, want a=%s", addr, o, want)
		}
	}
}
