package apply

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/journal"
	"mtaharden/remediate/plan"
)

// createdMode is a created file's: who runs the MTA's daemons may have to read it, and it holds no secret.
const createdMode = "0644"

var (
	hashText  = regexp.MustCompile(`^(sha256:[0-9a-f]{64}|cksum:\d{1,20} \d{1,20})$`)
	ownerText = regexp.MustCompile(`^(\d{1,10}) (\d{1,10}) ([0-7]{4})$`)
)

// takeNew takes in what the host says of the files that are to go live. What it does not say is an error.
func takeNew(m *backup.Manifest, parts []journal.Part) error {
	told := map[string]string{}
	for _, p := range parts {
		if p.File {
			return fmt.Errorf("cannot leave the new files on the host: it sent %q", clip(p.Key))
		}
		told[p.Key] = p.Text
	}
	if why := told["why"]; why != "" {
		return fmt.Errorf("cannot leave the new files on the host: %s", clip(why))
	}
	for i := range m.Items {
		item := &m.Items[i]
		if !slices.Contains([]plan.ChangeKind{plan.Generated, plan.EditFile, plan.CreateFile}, item.Kind) {
			continue
		}
		n := strconv.Itoa(i + 1)
		after, err := stateTold(*item, told["hash."+n], told["size."+n], told["owner."+n])
		if err != nil {
			return fmt.Errorf("cannot leave %s on the host: %w", item.Path, err)
		}
		item.After = after
	}
	return nil
}

// stateTold is what a file will be: its content as the host hashed it, owner and mode as they are; a file that is new is root's, a generated one
// whose generator left it to.
func stateTold(item backup.Item, hash, size, owner string) (backup.State, error) {
	if hash == "absent" && item.Kind == plan.Generated {
		return backup.State{Absent: true}, nil
	}
	n, err := strconv.ParseInt(size, 10, 64)
	if !hashText.MatchString(hash) || err != nil || n < 0 {
		return backup.State{}, fmt.Errorf("it says %q of its content", clip(hash+" "+size))
	}
	after := item.Before
	after.Hash, after.Size = hash, n
	if !item.Before.Absent {
		return after, nil
	}
	after = backup.State{Hash: hash, Size: n, Mode: createdMode}
	if who := ownerText.FindStringSubmatch(owner); who != nil && item.Kind == plan.Generated {
		after.UID, _ = strconv.Atoi(who[1])
		after.GID, _ = strconv.Atoi(who[2])
		after.Mode = who[3]
	}
	return after, nil
}

// finish says of the items that have no content what becomes of them, checks those whose content is known, and adds what follows the swap.
func finish(m *backup.Manifest, changes []plan.Change, files map[string][]byte, reload []plan.Command) error {
	for _, c := range changes {
		item := &m.Items[itemOf(*m, c)]
		switch c.Kind {
		case plan.DeleteFile:
			item.After, item.Last = backup.State{Absent: true}, true
		case plan.ModeChange:
			item.After = item.Before
			item.After.Mode = c.After.Mode
		case plan.EditFile, plan.CreateFile:
			if want := hash(files[c.Path]); strings.HasPrefix(item.After.Hash, "sha256:") && item.After.Hash != "sha256:"+want {
				return fmt.Errorf("cannot leave %s on the host: it is not what was sent", c.Path)
			}
		}
	}
	m.Reload = reload
	return nil
}

// reloads are the commands that follow the swap, of all installations, each once.
func reloads(commands []plan.Commands) []plan.Command {
	var out []plan.Command
	for _, c := range commands {
		for _, r := range c.Reload {
			if !slices.ContainsFunc(out, func(o plan.Command) bool { return o.String() == r.String() && string(o.Stdin) == string(r.Stdin) }) {
				out = append(out, r)
			}
		}
	}
	return out
}
