package journal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"mtaharden/remediate/remote"
)

// Long is how many bytes of content are better uploaded than written into a script (Put): a shell takes more than a second for each MiB of text, and
// a script is held in memory several times over; an upload costs three round trips.
const Long = 128 << 10

// uploadSh writes its standard input to the file $1, which is new and has $2 bytes then. No one but root reads it.
const uploadSh = `PATH=$PATH:/usr/bin:/bin; umask 077; mkdir -p "${1%/*}" && rm -f "$1" && set -C && cat >"$1" && test "$(wc -c <"$1")" -eq "$2"`

// Upload leaves data in a file of the host, byte for byte: by a protocol for files where the host has one and the content is long enough for it
// (remote.Uploader), else as one command. It is neither durable nor known to be whole until a script of the run has said so (mh_seal, mh_hash): what
// a lost link leaves there is a part.
func Upload(ctx context.Context, h remote.Host, file string, data []byte) error {
	if u, ok := h.(remote.Uploader); ok {
		if done, err := u.Upload(ctx, file, data); done {
			return nil
		} else if err != nil {
			return fmt.Errorf("cannot upload %d bytes: %w", len(data), err)
		}
	}
	c := remote.Cmd{Argv: []string{"/bin/sh", "-c", uploadSh, "sh", file, strconv.Itoa(len(data))}, Stdin: data, Say: fmt.Sprintf("upload %d bytes to %s", len(data), file)}
	res, err := h.Run(ctx, c, 4096)
	if err == nil && res.Exit != 0 {
		err = errors.New("the host could not write it" + said(res.Stderr))
	}
	if err != nil {
		return fmt.Errorf("cannot upload %d bytes: %w", len(data), err)
	}
	return nil
}

// Take returns a shell command that gives an uploaded file the name of another, durably, where its content has that hash, "sha256:HEX" or
// "cksum:CRC SIZE"; one of another kind than this host's tools make is not compared, and the size is known. Both names are shell text, as for Put.
func Take(uploaded, file, hash string) string {
	kind, _, _ := strings.Cut(hash, ":")
	return "mh_hash " + uploaded + " && case $mh_sum in " + remote.Quote(hash) + ") ;; " + kind + ":*) false ;; esac && mv -f " + uploaded + " " + file + ".tmp && mh_seal " + file + "\n"
}
