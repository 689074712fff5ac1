package plan

import (
	"slices"

	"mtaharden/remediate/mta"
)

// addFixes adds those fixes that are not there yet.
func addFixes(fixes []mta.Fix, more ...mta.Fix) []mta.Fix {
	for _, f := range more {
		if !slices.Contains(fixes, f) {
			fixes = append(fixes, f)
		}
	}
	return fixes
}

// contradicts returns the first of more that wants something else of a setting than one of fixes does.
func contradicts(fixes, more []mta.Fix) (mta.Fix, bool) {
	for _, b := range more {
		for _, a := range fixes {
			if a.Name != b.Name || a.Listener != b.Listener || a.File != b.File || a.Line != b.Line || a == b {
				continue
			}
			whole := func(f mta.Fix) bool { return f.Op == mta.Set || f.Op == mta.Unset }
			if whole(a) || whole(b) || a.Op != b.Op && a.Value == b.Value {
				return b, true
			}
		}
	}
	return mta.Fix{}, false
}
