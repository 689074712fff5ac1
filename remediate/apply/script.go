package apply

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
	"mtaharden/remediate/remote"
)

// The parts of the host's scripts, over the functions of the journal's script.
var (
	//go:embed sh/item.sh
	itemSh string
	//go:embed sh/service.sh
	serviceSh string
	//go:embed sh/hold.sh
	holdSh string
	//go:embed sh/hook.sh
	hookSh string
	//go:embed sh/swap.sh
	swapSh string
	//go:embed sh/restore.sh
	restoreSh string
	//go:embed sh/guard.sh
	guardSh string
	//go:embed sh/confirm.sh
	confirmSh string
)

// Scripts are what the host runs by itself right of the bar, each a whole file of POSIX sh in the run's folder. Their exit statuses:
// 0 done; 3 nothing was touched (conflicts, another run at work, or the swap is not done); 4 fenced: another has the run's token;
// 5 failed, and all is put back (of guard.sh --arm: no guard can be armed); 6 failed, and a person is needed.
type Scripts struct {
	Swap    string // swap.sh: the items go live, the daemons are told; needs an armed guard and the host's lock
	Restore string // restore.sh [--dry|--force|--guard|--boot|--for RUN]: everything is put back
	Guard   string // guard.sh --arm SECONDS | --disarm
	Confirm string // confirm.sh: the run stays
}

// Write makes a run's scripts of its manifest. The manifest of a run that has saved nothing yet has no items: its restore.sh only ends the
// run and gives the host's lock back. What the scripts print is read by ReadLines.
func Write(m backup.Manifest, l journal.Layout) (Scripts, error) { return write(m, l, usualPace) }

// pace is how patient the scripts are; tests are less so.
type pace struct {
	grace    int    // seconds that a restore leaves a swap to see that it is over
	patience int    // and another restore
	root     string // before the names of boot hooks and of systemd's own folder
}

var usualPace = pace{grace: 10, patience: 120}

func write(m backup.Manifest, l journal.Layout, p pace) (Scripts, error) {
	if err := journal.CheckRun(m.Run); err != nil {
		return Scripts{}, fmt.Errorf("cannot write the scripts of a run: %w", err)
	}
	if err := checkItems(m); err != nil {
		return Scripts{}, fmt.Errorf("cannot write the scripts of run %s: %w", m.Run, err)
	}
	if err := checkReload(m.Reload); err != nil {
		return Scripts{}, fmt.Errorf("cannot write the scripts of run %s: %w", m.Run, err)
	}
	body := itemSh + holdSh + serviceSh + data(m, p)
	file := func(about, parts string) string {
		return "#!/bin/sh\n# " + m.Run + ": " + about + "\n" +
			"# All of it is one function, called on the last line: of a copy that was cut nothing runs.\nmh_file() {\n" +
			l.Head(m.Run) + body + parts + "mh_main \"$@\"\n}\nmh_file \"$@\" </dev/null\n"
	}
	return Scripts{
		Swap:    file("what mtaharden changes here", swapSh),
		Restore: file("what mtaharden changed here is put back. By hand: sh restore.sh", restoreSh),
		Guard:   file("the host restores itself unless the run is confirmed", hookSh+guardSh),
		Confirm: file("the run stays", confirmSh),
	}, nil
}

// checkItems refuses what the scripts could not put back.
func checkItems(m backup.Manifest) error {
	for i, it := range m.Items {
		if !path.IsAbs(it.Path) || path.Clean(it.Path) != it.Path || it.Path == "/" || strings.ContainsRune(it.Path, 0) {
			return fmt.Errorf("item %d: %q is no clean absolute path of a file", i+1, it.Path)
		}
		if err := checkStates(it); err != nil {
			return fmt.Errorf("item %d, %s: %w", i+1, it.Path, err)
		}
		if it.Kind != plan.Unit && it.Kind != plan.ModeChange && slices.ContainsFunc(m.Items[:i], func(o backup.Item) bool {
			return o.Path == it.Path && o.Kind != plan.Unit
		}) {
			return fmt.Errorf("item %d: %s is changed twice", i+1, it.Path)
		}
	}
	return nil
}

// checkReload refuses commands that cannot be written down.
func checkReload(cmds []plan.Command) error {
	for i, c := range cmds {
		if len(c.Argv) == 0 || c.Argv[0] == "" {
			return fmt.Errorf("command %d has no word", i+1)
		}
		if slices.ContainsFunc(c.Argv, func(w string) bool { return strings.ContainsRune(w, 0) }) {
			return fmt.Errorf("command %d holds a NUL", i+1)
		}
	}
	return nil
}

func checkStates(it backup.Item) error {
	switch it.Kind {
	case plan.Unit:
		return checkService(it)
	case plan.ModeChange:
		if it.Before.Absent || it.After.Absent {
			return errors.New("a mode change of what is not there")
		}
	case plan.EditFile, plan.CreateFile, plan.DeleteFile, plan.Generated:
	default:
		return fmt.Errorf("unknown kind of change %q", it.Kind)
	}
	for _, s := range []backup.State{it.Before, it.After} {
		if s.Absent {
			continue
		}
		if _, err := octal(s.Mode); err != nil {
			return err
		}
		if s.UID < 0 || s.GID < 0 {
			return fmt.Errorf("owner %d:%d", s.UID, s.GID)
		}
		if it.Kind != plan.ModeChange && !isSum(s.Hash) {
			return fmt.Errorf("%q is no hash", s.Hash)
		}
	}
	return nil
}

// isSum says whether a hash is "sha256:HEX" or "cksum:CRC SIZE".
func isSum(s string) bool {
	if hex, ok := strings.CutPrefix(s, "sha256:"); ok {
		return len(hex) == 64 && strings.Trim(hex, "0123456789abcdef") == ""
	}
	rest, ok := strings.CutPrefix(s, "cksum:")
	crc, size, two := strings.Cut(rest, " ")
	return ok && two && crc != "" && size != "" && strings.Trim(crc+size, "0123456789") == ""
}

// octal is a mode of four octal digits.
func octal(mode string) (string, error) {
	if mode == "" || len(mode) > 5 || strings.Trim(mode, "01234567") != "" {
		return "", fmt.Errorf("%q is no octal mode", mode)
	}
	mode = strings.TrimLeft(mode, "0")
	if len(mode) > 4 {
		return "", fmt.Errorf("%q is no octal mode", mode)
	}
	return strings.Repeat("0", 4-len(mode)) + mode, nil
}

// data is the manifest as functions of sh.
func data(m backup.Manifest, p pace) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n# What the run changes.\nmh_root=%s\nmh_grace=%d\nmh_patience=%d\nmh_count=%d\n",
		remote.Quote(p.root), p.grace, p.patience, len(m.Items))
	b.WriteString("mh_item() {\n" + assign("item_kind", "", "item_path", "", "item_show", "", "item_kept", "", "item_last", "",
		"was_active", "", "new_active", "") + state("was", backup.State{}) + state("new", backup.State{}) + "case $1 in\n")
	for i, it := range m.Items {
		fmt.Fprintf(&b, "%d)\n%s;;\n", i+1, item(it))
	}
	b.WriteString("esac\n}\n")
	b.WriteString(links(m))
	b.WriteString(services(m))
	b.WriteString(reload(m.Reload))
	return b.String()
}

// item assigns what a script knows of one item.
func item(it backup.Item) string {
	text := assign("item_kind", string(it.Kind), "item_path", it.Path, "item_show", shown(it.Path),
		"item_kept", flag(it.Kept), "item_last", cmp.Or(map[bool]string{true: "last"}[it.Last], ""))
	if it.Service != nil {
		text += assign("was_active", flag(it.Service.Before.Active), "new_active", flag(it.Service.After.Active))
	}
	return text + state("was", it.Before) + state("new", it.After)
}

// differs says whether the run leaves the item otherwise than it was.
func itemDiffers(it backup.Item) bool {
	if it.Kind == plan.Unit {
		return true
	}
	a, b := it.Before, it.After
	return a.Absent != b.Absent || a.Hash != b.Hash || a.UID != b.UID || a.GID != b.GID || a.Mode != b.Mode
}

func state(of string, s backup.State) string {
	kind := "file"
	if s.Absent {
		kind = "absent"
	}
	mode, _ := octal(s.Mode) // checked before
	return assign(of+"_kind", kind, of+"_sum", s.Hash, of+"_uid", fmt.Sprint(s.UID), of+"_gid", fmt.Sprint(s.GID), of+"_mode", mode)
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return ""
}

// assign returns assignments of names and values in turn, each value quoted.
func assign(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		b.WriteString(pairs[i] + "=" + remote.Quote(pairs[i+1]) + "\n")
	}
	return b.String()
}

// shown is a text as the scripts' lines hold it: printable ASCII, in one line.
func shown(text string) string {
	q := strconv.QuoteToASCII(text)
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

// reload returns the functions that tell the daemons, and that say what is owed until then. The commands find the run's folder in
// MTAHARDEN_RUN, the restore's the one that the swap's found.
func reload(cmds []plan.Command) string {
	var owed, run, show strings.Builder
	for i, c := range cmds {
		words := make([]string, len(c.Argv))
		for k, w := range c.Argv {
			words[k] = remote.Quote(w)
		}
		line := shown(c.String())
		owed.WriteString("printf '%s\\n' " + remote.Quote(line) + "\n")
		input := ""
		if len(c.Stdin) > 0 {
			run.WriteString(journal.Put(`"$mh_dir/input"`, c.Stdin) + "mh_n=$?\n[ \"$mh_n\" -eq 0 ] || { mh_why 'cannot write to the folder of the run'; return 1; }\n")
			input = `"$mh_dir/input"`
		}
		run.WriteString("mh_input=" + input + "\nmh_limit " + strings.Join(words, " ") + " || { mh_why " + remote.Quote("failed: "+line) + "; return 1; }\n")
		if i > 0 {
			show.WriteString("; ")
		}
		show.WriteString(line)
	}
	return "mh_reload_show=" + remote.Quote(show.String()) + "\nmh_owed() {\n:\n" + owed.String() + "}\nmh_reload() {\nMTAHARDEN_RUN=$mh_dir\nexport MTAHARDEN_RUN\nmh_input=\n" + run.String() +
		"mh_input=\nrm -f \"$mh_dir/input\"\n}\n"
}
