package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mtaharden/remediate/journal"
	"mtaharden/remediate/remote"
)

// maxSent bounds the contents that Send takes to a host: all that Save takes from one.
const maxSent = maxSaved << 10

// Send makes a run's folder on a host of the controller's copy, by one command, before which long contents are uploaded by one each: for a host whose own folder is gone or damaged. A folder that is
// there is moved to .old.RUN first, but for what tells how the run stands. files are the run's scripts, by name, made of the manifest that is returned: there the
// original inodes are not to be had, so that content, owner and mode come back, but no time, ACL or label. A file "sent" tells that whatever
// else the run wrote there is not known.
func Send(ctx context.Context, h remote.Host, l journal.Layout, m Manifest, contents map[int][]byte, files func(Manifest) (map[string]string, error)) (*Manifest, error) {
	m.Items = slices.Clone(m.Items)
	total := 0
	for i := range m.Items {
		item := &m.Items[i]
		item.Kept = false
		if !item.saved() {
			continue
		}
		data, ok := contents[i]
		if total += len(data); !ok || !item.Before.Holds(data) || total > maxSent {
			return nil, fmt.Errorf("cannot send the backup of run %s: the content of %s is missing, another, or too large", m.Run, item.Path)
		}
	}
	long, err := upload(ctx, h, l, m, contents)
	var script string
	if err == nil {
		script, err = sendScript(m, contents, long, files)
	}
	if err == nil {
		var parts []journal.Part
		if parts, _, err = l.Ask(ctx, h, m.Run, script, 1<<20); err == nil {
			if !slices.ContainsFunc(parts, func(p journal.Part) bool { return p.Key == "sent" && p.Text == m.Run }) {
				err = errors.New("the host could not write it, or a run is at work there")
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot send the backup of run %s: %w", m.Run, err)
	}
	return &m, nil
}

// upload takes the long contents to the host, and returns where they lie, as shell text, by the item's place.
func upload(ctx context.Context, h remote.Host, l journal.Layout, m Manifest, contents map[int][]byte) (map[int]string, error) {
	long, of := map[int]string{}, remote.Nonce()
	for i := range m.Items {
		if !m.Items[i].saved() || len(contents[i]) < journal.Long {
			continue
		}
		file := fmt.Sprintf("%s/.upload.%s.%s.%d", l.Base(), m.Run, of, i+1)
		if err := journal.Upload(ctx, h, file, contents[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Items[i].Path, err)
		}
		long[i] = remote.Quote(file)
	}
	return long, nil
}

func sendScript(m Manifest, contents map[int][]byte, long map[int]string, files func(Manifest) (map[string]string, error)) (string, error) {
	texts, err := files(m)
	if err != nil {
		return "", err
	}
	manifest, err := m.Encode()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("mh_send_all() {\n[ ! -e \"$mh_base/lock\" ] || mh_locked || return 1\nmh_to=$mh_base/.sent.$mh_run\nrm -rf \"$mh_to\" && mkdir -p \"$mh_to/copy\" \"$mh_to/swapped\" || return 1\n")
	for i := range m.Items {
		if !m.Items[i].saved() {
			continue
		}
		before, file := m.Items[i].Before, fmt.Sprintf(`"$mh_to"/copy/%d`, i+1)
		if at, is := long[i]; is {
			b.WriteString(journal.Take(at, file, before.Hash) + "[ $? -eq 0 ] || return 1\n")
		} else {
			b.WriteString(journal.Put(file, contents[i]) + "[ $? -eq 0 ] || return 1\n")
		}
		fmt.Fprintf(&b, "chown %d:%d %s && chmod %s %s || return 1\n", before.UID, before.GID, file, before.Mode, file)
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		b.WriteString(journal.Put(`"$mh_to"/`+remote.Quote(name), []byte(texts[name])) + "[ $? -eq 0 ] || return 1\n")
	}
	own := map[string][]byte{journal.FileManifest: manifest}
	for name, text := range texts {
		own[name] = []byte(text)
	}
	b.WriteString(journal.Put(`"$mh_to"/`+journal.FileManifest, manifest) + "[ $? -eq 0 ] || return 1\n")
	b.WriteString(journal.Put(`"$mh_to"/`+journal.FileSums, Sums(own)) + "[ $? -eq 0 ] || return 1\n")
	// How far the swap had come is not known here: restore.sh looks at every item.
	b.WriteString(`true >"$mh_to/swapped/all" || return 1
for mh_f in about journal token owed end hooks hookdir; do [ ! -e "$mh_dir/$mh_f" ] || cp -pR "$mh_dir/$mh_f" "$mh_to/$mh_f" || return 1; done
true >"$mh_to/sent" || return 1
if [ ! -f "$mh_to/journal" ]; then
  mh_home=$mh_dir mh_dir=$mh_to
  mh_note swap doing "by the controller's copy, which does not know how far it came"
  mh_rc=$?
  mh_dir=$mh_home
  [ "$mh_rc" -eq 0 ] || return 1
fi
if [ -d "$mh_dir" ]; then rm -rf "$mh_base/.old.$mh_run" && mv "$mh_dir" "$mh_base/.old.$mh_run" || return 1; fi
mv "$mh_to" "$mh_dir" && mh_durable "$mh_dir/swapped" "$mh_dir" "$mh_base"
}
if mh_send_all; then mh_fact sent "$mh_run"; fi
rm -f "$mh_base/.upload.$mh_run."*
`)
	return b.String(), nil
}
