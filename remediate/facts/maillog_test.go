package facts_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mtaharden/remediate/facts"
)

// TestMailLog holds that the mail log comes from the newest file back, packed files too, and only the last 7 days of it.
func TestMailLog(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"bin", "var/log", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	base(t, dir)
	for _, tool := range []string{"uname", "hostname", "gzip", "ps"} {
		if err := os.Symlink("busybox", filepath.Join(dir, "bin", tool)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().UTC()
	day := func(ago int, layout, text string) string {
		return now.AddDate(0, 0, -ago).Format(layout) + " mx " + text + "\n"
	}
	const syslog, iso = "Jan _2 15:04:05", "2006-01-02T15:04:05.000000+00:00"
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, day(9, syslog, "too old in the packed file")+day(6, syslog, "six days"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for i, f := range []struct{ name, data string }{
		{"mail.log", day(1, iso, "yesterday") + day(0, iso, "today") + "  a continuation\n"},
		{"mail.log.1", day(300, syslog, "last year") + "  its continuation\n" + day(3, syslog, "three days")},
		{"mail.log.2.gz", packed.String()},
		{"mail.log.3", day(7, syslog, "in a file not written to for long")},
	} {
		path := filepath.Join(dir, "var/log", f.name)
		if err := os.WriteFile(path, []byte(f.data), 0o640); err != nil {
			t.Fatal(err)
		}
		age := time.Duration(i*48) * time.Hour
		if f.name == "mail.log.3" {
			age = 20 * 24 * time.Hour
		}
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := inDirectory(t, dir, facts.Nonce(), `mh_fact log "$(mh_maillog | sed 's/.* mx //')"`+"\n")
	if got, want := strings.Join(strings.Fields(s.Fact("log")), " "), "yesterday today a continuation three days six days"; got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
}
