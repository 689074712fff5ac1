package apply

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLinkInPlace holds that a file goes live under its own name alone: whoever owns its directory may put a link to another directory there in
// the last moment, and that is not where root writes.
func TestLinkInPlace(t *testing.T) {
	for _, script := range []string{"swap.sh", "restore.sh"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			s := small(t, scratch(t)).ready()
			s.faulty()
			s.mkdir(filepath.Join(s.dir, "elsewhere"))
			s.write(filepath.Join(s.dir, "bin/mv"), `#!/bin/sh
for to; do :; done
if [ "$to" = ../main.cf ] && [ -e "$SITE/trap" ]; then
  rm -f "$SITE/trap" "$to"
  ln -s "$SITE/elsewhere" "$to"
  : >"$SITE/sprung"
fi
exec /bin/mv "$@"
`)
			s.must(os.Chmod(filepath.Join(s.dir, "bin/mv"), 0o755))
			if script == "restore.sh" {
				if r := s.do("swap.sh"); r.status != 0 {
					t.Fatalf("swap: %+v", r)
				}
			}
			s.write(filepath.Join(s.dir, "trap"), "")
			if r := s.do(script); r.status != 0 {
				t.Errorf("%s: %+v", script, r)
			}
			if _, err := os.Stat(filepath.Join(s.dir, "sprung")); err != nil {
				t.Fatal("the link was not put there")
			}
			if found, _ := filepath.Glob(filepath.Join(s.dir, "elsewhere", "*")); len(found) > 0 {
				t.Errorf("it wrote %v", found)
			}
			if info, err := os.Lstat(filepath.Join(s.live, "main.cf")); err != nil || !info.Mode().IsRegular() {
				t.Errorf("main.cf is %v, %v", info, err)
			}
		})
	}
}
