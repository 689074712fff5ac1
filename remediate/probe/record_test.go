package probe

import (
	"flag"
	"fmt"
	"regexp"
	"strings"
)

var record = flag.Bool("record", false, "write what the lab's servers said into testdata/servers; TestAsk -update then writes what follows from it")

// recording is a case of TestAsk whose server says what a real one said.
func recording(r *Report, what string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Recorded from a real server: %s.\n-- config --\naddr %s\n-- server --\nbanner %s\n", what, r.Listener.Addr, r.Banner)
	seen := map[string]bool{}
	add := func(mail string, x Exchange) {
		command := tokens.ReplaceAllString(regexp.QuoteMeta(x.Sent), "mth[0-9a-f]{12}")
		if strings.HasPrefix(x.Sent, "EHLO") {
			command = "EHLO .*"
		}
		if strings.HasPrefix(x.Sent, "RCPT") {
			command += " | " + regexp.QuoteMeta(mail) + "$"
		}
		if x.Sent == "" || x.Error != "" || x.Reply.Code == 0 || seen[command] || strings.HasPrefix(x.Sent, "(") {
			return
		}
		seen[command] = true
		fmt.Fprintf(&b, "> %s\n", command)
		for i, line := range x.Reply.Lines {
			sep := "-"
			if i == len(x.Reply.Lines)-1 {
				sep = " "
			}
			fmt.Fprintf(&b, "< %03d%s%s\n", x.Reply.Code, sep, tokens.ReplaceAllString(line, "mthTOKEN"))
		}
		if x.Sent == "STARTTLS" && x.Reply.good() {
			b.WriteString("< !tls\n")
		}
	}
	for _, s := range r.Services {
		for _, x := range s.Dialogue {
			add("", x)
		}
	}
	for _, c := range r.Cases {
		mail := ""
		for _, x := range c.Dialogue {
			if strings.HasPrefix(x.Sent, "MAIL") {
				mail = x.Sent
			}
			add(mail, x)
		}
	}
	b.WriteString("-- want --\n")
	return b.String()
}
