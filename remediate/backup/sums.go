package backup

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ownSum begins the last line of sums, which holds the hash of the lines before it.
const ownSum = "sums "

// Sums are the hashes of a run's own files, its manifest and its scripts, as they stand in its folder in the file "sums": for each file a line
// "NAME sha256:HEX" and a line "NAME cksum:CRC SIZE", for a host that has no other; then "sums sha256:HEX" of these lines.
func Sums(files map[string][]byte) []byte {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%s %s\n%s cksum:%d %d\n", name, Hash(files[name]), name, crc(files[name]), len(files[name]))
	}
	return []byte(b.String() + ownSum + Hash([]byte(b.String())) + "\n")
}

// Sealed says whether sums are as they were made.
func Sealed(sums []byte) bool {
	at := bytes.LastIndex(sums, []byte("\n"+ownSum)) + 1
	return at > 0 && string(sums[at:]) == ownSum+Hash(sums[:at])+"\n"
}

// Summed says whether data is what a file of that name held when the sums were made. Sums that are not sealed say it of none.
func Summed(sums []byte, name string, data []byte) bool {
	return Sealed(sums) && slices.Contains(strings.Split(string(sums), "\n"), name+" "+Hash(data))
}

// files holds the hashes of a run's own files, as the host told them, against its sums; nil has none: the run is from before there were any.
func (r *HostRun) files(sums []byte, told map[string]bool) {
	if sums == nil {
		return
	}
	if !Sealed(sums) {
		r.Damage = append(r.Damage, fmt.Errorf("sums: %w", ErrDamage))
		return
	}
	whole := map[string]bool{}
	for line := range strings.Lines(string(sums)) {
		name, _, _ := strings.Cut(line, " ")
		whole[name] = whole[name] || told[strings.TrimSuffix(line, "\n")]
	}
	delete(whole, strings.TrimSpace(ownSum))
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		if !whole[name] {
			r.Damage = append(r.Damage, fmt.Errorf("%s: %w: it is not what the run wrote there", name, ErrDamage))
		}
	}
}
