package remote

import "strings"

// Like says whether name is of the form of pattern, in which * is any text and ? any one byte, and nothing else is special: the patterns of
// ssh_config(5) and sshd(8) (known_hosts). It takes time in proportion to the product of the two lengths at most.
func Like(pattern, name string) bool {
	p, n, star, mark := 0, 0, -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
