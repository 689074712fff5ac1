package apply

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"mtaharden/remediate/backup"
	"mtaharden/remediate/plan"
)

// Holds says whether everything that a plan changes still is what the plan was made for: ErrStale names the first thing that is not.
// Contents are the live ones, by the item's place in the manifest.
func Holds(changes []plan.Change, m backup.Manifest, contents map[int][]byte) error {
	for _, c := range changes {
		i := itemOf(m, c)
		if i < 0 {
			return fmt.Errorf("%w: %s was not saved", ErrStale, c.Path)
		}
		if why := unlike(c, m.Items[i], contents[i]); why != "" {
			return fmt.Errorf("%w: %s %s: make the plan anew", ErrStale, c.Path, why)
		}
	}
	return nil
}

// itemOf is the place of a change's item in the manifest, -1 where there is none.
func itemOf(m backup.Manifest, c plan.Change) int {
	return slices.IndexFunc(m.Items, func(i backup.Item) bool {
		same := i.Service == nil || c.Service == nil || i.Service.Name == c.Service.Name
		return named(i) == c.Path && i.Kind == c.Kind && same
	})
}

// named is an item's path as the plan names it.
func named(i backup.Item) string { return cmp.Or(i.Named, i.Path) }

// unlike says how what stands at a change's path is not what the plan was made for; "" where it is.
func unlike(c plan.Change, item backup.Item, content []byte) string {
	now := item.Before
	switch c.Kind {
	case plan.CreateFile:
		if !now.Absent {
			return "exists already"
		}
	case plan.EditFile, plan.DeleteFile:
		if now.Absent {
			return "is not there any more"
		}
		if c.PreHash != "" && hash(content) != c.PreHash {
			return "is not what the plan was made for"
		}
		if _, err := plan.Patch(content, c.Edits); err != nil {
			return "is not what the plan was made for: " + err.Error()
		}
	case plan.ModeChange:
		if now.Absent {
			return "is not there any more"
		}
		if c.Before != nil && now.Mode != c.Before.Mode {
			return fmt.Sprintf("has mode %s, not %s", now.Mode, c.Before.Mode)
		}
	case plan.Unit:
		if c.Service != nil && item.Service != nil && !sameRunning(c.Service.Before, item.Service.Before) {
			return "is not in the state that the plan was made for"
		}
	}
	return ""
}

func sameRunning(a, b plan.Running) bool {
	return a.Enabled == b.Enabled && a.Active == b.Active && a.Masked == b.Masked && slices.Equal(slices.Sorted(slices.Values(a.Links)), slices.Sorted(slices.Values(b.Links)))
}

// retired says whether a service is as its change leaves it. Only systemd says whether one runs; elsewhere its boot links speak, where the
// change moves any, and whoever looks at the host sees the rest.
func retired(now, c plan.Service) bool {
	is := now.Before
	if c.Manager != "systemd" && len(c.Before.Links) != len(c.After.Links) {
		is.Active = c.After.Active
	}
	return sameRunning(is, c.After)
}

// Applied says whether everything is already as the plan would leave it. What the plan does not know (a file that holds secrets) is not.
func Applied(changes []plan.Change, m backup.Manifest, contents map[int][]byte) bool {
	source := false
	for _, c := range changes {
		i := itemOf(m, c)
		if i < 0 {
			return false
		}
		now := m.Items[i].Before
		switch c.Kind {
		case plan.CreateFile, plan.EditFile:
			source = true
			if now.Absent || c.PostHash == "" || hash(contents[i]) != c.PostHash {
				return false
			}
		case plan.DeleteFile:
			source = true
			if !now.Absent {
				return false
			}
		case plan.ModeChange:
			source = true
			if c.After == nil || now.Mode != c.After.Mode {
				return false
			}
		case plan.Unit:
			source = true
			if s := m.Items[i].Service; s == nil || c.Service == nil || !retired(*s, *c.Service) {
				return false
			}
		}
	}
	return source
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Candidate returns the whole text of every edited and created file, by path.
func Candidate(changes []plan.Change, m backup.Manifest, contents map[int][]byte) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, c := range changes {
		switch c.Kind {
		case plan.CreateFile:
			out[c.Path] = c.Content
		case plan.EditFile:
			before, edited := out[c.Path] // two changes of one file are one after the other
			if !edited {
				before = contents[itemOf(m, c)]
			}
			after, err := plan.Patch(before, c.Edits)
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrStale, c.Path, err)
			}
			if c.PostHash != "" && hash(after) != c.PostHash {
				return nil, fmt.Errorf("%w: %s does not become what the plan shows", ErrStale, c.Path)
			}
			out[c.Path] = after
		}
	}
	return out, nil
}

// managed finds the word of a tool that claims a file for itself in the file's first lines.
func managed(text []byte) string {
	const most = 2048
	head := strings.ToLower(string(text[:min(len(text), most)]))
	if !strings.Contains(head, "managed") && !strings.Contains(head, "do not edit") && !strings.Contains(head, "generated") {
		return ""
	}
	for _, tool := range []string{"ansible", "puppet", "chef", "salt", "cfengine", "rudder", "terraform"} {
		if i := strings.Index(head, tool); i >= 0 && (i+len(tool) == len(head) || head[i+len(tool)] < 'a' || head[i+len(tool)] > 'z') {
			return tool
		}
	}
	return ""
}
