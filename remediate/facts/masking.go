package facts

// Masking returns the sh that makes mh_masked, a filter of lines: secrets that the collector would hide become marks, the same secret the same
// mark under one $mh_key (16 hexadecimal digits), which is exported before.
func Masking() string {
	return awkVariable("mh_awk_mask", maskAwk) + `mh_masked() { awk "$mh_awk_mask"'BEGIN { reset() } { print masked($0) }'; }` + "\n"
}
