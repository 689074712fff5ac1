package backup

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

//go:embed sh/save.sh
var saveSh string

// Why a host's files are not saved. Nothing but the run's folder has been written to then.
var (
	// ErrUnsafe: what is to be changed stands where root may not write to in safety, or could not be put back.
	ErrUnsafe = errors.New("it cannot be changed in safety")
	// ErrFenced: the host's lock is not the run's any more.
	ErrFenced = errors.New("the host's lock is another run's")
)

// Want is a change whose present state is to be saved.
type Want struct {
	Kind    plan.ChangeKind
	Path    string // as the plan names it; it may lead through links
	After   State  // as far as it is known
	Last    bool
	Service *plan.Service
}

// Saving is what Save needs beside the changes.
type Saving struct {
	Reload []plan.Command
	// Roots are the MTA's own directories and files: a link in them that is not root's may lead to another place in them, and nowhere else.
	Roots []string
	// Owners are the accounts beside root that may own directories on the way: the MTA's own.
	Owners []string
	// Room is how many bytes the run needs besides: new contents, and what is generated of them.
	Room int64
}

// maxSaved bounds the contents of a run, in KiB.
const maxSaved = 256 << 10

// Save saves on the host, as one command, what the run is going to change: the inode by a hard link where the run's folder is on the same file
// system, and a copy of the content in any case, with hash, owner and mode; of what is not there, that it is not there. All of it and the
// manifest are durable when Save returns. The contents come with it, by the item's place in the manifest.
//
// The host's lock must be the run's, else ErrFenced. The error is an ErrUnsafe that names everything that is refused.
func Save(ctx context.Context, h remote.Host, l journal.Layout, run string, wants []Want, in Saving) (*Manifest, map[int][]byte, error) {
	script, err := saveScript(run, wants, in)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot save for run %s: %w", run, err)
	}
	parts, _, err := l.Ask(ctx, h, run, script, (maxSaved<<10)+(1<<24))
	if err == nil {
		var m *Manifest
		var contents map[int][]byte
		if m, contents, err = saved(parts, run, wants); err == nil {
			return m, contents, nil
		}
	}
	return nil, nil, fmt.Errorf("cannot save for run %s: %w", run, err)
}

func saveScript(run string, wants []Want, in Saving) (string, error) {
	if err := journal.CheckRun(run); err != nil {
		return "", err
	}
	if len(wants) == 0 || len(wants) > maxItems {
		return "", fmt.Errorf("%d changes", len(wants))
	}
	if in.Room < 0 || in.Room > maxSaved<<10 {
		return "", fmt.Errorf("room for %d bytes", in.Room)
	}
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(saveSh, "MAXKIB", strconv.Itoa(maxSaved)))
	b.WriteString("mh_roots() {\n:\n")
	for _, r := range in.Roots {
		if err := checkPath(r); err != nil {
			return "", fmt.Errorf("root %.200q: %w", r, err)
		}
		b.WriteString("echo " + remote.Quote(r) + "\n")
	}
	b.WriteString("}\nmh_ids")
	for _, o := range in.Owners {
		b.WriteString(" " + remote.Quote(o))
	}
	b.WriteString("\nmh_items() {\n")
	for i, w := range wants {
		text, err := w.script(i + 1)
		if err != nil {
			return "", fmt.Errorf("%s: %w", w.Path, err)
		}
		b.WriteString(text)
	}
	reload, err := json.Marshal(in.Reload)
	if err != nil || checkReload(in.Reload) != nil {
		return "", errors.Join(err, checkReload(in.Reload))
	}
	fmt.Fprintf(&b, "}\nmh_save %d %s %s\n", in.Room>>10+1, remote.Quote(`{"run":"`+run+`","items":[`+"\n"), remote.Quote("],\n\"reload\":"+string(reload)+"}"))
	return b.String(), nil
}

// script is the call that saves one thing.
func (w Want) script(n int) (string, error) {
	if err := checkPath(w.Path); err != nil {
		return "", err
	}
	known := map[string]any{"kind": w.Kind, "after": w.After}
	if w.Last {
		known["last"] = true
	}
	kind := "file"
	links := ""
	switch w.Kind {
	case plan.EditFile, plan.CreateFile, plan.DeleteFile, plan.Generated:
	case plan.ModeChange:
		kind = "mode"
	case plan.Unit:
		kind = "service"
		if w.Service == nil {
			return "", errors.New("it names no service")
		}
		known["service"] = w.Service
		for _, l := range w.Service.Before.Links {
			if err := checkPath(l); err != nil {
				return "", fmt.Errorf("boot link %.200q: %w", l, err)
			}
			links += "mh_boot_link " + remote.Quote(l) + "\n"
		}
		if w.Service.Manager == "systemd" {
			links += "if systemctl is-active " + remote.Quote(w.Service.Name) + " >/dev/null 2>&1; then mh_fact active " + strconv.Itoa(n) + "; fi\n"
		}
	default:
		return "", fmt.Errorf("unknown kind %q", w.Kind)
	}
	data, err := json.Marshal(known)
	if err != nil {
		return "", err
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(string(data), "{"), "}")
	return fmt.Sprintf("mh_item %d %s %s %s\n%s", n, kind, remote.Quote(w.Path), remote.Quote(inner), links), nil
}

// saved reads the answer and holds it against what was asked for.
func saved(parts []journal.Part, run string, wants []Want) (*Manifest, map[int][]byte, error) {
	var m *Manifest
	var refused []error
	contents := map[int][]byte{}
	there := map[string]bool{}
	for _, p := range parts {
		switch p.Key {
		case "fenced":
			return nil, nil, fmt.Errorf("%w: %q has it", ErrFenced, remote.Clean(p.Text))
		case "why":
			return nil, nil, errors.New(remote.Clean(p.Text))
		case "refused":
			refused = append(refused, refusal(p.Text, wants))
		case "link", "active":
			there[p.Key+" "+p.Text] = true
		case "manifest":
			var err error
			if m, err = Decode(p.Data); err != nil {
				return nil, nil, err
			}
		default:
			n, err := strconv.Atoi(strings.TrimPrefix(p.Key, "copy."))
			if err != nil || !p.Whole() || m == nil || n < 1 || n > len(m.Items) {
				return nil, nil, fmt.Errorf("%w: it holds %.40q", journal.ErrDamaged, p.Key)
			}
			contents[n-1] = p.Data
		}
	}
	if len(refused) > 0 {
		return nil, nil, errors.Join(refused...)
	}
	if m == nil || m.Run != run || len(m.Items) != len(wants) {
		return nil, nil, fmt.Errorf("%w: it is no manifest of this run", journal.ErrDamaged)
	}
	return m, contents, m.meets(wants, contents, there)
}

func refusal(text string, wants []Want) error {
	number, why, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(wants) {
		return fmt.Errorf("%w: %s", ErrUnsafe, remote.Clean(why))
	}
	return fmt.Errorf("%w: %s: %s", ErrUnsafe, wants[n-1].Path, remote.Clean(why))
}

// meets says whether the manifest is of what was wanted, and its contents are those that were saved. It fills in how the services are.
func (m *Manifest) meets(wants []Want, contents map[int][]byte, there map[string]bool) error {
	for i := range m.Items {
		item, w := &m.Items[i], wants[i]
		named := item.Path
		if item.Named != "" {
			named = item.Named
		}
		if item.Kind != w.Kind || named != w.Path || item.Last != w.Last || item.After != w.After {
			return fmt.Errorf("%w: item %d is not what was asked for", journal.ErrDamaged, i+1)
		}
		data, has := contents[i]
		content := w.Kind != plan.ModeChange && w.Kind != plan.Unit && !item.Before.Absent
		if has != content || content && !item.Before.Holds(data) {
			return fmt.Errorf("%w: the content of %s is not what was saved", journal.ErrDamaged, item.Path)
		}
		if item.Service != nil {
			item.Service.Before = found(item.Service, strconv.Itoa(i+1), there)
		}
	}
	return nil
}

// found is how a service is, as far as the change depends on it: the boot links that are still there, and with systemd whether it runs.
func found(s *plan.Service, n string, there map[string]bool) plan.Running {
	now := s.Before
	now.Links = slices.DeleteFunc(slices.Clone(s.Before.Links), func(l string) bool { return !there["link "+n+" "+path.Clean(l)] })
	now.Enabled = now.Enabled && (len(s.Before.Links) == 0 || len(now.Links) > 0)
	if s.Manager == "systemd" {
		now.Active = there["active "+n]
	}
	return now
}
