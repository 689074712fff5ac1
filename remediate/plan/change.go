package plan

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"

	"mtaharden/remediate/facts"
	"mtaharden/remediate/mta"
	"mtaharden/remediate/remote"
)

// ChangeKind is what becomes of a file.
type ChangeKind string

const (
	EditFile   ChangeKind = "edit"
	CreateFile ChangeKind = "create"
	DeleteFile ChangeKind = "delete"
	Generated  ChangeKind = "generated" // made anew from its sources by the commands
	ModeChange ChangeKind = "mode"
	Unit       ChangeKind = "service"
)

// Change is one thing that the plan alters on the host.
type Change struct {
	Path    string     `json:"path"`
	Kind    ChangeKind `json:"kind"`
	Install int        `json:"install"`
	Rules   []string   `json:"rules"`          // whose findings it mends
	Diff    string     `json:"diff,omitempty"` // unified, with secrets masked
	// PreHash is the sha256 of the original that must still hold, PostHash that of the result; "" where no tool of the host could hash,
	// and PostHash also where the file holds secrets, which the plan does not know.
	PreHash  string `json:"pre_hash,omitempty"`
	PostHash string `json:"post_hash,omitempty"`
	Edits    []Edit `json:"edits,omitempty"`
	// Content is a created file's.
	Content []byte `json:"content,omitempty"`
	Before  *Attr  `json:"before,omitempty"` // of a mode change
	After   *Attr  `json:"after,omitempty"`
	// Service is what a change of kind service does.
	Service *Service `json:"service,omitempty"`
}

// Service is a service of the host's init system, before and after a change. What starts it at boot is a set of links: those that go are
// moved into the run's folder and moved back by a restore, so that their inodes and times return; no command that enables or disables is
// run. systemd is told of it by "systemctl daemon-reload". Starting and stopping is the manager's own command.
type Service struct {
	Manager string  `json:"manager"` // systemd, sysv, openrc …: facts.Snapshot.Init
	Name    string  `json:"name"`    // the unit, or the start script's name
	Before  Running `json:"before"`
	After   Running `json:"after"`
}

// Running says whether a service starts at boot and whether it runs now.
type Running struct {
	Enabled bool     `json:"enabled"`
	Active  bool     `json:"active"`
	Masked  bool     `json:"masked,omitempty"` // systemd.unit(5): /etc/systemd/system/NAME is a link to /dev/null
	Links   []string `json:"links,omitempty"`  // what starts it at boot, by path: systemd's *.wants and *.requires below /etc, rc links, OpenRC's runlevels
}

// Attr is who owns a file and what its permission bits are.
type Attr struct {
	Owner string `json:"owner"`
	Group string `json:"group"`
	Mode  string `json:"mode"` // octal, "0755"
}

// Command is a finished command of the plan.
type Command struct {
	Argv  []string `json:"argv"`
	Stdin []byte   `json:"stdin,omitempty"`
	Say   string   `json:"say,omitempty"` // what it does, in a line, where its words are a script
}

func (c Command) String() string { return remote.Cmd{Argv: c.Argv}.String() }

// Line is the command in one line for people.
func (c Command) Line() string { return remote.Cmd{Argv: c.Argv, Say: c.Say}.Line() }

// Commands are those that follow the changes of one installation.
type Commands struct {
	Install    int       `json:"install"`
	MTA        string    `json:"mta"`
	Regenerate []Command `json:"regenerate,omitempty"`
	Validate   []Command `json:"validate,omitempty"`
	Reload     []Command `json:"reload,omitempty"`
	Owners     []string  `json:"owners,omitempty"` // accounts beside root's that may own the directories of what is changed
	// Stage is what a stage of the changed files takes; nil where the driver knows none.
	Stage *Stage `json:"stage,omitempty"`
}

// planChanges plans what mends the failed findings of installation i, and says of each finding whether it will.
func planChanges(in Input, i int, res *Result) {
	j := in.Installs[i]
	failed := mendable(res.Findings, i, in)
	if len(failed) == 0 {
		return
	}
	if why := refused(j); !why.empty() {
		for _, f := range failed {
			f.remark(why)
		}
		return
	}
	mended, files := editAll(j, failed)
	if len(mended) == 0 {
		return
	}
	along := prove(in, i, files, mended, res.Findings)
	changes := changesOf(i, j, files, mended)
	credit(changes, mended, along)
	changes = append(changes, modesOf(i, mended, res.Changes)...)
	cmds, changes := commandsOf(in, i, changes)
	res.Changes = append(res.Changes, changes...)
	res.Commands = append(res.Commands, cmds)
	res.Impact = addImpact(res.Impact, impactOf(in, i, files, mended))
}

// mendable returns the failed findings of an installation that name a fix, the gravest first. One with a waiver that holds is left alone.
func mendable(findings []Finding, install int, in Input) []*Finding {
	var out []*Finding
	for k := range findings {
		f := &findings[k]
		if f.Install != install || f.Status != Fail || len(f.fixes)+len(f.modes) == 0 {
			continue
		}
		if !in.waived(f.Rule) {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, b *Finding) int { return a.Severity.Rank() - b.Severity.Rank() })
	return out
}

// refused says why no change is planned for an installation at all.
func refused(j Judged) text {
	switch {
	case j.Install.Panel != "":
		return say("its configuration is generated by %s: change it there", "설정이 %s에 의해 생성됨: 해당 도구에서 변경", j.Install.Panel)
	case j.Config == nil || j.Driver == nil || j.Driver.Edit == nil:
		return say("its configuration cannot be edited", "설정을 편집할 수 없음")
	}
	return text{}
}

func (f *Finding) remark(t text) {
	add := func(steps, remark string) string { return strings.TrimSpace(steps + " (" + remark + ")") }
	f.Manual, f.Ko.Manual = add(f.Manual, t.en), add(f.Ko.Manual, t.ko)
}

// editAll adds up the fixes of the findings, the gravest first. A finding whose fixes cannot be placed, or contradict those of a graver
// one, is left to a person and says why. files is the outcome of all fixes together.
func editAll(j Judged, failed []*Finding) (mended []*Finding, files []mta.File) {
	var fixes []mta.Fix
	for _, f := range failed {
		if clash, ok := contradicts(fixes, f.fixes); ok {
			f.remark(say("its fix of %s contradicts that of a graver finding", "%s 조치가 더 심각한 항목의 조치와 충돌", clash.Name))
			continue
		}
		all := addFixes(slices.Clone(fixes), f.fixes...)
		if len(all) > len(fixes) {
			next, err := j.Driver.Edit(j.Config, all)
			if err == nil {
				err = placed(j.Config, next)
			}
			if err != nil {
				f.remark(say("cannot be edited: %s", "자동 편집 불가: %s", err))
				continue
			}
			fixes, files = all, next
		}
		if len(f.modes) == 0 && !alters(j, f.fixes) {
			f.remark(idle(j.Config))
			continue
		}
		f.Fixable = true
		mended = append(mended, f)
	}
	return mended, files
}

// idle says why what the files have already is not so: the live configuration was not made of them since, as far as the driver can tell.
func idle(c *mta.Config) text {
	if slices.ContainsFunc(c.Notes, func(n mta.Note) bool { return n.Code == "pending" || n.Code == "drift" }) {
		return say("the sources say so already, but what the server reads was not made of them (see config-drift): make it anew of them and reload",
			"원본에는 이미 그렇게 설정되어 있으나 서버가 읽는 설정이 그 원본으로 생성되지 않음(config-drift 참조): 원본으로 다시 생성한 뒤 리로드")
	}
	return say("the files say so already: what overrules them is to be changed by hand", "파일에는 이미 그렇게 설정되어 있음: 이를 무효화하는 설정을 직접 변경")
}

// alters says whether the fixes, made alone, change a file. Where they do not, the setting stands there already and something that no file of the
// installation says overrules it: the command line of the running daemon.
func alters(j Judged, fixes []mta.Fix) bool {
	files, err := j.Driver.Edit(j.Config, fixes)
	return err != nil || slices.ContainsFunc(files, func(f mta.File) bool { return changes(j.Config, f) })
}

// changes says whether an edited file is another than it was.
func changes(c *mta.Config, f mta.File) bool {
	ch, err := changeOf(c, f)
	return err == nil && (ch.Kind != EditFile || len(ch.Edits) > 0)
}

// placed says whether every edit can be expressed without a secret.
func placed(c *mta.Config, files []mta.File) error {
	for _, f := range files {
		if _, err := changeOf(c, f); err != nil {
			return fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return nil
}

// changesOf turns the edited files into changes, in the order in which they go live.
func changesOf(install int, j Judged, files []mta.File, mended []*Finding) []Change {
	var changes []Change
	rules := rulesByFile(j, mended)
	for _, f := range files {
		ch, err := changeOf(j.Config, f)
		if err != nil || ch.Kind == EditFile && len(ch.Edits) == 0 {
			continue
		}
		ch.Install, ch.Rules = install, orEmpty(rules[f.Path])
		changes = append(changes, ch)
	}
	return changes
}

// credit names the rules that are mended along the way on the changes of the other relay rules.
func credit(changes []Change, mended, along []*Finding) {
	for k := range changes {
		relay := slices.ContainsFunc(mended, func(f *Finding) bool { return f.relay && slices.Contains(changes[k].Rules, f.Rule) })
		for _, f := range along {
			if relay && !slices.Contains(changes[k].Rules, f.Rule) {
				changes[k].Rules = append(changes[k].Rules, f.Rule)
			}
		}
	}
}

// rulesByFile says for every file which rules have it changed: each finding's fixes are made alone to see what they touch.
func rulesByFile(j Judged, mended []*Finding) map[string][]string {
	out := map[string][]string{}
	for _, f := range mended {
		if len(f.fixes) == 0 {
			continue
		}
		files, err := j.Driver.Edit(j.Config, f.fixes)
		if err != nil {
			continue // it went well together with the others
		}
		for _, file := range files {
			if changes(j.Config, file) && !slices.Contains(out[file.Path], f.Rule) {
				out[file.Path] = append(out[file.Path], f.Rule)
			}
		}
	}
	return out
}

// changeOf is the change that makes one edited file of its original.
func changeOf(c *mta.Config, f mta.File) (Change, error) {
	ch := Change{Path: f.Path, Kind: EditFile}
	if f.Created {
		ch.Kind, ch.Content, ch.PostHash = CreateFile, f.Data, hash(f.Data)
		ch.Diff = udiff.Unified("/dev/null", f.Path, "", string(f.Data))
		return ch, nil
	}
	before, origin := original(c, f)
	if before == nil {
		return ch, errors.New("its original was not read")
	}
	var masks []facts.Mask
	if origin != nil {
		masks, ch.PreHash = origin.Masks, origin.SHA256
		if origin.State != facts.Whole {
			return ch, fmt.Errorf("its original was not collected whole (%s)", origin.State)
		}
	}
	if ch.PreHash == "" && len(masks) == 0 {
		ch.PreHash = hash(before)
	}
	if len(masks) == 0 {
		ch.PostHash = hash(f.Data)
	}
	var err error
	if ch.Edits, err = editsOf(before, f.Data, masks); err != nil {
		return ch, err
	}
	ch.Diff = udiff.Unified(f.Path, f.Path, string(before), string(f.Data))
	return ch, nil
}

// original returns what was read of an edited file.
func original(c *mta.Config, f mta.File) ([]byte, *facts.File) {
	for _, o := range c.Files {
		if o.Path == f.Path {
			origin := o.Origin
			if origin == nil {
				origin = f.Origin
			}
			return nonNil(o.Data), origin
		}
	}
	if f.Origin != nil {
		return nonNil(f.Origin.Data), f.Origin
	}
	return nil, nil
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// modesOf returns the changes that are no edit of a source. Those that another installation's findings brought already are not made twice:
// instances of one MTA share programs and services.
func modesOf(install int, mended []*Finding, there []Change) []Change {
	var out []Change
	for _, f := range mended {
		for _, m := range f.modes {
			m.Install, m.Rules = install, []string{f.Rule}
			same := func(o Change) bool { return o.Path == m.Path && o.Kind == m.Kind }
			if !slices.ContainsFunc(out, same) && !slices.ContainsFunc(there, same) {
				out = append(out, m)
			}
		}
	}
	return out
}

// commandsOf asks the driver for the commands that follow the changes, and adds the files that these generate to the changes.
func commandsOf(in Input, i int, changes []Change) (Commands, []Change) {
	j := in.Installs[i]
	out := Commands{Install: i, MTA: j.Install.MTA, Owners: j.Driver.Owners}
	var paths []string
	for _, c := range changes {
		if c.Kind == EditFile || c.Kind == CreateFile {
			paths = append(paths, c.Path)
		}
	}
	if len(paths) == 0 {
		return out, changes
	}
	out.Stage, changes = stageOf(in, i, paths, changes)
	d := j.Driver
	if d.Regenerate != nil {
		out.Regenerate = commands(d.Regenerate(j.Install, paths))
	}
	if d.Validate != nil {
		out.Validate = commands(d.Validate(j.Install))
	}
	if d.Reload != nil && j.Install.Active && !stops(changes) {
		out.Reload = commands(d.Reload(in.Snapshot, j.Install))
	}
	return out, changes
}

func commands(cmds []remote.Cmd) []Command {
	var out []Command
	for _, c := range cmds {
		out = append(out, Command{Argv: slices.Clone(c.Argv), Stdin: bytes.Clone(c.Stdin), Say: c.Say})
	}
	return out
}
