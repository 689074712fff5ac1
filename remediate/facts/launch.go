package facts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"mtaharden/remediate/remote"
)

// ErrDigest means that the collector installed on a host is not the one of this program.
var ErrDigest = errors.New("the installed collector is another one")

// Command returns the command that runs the collector with these drivers' parts, under a nonce of its own run: eight letters or more,
// none but letters, digits and "-".
func Command(nonce string, parts ...string) remote.Cmd {
	return command(nonce, Script(parts...))
}

func command(nonce, script string) remote.Cmd {
	c := remote.Launch(nonce, Strip(script))
	c.Tells = true // no section of it may take longer than 75 s
	return c
}

// Nonce returns a word that nobody can guess.
func Nonce() string { return remote.Nonce() }

// Collect runs the collector on a host, as one command, and returns the Snapshot and the bytes it was made of, for saving. Where the
// run was cut off, or the link lost, the error says so and the Snapshot, if there is one, holds what had come and is not Complete.
func Collect(ctx context.Context, h remote.Host, parts ...string) (*Snapshot, []byte, error) {
	nonce := Nonce()
	return run(ctx, h, Command(nonce, parts...), nonce)
}

// CollectInstalled runs the copy of the collector that is installed on the host, by the words of the inventory's collect_command. A copy
// that is not this program's (or has other parts) gives ErrDigest beside the Snapshot, which then may not be judged.
func CollectInstalled(ctx context.Context, h remote.Host, command []string, parts ...string) (*Snapshot, []byte, error) {
	s, raw, err := run(ctx, h, remote.Cmd{Argv: command, Bare: true, Tells: true}, "")
	if err == nil && s.Digest != ScriptDigest(parts...) {
		err = fmt.Errorf("cannot use the snapshot of %s: %w: it says %.16s, this program's is %.16s",
			strings.Join(command, " "), ErrDigest, Printable(s.Digest), ScriptDigest(parts...))
	}
	return s, raw, err
}

func run(ctx context.Context, h remote.Host, c remote.Cmd, nonce string) (*Snapshot, []byte, error) {
	res, err := h.Run(ctx, c, maxFrame)
	s, perr := parse(bytes.NewReader(res.Stdout), nonce)
	if s != nil {
		s.Transport = h.Transport()
	}
	if err != nil {
		return s, res.Stdout, err
	}
	if perr != nil {
		return nil, res.Stdout, fmt.Errorf("%w (exit status %d)%s", perr, res.Exit, said(res.Stderr))
	}
	return s, res.Stdout, nil
}

// said returns the first line of a standard error that says something, for a message.
func said(stderr []byte) string {
	for line := range strings.Lines(string(stderr)) {
		if line = strings.TrimSpace(line); line != "" {
			if len(line) > 200 {
				line = line[:200]
			}
			return ": " + Printable(line)
		}
	}
	return ""
}

// Sudoers returns the line of sudoers(5) that lets user run the collector installed at path, and nothing else, as root. sudo checks the
// file's digest before it runs it; the two quotation marks forbid arguments.
func Sudoers(user, path string, parts ...string) string {
	return fmt.Sprintf("%s ALL=(root) NOPASSWD: sha256:%s %s \"\"\n", user, Digest(Script(parts...)), path)
}

// AuthorizedKey returns what stands before a public key in authorized_keys (sshd(8)) so that the key can do nothing but run the
// collector installed at path.
func AuthorizedKey(path string) string {
	return fmt.Sprintf("restrict,command=\"sudo -n %s\"", path)
}
