package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

// A scan is what nmap's SMTP scripts say of one listener.
type scan struct {
	Relay   string   // smtp-open-relay's first line
	Forms   []string // the relay forms that it counts as accepted
	Ehlo    []string // smtp-commands: the reply to EHLO but its first line, sorted
	Users   []string // smtp-enum-users: "METHOD name", sorted
	Trouble []string // what each script said beside that
}

const nmapLimit = 3 * time.Minute

// nmapScan runs nmap's scripts at a vantage point. The foreign domain is one that the lab's resolver knows: nmap's own
// would be refused for not existing. Users are asked for in the server's own name.
func (l *Lab) nmapScan(ctx context.Context, where, server string, to netip.AddrPort) (*scan, error) {
	ctx, cancel := context.WithTimeout(ctx, nmapLimit)
	defer cancel()
	argv := []string{"nmap", "-n", "-Pn", "-sT", "-vv", "-oX", "-", "-p", fmt.Sprint(to.Port()),
		"--script", "+smtp-open-relay,+smtp-commands,+smtp-enum-users",
		"--script-args", fmt.Sprintf("smtp-open-relay.domain=%s,smtp-commands.domain=%[1]s,smtp-enum-users.domain=%s", foreignDomain, server)}
	if to.Addr().Is6() {
		argv = append(argv, "-6")
	}
	c := l.vantageCommand(ctx, where, append(argv, to.Addr().String())...)
	var out, errout bytes.Buffer
	c.Stdout, c.Stderr = &out, &errout
	if err := c.Run(); err != nil {
		return nil, fmt.Errorf("cannot run nmap: %v: %s", err, lastLines(errout.String(), 3))
	}
	return parseScan(out.Bytes())
}

// parseScan reads nmap's XML (nmap.dtd) of one host and one port.
func parseScan(data []byte) (*scan, error) {
	var doc struct {
		Ports []struct {
			State struct {
				State string `xml:"state,attr"`
			} `xml:"state"`
			Scripts []struct {
				ID     string `xml:"id,attr"`
				Output string `xml:"output,attr"`
			} `xml:"script"`
		} `xml:"host>ports>port"`
	}
	if err := xml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("cannot read nmap's output: %v", err)
	}
	if len(doc.Ports) != 1 {
		return nil, fmt.Errorf("nmap speaks of %d ports, not of one", len(doc.Ports))
	}
	s := &scan{}
	for _, script := range doc.Ports[0].Scripts {
		switch script.ID {
		case "smtp-open-relay":
			s.relay(script.Output)
		case "smtp-commands":
			s.commands(script.Output)
		case "smtp-enum-users":
			s.users(script.Output)
		}
	}
	return s, nil
}

func (s *scan) relay(output string) {
	lines := strings.Split(strings.TrimSpace(output), "\n")
	s.Relay = strings.TrimSpace(lines[0]) // nmap leaves the reply's CR where the server's next line came in the same read
	if before, _, ok := strings.Cut(s.Relay, ": failed to receive data"); ok {
		s.Relay = before + ": failed to receive data" // how it failed depends on who was faster
	}
	for _, line := range lines[1:] {
		line = strings.TrimSpace(line)
		if form := formOf(line); form != "" {
			s.Forms = append(s.Forms, form)
		} else {
			s.Trouble = append(s.Trouble, line)
		}
	}
}

// formOf is the relay form of a line "MAIL FROM:<x> -> RCPT TO:<y>", whatever the server's name and address are.
func formOf(line string) string {
	for _, f := range relayForms() {
		pattern := regexp.QuoteMeta(fmt.Sprintf("MAIL FROM:<%s> -> RCPT TO:<%s>", f.From, f.To))
		pattern = strings.NewReplacer(`\{srv\}`, `[\w.-]+`, `\{ip\}`, `[0-9a-fA-F.:]+`, `\{d\}`, regexp.QuoteMeta(foreignDomain)).Replace(pattern)
		if regexp.MustCompile("^" + pattern + "$").MatchString(line) {
			return f.Name
		}
	}
	return ""
}

// commands reads "NAME, KEYWORD, KEYWORD …" and, on the next line, the reply to HELP.
func (s *scan) commands(output string) {
	first, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
	if !strings.Contains(first, ",") {
		s.Trouble = append(s.Trouble, first)
		return
	}
	for _, word := range strings.Split(first, ",")[1:] {
		if word = strings.TrimSpace(word); word != "" {
			s.Ehlo = append(s.Ehlo, word)
		}
	}
	// The first line of the reply may hold commas of its own: what is no keyword (RFC 5321 §4.1.1.1) belongs to it.
	s.Ehlo = slices.DeleteFunc(s.Ehlo, func(w string) bool { return w != strings.ToUpper(w) && !strings.HasPrefix(w, "AUTH") })
	sort.Strings(s.Ehlo)
}

func (s *scan) users(output string) {
	for _, line := range strings.Split(strings.TrimSpace(output), "\n") {
		method, name, ok := strings.Cut(strings.TrimSpace(line), ", ")
		if ok && slices.Contains([]string{"RCPT", "VRFY", "EXPN"}, method) {
			s.Users = append(s.Users, method+" "+name)
		} else if line != "" {
			s.Trouble = append(s.Trouble, strings.TrimSpace(line))
		}
	}
	sort.Strings(s.Users)
}

// methods are those by which users were found.
func (s *scan) methods() []string {
	var m []string
	for _, u := range s.Users {
		method, _, _ := strings.Cut(u, " ")
		m = append(m, method)
	}
	return slices.Compact(m)
}
