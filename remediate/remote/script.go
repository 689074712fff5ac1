package remote

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// The words of a script's command; facts' collector is started in the same way. Once quoted, each is read alike by sh, csh and fish: none holds
// a single quotation mark, a backslash, an exclamation mark or a line end (a test).
const (
	// scriptPick runs the loader ($0) by a POSIX shell: /bin/sh of Solaris is none, its /usr/xpg4/bin/sh is.
	scriptPick = `test -x /usr/xpg4/bin/sh && exec /usr/xpg4/bin/sh -c "$0" "$1"; exec /bin/sh -c "$0" "$1"`
	// scriptLoad makes a terminal pass bytes as they are, throws away the lines before the nonce ($0; a password that sudo did not ask for
	// is one), and runs what stands between it and the line "# NONCE".
	scriptLoad = `test -t 0 && stty raw -echo; while read -r mh_nonce; do case $mh_nonce in "$0") break;; esac; done; eval "$(sed "/^# $0/q")"`
)

// Script is the command that runs text, POSIX sh, as a host's root: with args as its positional parameters, standard input empty, the umask 077,
// and the C locale. The text is the body of one function that is called on its last line: of an upload that was cut off nothing runs. It goes by
// standard input, so that nothing of it stands in the process list. "exit" ends it.
func Script(text string, args ...string) Cmd {
	var word [12]byte
	rand.Read(word[:])
	nonce := "mh-" + hex.EncodeToString(word[:])
	set := "set --"
	for _, a := range args {
		set += " " + Quote(a)
	}
	payload := nonce + "\nmh_script() {\nexec </dev/null\numask 077\n" +
		"LC_ALL=C; PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH\n" + set + "\n" +
		strings.TrimRight(text, "\n") + "\n}\nmh_script\n# " + nonce + "\n"
	return Cmd{Argv: []string{"/bin/sh", "-c", scriptPick, scriptLoad, nonce}, Stdin: []byte(payload)}
}
