package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// mountOverlay lays dir/upper over the layers (topmost first) and mounts the sum on dir/root.
func mountOverlay(dir string, layers []string) error {
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			return err
		}
	}
	data := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", strings.Join(layers, ":"),
		filepath.Join(dir, "upper"), filepath.Join(dir, "work"))
	root := filepath.Join(dir, "root")
	if err := unix.Mount("overlay", root, "overlay", 0, data); err != nil {
		return fmt.Errorf("cannot mount the image on %s: %v", root, err)
	}
	// Nothing mounted below may show, or linger, elsewhere.
	if err := unix.Mount("", root, "", unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make the mount on %s private: %v", root, err)
	}
	return nil
}

// unmount takes away everything mounted on or below a path; a path with nothing mounted is no error.
func unmount(path string) error {
	for range 3 {
		mounts, err := mountsBelow(path)
		if err != nil || len(mounts) == 0 {
			return err
		}
		for _, m := range mounts {
			if err := unix.Unmount(m, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
				return fmt.Errorf("cannot unmount %s: %v", m, err)
			}
		}
	}
	return nil
}

// mountsBelow lists the mounts on or below a path, deepest first.
func mountsBelow(path string) ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var mounts []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 5 {
			continue
		}
		m := unescapeMount(fields[4])
		if m == path || strings.HasPrefix(m, path+"/") {
			mounts = append(mounts, m)
		}
	}
	sort.Sort(sort.Reverse(sort.StringSlice(mounts)))
	return mounts, s.Err()
}

// unescapeMount undoes the octal escapes of proc(5)'s mountinfo.
func unescapeMount(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// fewerCertificates leaves the bundle of the certificates of an image and the host's own, and takes away the links to one authority's each, where
// every start of the MTA compares and rehashes them (openssl-rehash(1)): for Debian 11's Postfix that takes two seconds of a processor's time, for
// Debian 12's half a second, and a mend of it starts Postfix four times.
func fewerCertificates(root string) error {
	script, err := os.ReadFile(filepath.Join(root, "usr/lib/postfix/configure-instance.sh"))
	if err != nil || !strings.Contains(string(script), "rehash") {
		return nil // no such MTA, or one that copies the bundle alone
	}
	dir := filepath.Join(root, "etc/ssl/certs")
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		if e.Type()&os.ModeSymlink == 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
