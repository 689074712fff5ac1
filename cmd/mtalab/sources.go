package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
)

// A source is one package archive of this machine.
type source struct {
	URI        string
	Suites     []string
	Components []string
	SignedBy   string
}

// aptSources reads this machine's sources.list and sources.list.d, both forms (sources.list(5)), below etc/apt.
func aptSources(root fs.FS) ([]source, error) {
	var all []source
	names := []string{"etc/apt/sources.list"}
	for _, pattern := range []string{"etc/apt/sources.list.d/*.list", "etc/apt/sources.list.d/*.sources"} {
		more, err := fs.Glob(root, pattern)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	for _, name := range names {
		data, err := fs.ReadFile(root, name)
		if err != nil {
			continue
		}
		if path.Ext(name) == ".sources" {
			all = append(all, parseDeb822(string(data))...)
		} else {
			all = append(all, parseList(string(data))...)
		}
	}
	return all, nil
}

// parseList reads the one-line form: deb [option=value …] URI suite component…
func parseList(text string) []source {
	var all []source
	s := bufio.NewScanner(strings.NewReader(text))
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		signed := ""
		if before, rest, ok := strings.Cut(line, "["); ok {
			options, after, _ := strings.Cut(rest, "]")
			line = before + " " + after
			for _, o := range strings.Fields(options) {
				if v, ok := strings.CutPrefix(o, "signed-by="); ok {
					signed = v
				}
			}
		}
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "deb" {
			continue
		}
		all = append(all, source{URI: f[1], Suites: f[2:3], Components: f[3:], SignedBy: signed})
	}
	return all
}

// parseDeb822 reads the stanza form, continuation lines and comments included.
func parseDeb822(text string) []source {
	var all []source
	for stanza := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		fields := deb822Fields(stanza)
		if !slices.Contains(strings.Fields(fields["types"]), "deb") || strings.EqualFold(strings.TrimSpace(fields["enabled"]), "no") {
			continue
		}
		signed := strings.TrimSpace(fields["signed-by"])
		if strings.Contains(signed, "\n") {
			signed = "" // a key in the stanza itself
		}
		for _, uri := range strings.Fields(fields["uris"]) {
			all = append(all, source{URI: uri, Suites: strings.Fields(fields["suites"]), Components: strings.Fields(fields["components"]), SignedBy: signed})
		}
	}
	return all
}

func deb822Fields(stanza string) map[string]string {
	fields := map[string]string{}
	last := ""
	for line := range strings.SplitSeq(stanza, "\n") {
		switch {
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += "\n" + line
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			last = strings.ToLower(name)
			fields[last] = value
		}
	}
	return fields
}

// A mirror is where this machine takes Debian from. Security is empty where the machine has none.
type mirror struct{ Main, Security string }

// debianMirror finds Debian's archive among the sources: the first whose suite is a release's code name.
func debianMirror(all []source, codenames []string) (mirror, error) {
	var m mirror
	for _, s := range all {
		u, err := url.Parse(s.URI)
		if err != nil || !slices.Contains(s.Components, "main") {
			continue
		}
		for _, suite := range s.Suites {
			name, security := strings.CutSuffix(suite, "-security")
			if old, ok := strings.CutSuffix(suite, "/updates"); ok { // up to Debian 10
				name, security = old, true
			}
			switch {
			case !slices.Contains(codenames, name):
			case security && m.Security == "":
				m.Security = u.String()
			case !security && m.Main == "":
				m.Main = u.String()
			}
		}
	}
	if m.Main == "" {
		return m, fmt.Errorf("cannot find a Debian mirror in this machine's apt sources (/etc/apt/sources.list, /etc/apt/sources.list.d)")
	}
	return m, nil
}

// lines is a sources.list for a suite. The security suite is left out where the machine has no such archive.
func (m mirror) lines(suite string) []string {
	lines := []string{fmt.Sprintf("deb %s %s main", m.Main, suite)}
	if m.Security != "" {
		lines = append(lines, fmt.Sprintf("deb %s %s-security main", m.Security, suite))
	}
	return lines
}
