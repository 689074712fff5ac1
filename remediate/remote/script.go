package remote

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

// Every word of a launch's command is read alike by sh, csh and fish once it is quoted: none holds a single quotation mark, a backslash, an
// exclamation mark or a line end (a test).
const (
	// pick runs the loader ($0) by a POSIX shell: /bin/sh of Solaris is none, its /usr/xpg4/bin/sh is.
	pick = `test -x /usr/xpg4/bin/sh && exec /usr/xpg4/bin/sh -c "$0" "$1"; exec /bin/sh -c "$0" "$1"`
	// load finds the tools that it and every script need, whatever the login says of a PATH; it makes a terminal pass bytes as they are, throws away the lines before the nonce ($0; a password that sudo did not ask for
	// is one), and runs what stands between it and the line "# NONCE". It reads to that line, not to the end: a terminal has none.
	load = `PATH=$PATH:/usr/xpg4/bin:/usr/bin:/bin:/usr/sbin:/sbin; export PATH; test -t 0 && stty raw -echo; while read -r mh_nonce; do case $mh_nonce in "$0") break;; esac; done; eval "$(sed "/^# $0/q")"`
)

// Launch is the command that runs a shell script sent on standard input. The script finds the nonce in $mh_nonce; it is one function called on
// its last line, so that of one cut on its way nothing runs. The nonce is eight letters or more, none but letters, digits and "-".
func Launch(nonce, script string) Cmd {
	return Cmd{Argv: []string{"/bin/sh", "-c", pick, load, nonce}, Stdin: []byte(nonce + "\n" + script + "# " + nonce + "\n")}
}

// Nonce returns a word that nobody can guess.
func Nonce() string {
	var b [12]byte
	rand.Read(b[:])
	return noncePrefix + hex.EncodeToString(b[:])
}

const noncePrefix = "mh-"

// Script is the command that runs text, POSIX sh, as a host's root: with args as its positional parameters, standard input empty, the umask 077,
// and the C locale. The text is made the body of one function that is called on the last line (see Launch). It goes by standard input, so that
// nothing of it stands in the process list. "exit" ends it.
func Script(text string, args ...string) Cmd {
	set := "set --"
	for _, a := range args {
		set += " " + Quote(a)
	}
	return Launch(Nonce(), "mh_script() {\nexec </dev/null\numask 077\n"+
		"LC_ALL=C; PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin; export LC_ALL PATH\n"+set+"\n"+
		strings.TrimRight(text, "\n")+"\n}\nmh_script\n")
}
