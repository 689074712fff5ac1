package facts

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"strings"
)

// The parts of the script that belong to no MTA.
var (
	//go:embed sh/prelude.sh
	preludeSh string
	//go:embed sh/batch.sh
	batchSh string
	//go:embed sh/host.sh
	hostSh string
	//go:embed sh/process.sh
	processSh string
	//go:embed sh/panels.txt
	panelsTxt string
	//go:embed sh/proc.awk
	procAwk string
	//go:embed sh/package.sh
	packageSh string
	//go:embed sh/mask.awk
	maskAwk string
	//go:embed sh/frame.awk
	frameAwk string
	//go:embed sh/file.awk
	fileAwk string
	//go:embed sh/output.awk
	outputAwk string
	//go:embed sh/errors.awk
	errorsAwk string
	//go:embed sh/batch.awk
	batchAwk string
)

// runSh begins the frame and sends the host part.
const runSh = `mh__setup
printf '\n%s begin 1 %s %s\n' "$mh_nonce" "$mh_digest" "$(awk 'BEGIN { srand(); srand(); print srand() }')"
mh_host
`

const scriptHead = `#!/bin/sh
# The collector of mtaharden: everything that an audit runs on a host. It changes nothing there and reads nothing from its standard input.
# By hand, as root: sh collect.sh > host.snap
# All of it is one function, called on the last line: of a copy that was cut on its way nothing runs.
mh_collect() {
`

// tools are the programs of which a snapshot says whether and where they are.
var tools = []string{
	"ss", "netstat", "lsof", "systemctl", "svcs", "lssrc", "rc-service", "dpkg-query", "rpm", "apk", "pacman", "openssl", "gzip", "stat",
	"timeout", "unshare", "systemd-run", "setsid", "flock", "m4", "make", "getfacl", "etckeeper",
}

// Script returns the collector with its comments: the host part and the drivers' parts, in the order given.
func Script(parts ...string) string {
	text := body(parts)
	return scriptHead + "mh_digest=" + digestBody(text) + "\n" + text + "mh_collect </dev/null\n"
}

// ScriptDigest is what the script of these parts says of itself, as Snapshot.Digest: the sha256 of its function without comments and
// without the line that names the digest.
func ScriptDigest(parts ...string) string { return digestBody(body(parts)) }

func digestBody(text string) string { return Digest(Strip(text)) }

func body(parts []string) string {
	var b strings.Builder
	writeFunctions(&b)
	b.WriteString(listVariable("mh_panels", panelsTxt))
	b.WriteString("mh_tools='" + strings.Join(tools, " ") + "'\n")
	writeParts(&b, append([]string{runSh}, parts...))
	return b.String()
}

// writeFunctions writes what every part is written over.
func writeFunctions(b *strings.Builder) {
	for _, v := range []struct{ name, program string }{
		{"mh_awk_mask", maskAwk}, {"mh_awk_frame", frameAwk}, {"mh_awk_file", fileAwk}, {"mh_awk_output", outputAwk}, {"mh_awk_proc", procAwk},
		{"mh_awk_errors", errorsAwk}, {"mh_awk_batch", batchAwk},
	} {
		b.WriteString(awkVariable(v.name, v.program))
	}
	for _, p := range []string{preludeSh, batchSh, packageSh, processSh, hostSh} {
		b.WriteString(strings.TrimRight(p, "\n") + "\n\n")
	}
}

// writeParts writes what the one function does, and its end.
func writeParts(b *strings.Builder, parts []string) {
	for _, p := range parts {
		b.WriteString(strings.TrimRight(p, "\n") + "\n\n")
	}
	b.WriteString("printf '%s done\\n' \"$mh_nonce\"\n} 6>&1\n")
}

// Digest is the sha256 of a text, in hexadecimal.
func Digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// awkVariable returns the shell text that puts an awk program into a variable. Its comments become the shell's: they stand before the
// function they speak of, so that the quoted text holds none.
func awkVariable(name, program string) string {
	var b strings.Builder
	b.WriteString(name + "=\n")
	open := false
	for line := range strings.Lines(program) {
		line = strings.TrimSuffix(line, "\n")
		comment := strings.HasPrefix(line, "#")
		if open && (comment || line == "") {
			b.WriteString("'\n")
			open = false
		}
		if comment {
			b.WriteString(line + "\n")
			continue
		}
		if line == "" {
			continue
		}
		if !open {
			b.WriteString(name + "=$" + name + "'")
			open = true
		}
		b.WriteString(line + "\n")
	}
	if open {
		b.WriteString("'\n")
	}
	return b.String()
}

// listVariable returns the shell text that puts the lines of a list into a variable, its comments before it.
func listVariable(name, list string) string {
	var comments, lines strings.Builder
	for line := range strings.Lines(list) {
		if strings.HasPrefix(line, "#") {
			comments.WriteString(line)
		} else {
			lines.WriteString(line)
		}
	}
	return comments.String() + name + "='" + strings.TrimSuffix(lines.String(), "\n") + "'\n"
}
