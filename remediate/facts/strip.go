package facts

import "strings"

// Strip takes out of a shell script what the shell does not read: lines that are only a comment, empty lines and the blanks that lines
// begin with, all of them only where no quotation or here-document is open. What it does not understand it leaves as it is.
func Strip(script string) string {
	var b strings.Builder
	var q quoting
	for line := range strings.Lines(script) {
		if q.open() || q.heredoc {
			b.WriteString(line)
		} else {
			line = strings.TrimLeft(line, " \t")
			if line == "\n" || line == "" || line[0] == '#' {
				continue
			}
			b.WriteString(line)
		}
		q.read(line)
	}
	return b.String()
}

// quoting follows the quotation marks of a shell script, line by line.
type quoting struct {
	stack   []byte // ' " ( { of what is open; ( is a command substitution, { a parameter expansion
	joined  bool   // the line before ended in a backslash
	heredoc bool   // a here-document was begun: from here on nothing is changed
}

func (q *quoting) open() bool { return q.joined || q.top() == '\'' || q.top() == '"' || q.top() == '{' }

func (q *quoting) top() byte {
	if len(q.stack) == 0 {
		return 0
	}
	return q.stack[len(q.stack)-1]
}

func (q *quoting) push(c byte) { q.stack = append(q.stack, c) }
func (q *quoting) pop()        { q.stack = q.stack[:len(q.stack)-1] }

// read follows one line.
func (q *quoting) read(line string) {
	q.joined = false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch top := q.top(); {
		case top == '\'':
			if c == '\'' {
				q.pop()
			}
		case c == '\\':
			i++
			q.joined = i < len(line) && line[i] == '\n'
		case c == '"':
			if top == '"' {
				q.pop()
			} else {
				q.push('"')
			}
		case c == '$' && i+1 < len(line) && line[i+1] == '{':
			q.push('{')
			i++
		case top == '{' && c == '}':
			q.pop()
		case c == '\'' && top != '"':
			q.push('\'')
		case top == '"' || top == '{':
			// Inside double quotes only what is above matters: a substitution there has its own quotes, which pair by themselves.
		case c == '#' && (i == 0 || strings.IndexByte(" \t;&|(", line[i-1]) >= 0):
			return
		case c == '<' && i+1 < len(line) && line[i+1] == '<':
			q.heredoc = true
		}
	}
}
