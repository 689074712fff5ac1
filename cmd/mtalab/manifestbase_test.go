package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOverlaid: the manifest that is made of an image's and of what lies above it is the one that a walk through the whole tree makes, whatever was
// done to the tree.
func TestOverlaid(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to mount an overlay")
	}
	dir, layers := overlayLayers(t)
	if err := mountOverlay(dir, layers); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unmount(filepath.Join(dir, "root")); err != nil {
			t.Error(err)
		}
	}()
	images := &imageManifests{made: map[string]map[string]string{}}
	root := filepath.Join(dir, "root")
	for name, do := range treeChanges(t, root) {
		do()
		image, err := images.of(dir, layers)
		if err != nil {
			t.Fatal(err)
		}
		got, err := overlaid(image, filepath.Join(dir, "upper"), root)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := treeManifest(root)
		if err != nil {
			t.Fatal(err)
		}
		if diff := unlike(manifestText(want), manifestText(got)); diff != "" || len(want) < 8 {
			t.Errorf("%s: %d lines, unlike a walk:\n%s", name, len(want), diff)
		}
	}
	if n := len(images.made); n != 1 {
		t.Errorf("%d images were read", n)
	}
}

// overlayLayers are two layers, the upper of which removes a file of the lower.
func overlayLayers(t *testing.T) (dir string, layers []string) {
	t.Helper()
	dir = t.TempDir()
	low := filepath.Join(dir, "low")
	for _, d := range []string{"etc", "etc/mail", "etc/dir", "etc/dir/sub", "etc/dir/sub/deep", "etc/gone", "etc/swapped", "var/spool/q/a", "var/log"} {
		if err := os.MkdirAll(filepath.Join(low, d), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"x", "y"} {
			if err := os.WriteFile(filepath.Join(low, d, f), []byte(d+f), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := mountOverlay(filepath.Join(dir, "second"), []string{low}); err != nil {
		if os.Getenv("MTALAB") == "" {
			t.Skip(err) // an overlay cannot lie on another: no lab can be here
		}
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "second/root/etc/mail/y")); err != nil {
		t.Fatal(err)
	}
	if err := unmount(filepath.Join(dir, "second/root")); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "host"), []string{filepath.Join(dir, "second/upper"), low}
}

// treeChanges are what can be done to a tree, one after another.
func treeChanges(t *testing.T, root string) func(func(string, func()) bool) {
	at := func(name string) string { return filepath.Join(root, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name string) { must(os.WriteFile(at(name), []byte(name), 0o640)) }
	return func(yield func(string, func()) bool) {
		for _, c := range []struct {
			name string
			do   func()
		}{
			{"nothing", func() {}},
			{"a file is written", func() { write("etc/mail/x") }},
			{"a file is new", func() { write("etc/new") }},
			{"what the image's upper layer removed is back", func() { write("etc/mail/y") }},
			{"a mode alone", func() { must(os.Chmod(at("etc/dir/x"), 0o600)) }},
			{"an owner alone", func() { must(os.Chown(at("etc/dir/y"), 7, 8)) }},
			{"a folder's mode alone", func() { must(os.Chmod(at("etc/dir/sub"), 0o700)) }},
			{"a time alone", func() { must(os.Chtimes(at("etc/dir/sub/x"), time.Unix(1, 2), time.Unix(3, 4))) }},
			{"attributes", func() { must(dressFile(root, "/etc/dir/sub/y")) }},
			{"a file is removed", func() { must(os.Remove(at("etc/dir/sub/x"))) }},
			{"a folder is removed", func() { must(os.RemoveAll(at("etc/gone"))) }},
			{"a folder is removed and made anew", func() { must(os.RemoveAll(at("etc/dir"))); must(os.Mkdir(at("etc/dir"), 0o755)); write("etc/dir/z") }},
			{"a folder becomes a file", func() { must(os.RemoveAll(at("etc/swapped"))); write("etc/swapped") }},
			{"a file becomes a folder", func() { must(os.Remove(at("etc/new"))); must(os.Mkdir(at("etc/new"), 0o711)) }},
			{"a file becomes a link", func() { must(os.Remove(at("etc/mail/x"))); must(os.Symlink("y", at("etc/mail/x"))) }},
			{"a hard link", func() { must(os.Link(at("etc/x"), at("etc/x2"))) }},
			{"mail under way goes", func() { must(os.Remove(at("var/spool/q/a/x"))) }},
			{"a spool's folder goes", func() { must(os.RemoveAll(at("var/spool/q"))) }},
			{"a log goes", func() { must(os.RemoveAll(at("var/log"))) }},
		} {
			if !yield(c.name, c.do) {
				return
			}
		}
	}
}
