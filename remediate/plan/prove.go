package plan

import (
	"slices"
	"sync"

	"mtaharden/playbooks"
	"mtaharden/remediate/facts"
	"mtaharden/remediate/judge"
	"mtaharden/remediate/mta"
)

// prove judges the changed sources again and says of each finding whether that shows it mended: those that have fixes, and those that the
// others' fixes mend along the way, which it returns. What rests on the MTA's own word, on generated files or on the host cannot be shown
// here; apply does it in its stage.
func prove(in Input, i int, files []mta.File, mended []*Finding, all []Finding) (along []*Finding) {
	after, again := reread(in, i, files)
	says := sync.OnceValue(func() []judge.Answer { return readings(in.Installs[i].Driver, after, again) })
	for _, f := range mended {
		f.Proof = AtApply
		if again != nil && len(f.modes) == 0 && passes(in, i, again, says, f) {
			f.Proof = ByEvaluator
		}
	}
	if again == nil {
		return nil
	}
	for k := range all {
		f := &all[k]
		open := f.Install == i && f.Status == Fail && f.relay && !f.live && !f.Fixable && len(f.fixes)+len(f.modes) == 0 && !in.waived(f.Rule)
		if open && passes(in, i, again, says, f) {
			f.Fixable, f.Proof = true, ByEvaluator
			along = append(along, f)
		}
	}
	return along
}

// reread lays the changed files over the snapshot and reads the configuration again; nil where that cannot be done.
func reread(in Input, i int, files []mta.File) (*facts.Snapshot, *mta.Config) {
	d := in.Installs[i].Driver
	if d == nil || d.Read == nil || len(files) == 0 {
		return nil, nil
	}
	after := overlay(in.Snapshot, in.Installs[i].Config, files)
	c, err := d.Read(after, in.Installs[i].Install)
	if err != nil {
		return nil, nil
	}
	return after, c
}

func overlay(s *facts.Snapshot, c *mta.Config, files []mta.File) *facts.Snapshot {
	var over []*facts.File
	for _, f := range files {
		n := &facts.File{Path: f.Path, Mode: 0o644, Owner: "root", Group: "root"}
		if _, origin := original(c, f); origin != nil {
			copied := *origin // its Path is the one that the drivers ask for
			n = &copied
			n.Masks = nil // the offsets are the original's; nothing here edits again
		}
		n.Data, n.Size, n.SHA256, n.State = f.Data, int64(len(f.Data)), hash(f.Data), facts.Whole
		over = append(over, n)
	}
	return s.With(over...)
}

// readings are a changed configuration's own answers: to run its rules over every question is the dear part of a proof, and they are the
// same for each finding.
func readings(d *mta.Driver, after *facts.Snapshot, again *mta.Config) []judge.Answer {
	if d.Answers == nil {
		return nil
	}
	return slices.DeleteFunc(d.Answers(after, again), func(a judge.Answer) bool { return a.Judge != judge.Config })
}

// passes judges a finding's rule by the changed configuration alone.
func passes(in Input, i int, again *mta.Config, says func() []judge.Answer, f *Finding) bool {
	at := slices.IndexFunc(in.Rules, func(r playbooks.Rule) bool { return r.ID == f.Rule })
	if at < 0 {
		return false
	}
	s := &subject{in: in, index: i, judged: in.Installs[i]}
	s.judged.Config = again
	s.judged.Install.Basis = mta.Lab // whether such an installation was ever seen running is not what is asked here
	for _, a := range says() {
		s.admit(a)
	}
	return s.judge(s.applicable(in.Rules[at].For(s.mta())), f.Listener).status == Pass
}
