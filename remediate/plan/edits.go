package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/aymanbagabas/go-udiff"

	"mtaharden/remediate/facts"
)

// Edit replaces a range of a file's original bytes. A collected file has its secrets masked; ranges and hashes are always the original's.
type Edit struct {
	Start   int    `json:"start"`    // offset of the first byte to go
	End     int    `json:"end"`      // offset behind the last byte to go
	OldHash string `json:"old_hash"` // sha256 of the bytes to go, hex
	New     []byte `json:"new"`      // what comes in their place (base64 in JSON: a configuration may be in any encoding)
}

var errMask = errors.New("the edit would touch a masked secret")

// editsOf returns the edits that make after of before, whose masks stand for secrets of the original. An edit that touches a mask, or
// whose new bytes repeat one, is refused: the plan does not know the secret.
func editsOf(before, after []byte, masks []facts.Mask) ([]Edit, error) {
	if err := checkMasks(before, masks); err != nil {
		return nil, err
	}
	var out []Edit
	for _, e := range udiff.Lines(string(before), string(after)) {
		start, end, fresh := trim(before, e.Start, e.End, []byte(e.New))
		if start == end && len(fresh) == 0 {
			continue
		}
		for _, m := range masks {
			if start < m.Offset+m.Length && end > m.Offset {
				return nil, errMask
			}
			if bytes.Contains(fresh, before[m.Offset:m.Offset+m.Length]) {
				return nil, errors.New("the edit would write a masked secret")
			}
		}
		old := sha256.Sum256(before[start:end])
		shift := shiftAt(start, masks)
		out = append(out, Edit{Start: start + shift, End: end + shift, OldHash: hex.EncodeToString(old[:]), New: fresh})
	}
	return out, nil
}

// trim drops what the old and the new text of an edit have in common at both ends, so that nothing beside the change is in it.
func trim(before []byte, start, end int, fresh []byte) (int, int, []byte) {
	for start < end && len(fresh) > 0 && before[start] == fresh[0] {
		start, fresh = start+1, fresh[1:]
	}
	for start < end && len(fresh) > 0 && before[end-1] == fresh[len(fresh)-1] {
		end, fresh = end-1, fresh[:len(fresh)-1]
	}
	return start, end, fresh
}

// shiftAt is how far the original's offset of a place lies from the masked one's.
func shiftAt(offset int, masks []facts.Mask) int {
	shift := 0
	for _, m := range masks {
		if m.Offset+m.Length <= offset {
			shift += m.Origin - m.Length
		}
	}
	return shift
}

// checkMasks refuses masks that do not lie in the data, in order and apart: they come from the host.
func checkMasks(data []byte, masks []facts.Mask) error {
	end := 0
	for _, m := range masks {
		if m.Offset < end || m.Length <= 0 || m.Origin < 0 || m.Length > len(data)-m.Offset {
			return fmt.Errorf("mask at %d of length %d does not lie in the file", m.Offset, m.Length)
		}
		end = m.Offset + m.Length
	}
	return nil
}

// Patch returns data with the edits made. It refuses edits that are out of order or of the file, and ranges whose bytes are not those that
// the plan was made for.
func Patch(data []byte, edits []Edit) ([]byte, error) {
	var out []byte
	at := 0
	for _, e := range edits {
		if e.Start < at || e.End < e.Start || e.End > len(data) {
			return nil, fmt.Errorf("edit of bytes %d to %d does not fit the file", e.Start, e.End)
		}
		if old := sha256.Sum256(data[e.Start:e.End]); hex.EncodeToString(old[:]) != e.OldHash {
			return nil, fmt.Errorf("bytes %d to %d are not those that the plan was made for", e.Start, e.End)
		}
		out = append(append(out, data[at:e.Start]...), e.New...)
		at = e.End
	}
	return append(out, data[at:]...), nil
}
