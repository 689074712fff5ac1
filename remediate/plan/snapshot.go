package plan

import "mtaharden/remediate/facts"

// These reach the snapshot's contents through the methods that package facts gives it.

func fileOf(s *facts.Snapshot, path string) (*facts.File, bool) {
	if r, ok := any(s).(interface {
		File(string) (*facts.File, bool)
	}); ok {
		return r.File(path)
	}
	return nil, false
}

func factOf(s *facts.Snapshot, key string) string {
	if r, ok := any(s).(interface{ Fact(string) string }); ok {
		return r.Fact(key)
	}
	return ""
}

func seenOf(s *facts.Snapshot, mta string) []facts.Seen {
	if r, ok := any(s).(interface{ Seen(string) []facts.Seen }); ok {
		return r.Seen(mta)
	}
	return nil
}

func withFiles(s *facts.Snapshot, files ...*facts.File) *facts.Snapshot {
	if r, ok := any(s).(interface {
		With(...*facts.File) *facts.Snapshot
	}); ok {
		return r.With(files...)
	}
	return s
}
