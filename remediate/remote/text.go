package remote

import "strings"

// lastLines returns the last n lines that are not empty, as one line that is safe on a terminal.
func lastLines(text string, n int) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = Clean(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(len(lines)-n, 0):], " / ")
}

// Clean returns what a host said as one line for a message: control characters become spaces, at most 300 bytes are kept.
func Clean(text string) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x200e || r == 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return ' '
		}
		return r
	}, text))
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return text
}
