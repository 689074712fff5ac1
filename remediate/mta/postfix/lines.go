package postfix

// logical is one logical line as Postfix's readlline(3) forms it: a line that begins with text, joined with the lines after it that
// begin with white space. Comment and blank lines are passed over, also between the parts (postconf(5), "main.cf file format").
type logical struct {
	text string // without line ends and NUL bytes; a carriage return stays, it is white space to Postfix
	pos  []int  // for each byte of text its offset in the file
	line int    // the number of its first line, from 1
	end  int    // offset after the line end of its last part
}

// logicalLines returns the logical lines of data in order, and the numbers of lines that begin with white space where no line was
// open: Postfix warns about those and leaves them out.
func logicalLines(data []byte) (lines []logical, stray []int) {
	var open *logical
	number := 0
	for at := 0; at < len(data); {
		number++
		end := at
		for end < len(data) && data[end] != '\n' {
			end++
		}
		next := min(end+1, len(data))
		switch first := firstText(data[at:end]); {
		case first < 0 || data[at+first] == '#': // blank or comment: it neither ends nor continues a line
		case first == 0:
			lines = append(lines, logical{line: number})
			open = &lines[len(lines)-1]
			open.add(data, at, end, next)
		case open == nil:
			stray = append(stray, number)
		default:
			open.add(data, at, end, next)
		}
		at = next
	}
	return lines, stray
}

func (l *logical) add(data []byte, from, to, next int) {
	text := make([]byte, 0, len(l.text)+to-from)
	text = append(text, l.text...)
	for i := from; i < to; i++ {
		if data[i] == 0 {
			continue
		}
		text = append(text, data[i])
		l.pos = append(l.pos, i)
	}
	l.text, l.end = string(text), next
}

// firstText is the index of the first byte of line that is neither white space nor NUL, -1 for a blank line.
func firstText(line []byte) int {
	for i, c := range line {
		if c != 0 && !isSpace(c) {
			return i
		}
	}
	return -1
}

// isSpace is isspace(3) in the C locale.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// word is a member of a list value: its text and where it stands in the text that was split.
type word struct {
	text       string
	start, end int
}

// splitList splits a list at commas and white space. Where braces holds, a comma or blank within { } does not split
// (postconf(5): Postfix 3.0 and later).
func splitList(text string, braces bool) []word {
	var words []word
	start, depth := -1, 0
	for i := 0; i <= len(text); i++ {
		if i == len(text) || depth == 0 && isSeparator(text[i]) {
			if start >= 0 {
				words = append(words, word{text[start:i], start, i})
				start = -1
			}
			continue
		}
		if start < 0 {
			start = i
		}
		switch {
		case braces && text[i] == '{':
			depth++
		case braces && text[i] == '}' && depth > 0:
			depth--
		}
	}
	return words
}

func isSeparator(c byte) bool { return c == ',' || isSpace(c) }

// trimSpace returns text without white space at its ends, and how many bytes were taken off the front.
func trimSpace(text string) (string, int) {
	from := 0
	for from < len(text) && isSpace(text[from]) {
		from++
	}
	to := len(text)
	for to > from && isSpace(text[to-1]) {
		to--
	}
	return text[from:to], from
}
