package exim

import (
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/mta"
)

// insert adds an option that is set nowhere: to Debian's local macros, else before the first "begin" of the configuration file.
func (e *editor) insert(fix mta.Fix) error {
	if fix.Name == "" || strings.ContainsAny(fix.Name, " \t=:#.\"") || fix.Name[0] >= 'A' && fix.Name[0] <= 'Z' {
		return fmt.Errorf("cannot set %q: it is no name of a main option", fix.Name)
	}
	line := fix.Name + " = " + fix.Value
	if d := e.m.cfg.deb; d != nil {
		path := debLocal
		if d.split {
			path = debSplit + "/main/000_localmacros"
		}
		return e.appendLine(path, line, fix)
	}
	f, err := e.file(e.m.in.Config)
	if err != nil {
		return err
	}
	at := len(f.Data)
	for n := 1; ; n++ {
		from, to, ok := lineRange(f.Data, n)
		if !ok {
			break
		}
		if word, _ := cutWord(strings.TrimSpace(string(f.Data[from:to]))); word == "begin" {
			at = from
			break
		}
	}
	if continues(f.Data[:at]) {
		return fmt.Errorf("cannot add %s to %s: its last line asks to be continued", fix.Name, f.Path)
	}
	end := lineEnd(f.Data)
	if at == len(f.Data) && at > 0 && f.Data[at-1] != '\n' {
		line = end + line
	}
	e.put(f, change{From: at, To: at, New: line + end, fix: fix})
	return nil
}

// continues says whether a line put behind data would be the continuation of one before it: comment and blank lines do not end such a
// line (Exim specification 6.2).
func continues(data []byte) bool {
	lines := strings.Split(string(data), "\n")
	for _, line := range slices.Backward(lines) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return strings.HasSuffix(line, "\\")
		}
	}
	return false
}

// lineEnd is how the file ends its lines.
func lineEnd(data []byte) string {
	if i := slices.Index(data, '\n'); i > 0 && data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

func (e *editor) appendLine(path, line string, fix mta.Fix) error {
	f, err := e.file(path)
	if err != nil {
		if _, exists, known := e.m.open(path); exists || !known && path == debLocal {
			return err
		}
		e.files = append(e.files, mta.File{Path: path, Created: true})
		f = &e.files[len(e.files)-1]
	}
	if continues(f.Data) {
		return fmt.Errorf("cannot add %s to %s: its last line asks to be continued", fix.Name, path)
	}
	end := lineEnd(f.Data)
	if len(f.Data) > 0 && f.Data[len(f.Data)-1] != '\n' {
		line = end + line
	}
	e.put(f, change{From: len(f.Data), To: len(f.Data), New: line + end, fix: fix})
	return nil
}

// variable sets one of Debian's dc_ variables: the last assignment is the one that holds.
func (e *editor) variable(fix mta.Fix) error {
	d := e.m.cfg.deb
	if d == nil {
		return fmt.Errorf("cannot set %s: this configuration is not made of %s", fix.Name, debConf)
	}
	v, ok := d.vars[fix.Name]
	f, err := e.file(debConf)
	if err != nil {
		return err
	}
	value := fix.Value
	switch fix.Op {
	case mta.Unset:
		value = ""
	case mta.Add:
		sep := ":"
		if strings.Contains(v.Value, ";") {
			sep = " ; "
		}
		if v.Value != "" {
			value = v.Value + sep + value
		}
	}
	if strings.ContainsAny(value, "'\"$`\\") {
		return fmt.Errorf("cannot set %s: the shell would read %q otherwise", fix.Name, value)
	}
	if !ok {
		return e.appendLine(debConf, fix.Name+"='"+value+"'", fix)
	}
	from, to := v.From, v.To
	if v.Quote == 0 {
		value = "'" + value + "'"
	}
	e.put(f, change{From: from, To: to, New: value, fix: fix})
	return nil
}
