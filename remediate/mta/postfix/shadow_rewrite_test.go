package postfix

import (
	"bufio"
	"net"
	"strconv"
	"strings"
	"time"
)

// A client of the real rewrite service, which answers for addresses what smtpd is told.

// resolveBy asks the rewrite service what smtpd asks of it: the address in standard form, then where it goes.
func resolveBy(addr string) (resolved, error) {
	form, err := askRewrite("request", "rewrite", "rule", "local", "address", quoteLocal(addr))
	if err != nil {
		return resolved{}, err
	}
	to, err := askRewrite("request", "resolve", "sender", "", "address", unquoteLocal(form["address"]))
	if err != nil {
		return resolved{}, err
	}
	flags, err := strconv.Atoi(to["flags"])
	x := resolved{Addr: to["recipient"], Route: flags&2 != 0, Fail: flags&8 != 0}
	for bit, c := range map[int]class{8: classLocal, 9: classAlias, 10: classVirtual, 11: classRelay, 12: classDefault} {
		if flags&(1<<bit) != 0 {
			x.Class = c
		}
	}
	return x, err
}

// askRewrite speaks Postfix's attribute protocol: names and values that end in zero bytes, an empty name last.
func askRewrite(pairs ...string) (map[string]string, error) {
	c, err := net.Dial("unix", "/var/spool/postfix/private/rewrite")
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte(strings.Join(pairs, "\x00") + "\x00\x00")); err != nil {
		return nil, err
	}
	r := bufio.NewReader(c)
	answer := map[string]string{}
	for {
		name, err := r.ReadString(0)
		if err != nil {
			return nil, err
		}
		if name == "\x00" {
			if _, banner := answer["protocol"]; banner && len(answer) == 1 { // 3.6 and later greet first
				answer = map[string]string{}
				continue
			}
			return answer, nil
		}
		value, err := r.ReadString(0)
		if err != nil {
			return nil, err
		}
		answer[strings.TrimSuffix(name, "\x00")] = strings.TrimSuffix(value, "\x00") // of two flags the last is the address's
	}
}

// quoteLocal puts a local part that is no dot-string in quotes, behind a source route; addresses travel so to be rewritten, and without
// quotes to be resolved (quote_822_local(3)).
func quoteLocal(addr string) string {
	route := ""
	if i := strings.IndexByte(addr, ':'); i >= 0 && strings.HasPrefix(addr, "@") {
		route, addr = addr[:i+1], addr[i+1:]
	}
	local, domain, ok := cutLast(addr)
	plain := local != "" && !strings.ContainsAny(local, "()<>@,;:\\\"[] \t") && local[0] != '.' && local[len(local)-1] != '.' && !strings.Contains(local, "..")
	if !plain {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	if ok {
		local += "@" + domain
	}
	return route + local
}

func unquoteLocal(addr string) string {
	var b strings.Builder
	for i := 0; i < len(addr); i++ {
		switch {
		case addr[i] == '\\' && i+1 < len(addr):
			i++
			b.WriteByte(addr[i])
		case addr[i] == '"':
		default:
			b.WriteByte(addr[i])
		}
	}
	return b.String()
}
