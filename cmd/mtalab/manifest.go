package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// manifest is what a host is made of, a line for every file, link and folder: mode, owner, extended attributes (an ACL is one, acl(5)), of files
// and links the time, too, a link's target, a file's size and hash. It is read from outside, through the overlay that is the host's root, so that it
// rests on none of the host's own programs.
func (l *Lab) manifest(h Host) (string, error) {
	root := filepath.Join(l.hostDir(h.Name), "root")
	var lines []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(strings.TrimPrefix(path, root), "/")
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone since its folder was read
			return nil
		case err != nil:
			return err
		case left(rel, d.IsDir()):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		line, err := manifestLine(path, rel)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		lines = append(lines, line)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("cannot list the files of %s: %w", h.Name, err)
	}
	slices.Sort(lines)
	return strings.Join(lines, ""), nil
}

// left says whether a path is left out: what runs by itself (logs, caches, mail under way and delivered, daemons' notes of themselves), and the program's own
// folder. Of a spool its folders are compared, and the copies of configuration that Postfix keeps there for its chroot.
func left(rel string, dir bool) bool {
	for _, p := range []string{"proc", "sys", "dev", "run", "tmp", "var/tmp", "var/log", "var/cache", "var/mail", "var/lib/mtaharden", "var/lib/systemd",
		"var/lib/postfix", "var/lib/exim4/berkeleydbvers.txt"} {
		if rel == p {
			return true
		}
	}
	spool, below := strings.CutPrefix(rel, "var/spool/")
	if !below {
		return false
	}
	copies := slices.ContainsFunc([]string{"postfix/etc", "postfix/lib", "postfix/usr"}, func(p string) bool { return spool == p || strings.HasPrefix(spool, p+"/") })
	return !copies && (!dir || strings.Count(spool, "/") > 1)
}

// dated are files that Debian's sendmail writes anew at every start (update_mk, parse_mc, update_conf): their time is not compared, nor the line of it
// that two of them have.
func dated(rel string) (line string, ok bool) {
	return "##### on: ", slices.Contains([]string{"etc/mail/Makefile", "etc/mail/databases", "etc/mail/sendmail.conf"}, rel)
}

func manifestLine(path, rel string) (string, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return "", &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	line := fmt.Sprintf("%s %o %d:%d", rel, st.Mode, st.Uid, st.Gid)
	attrs, err := attributes(path)
	if err != nil {
		return "", err
	}
	_, isDated := dated(rel)
	if kind := st.Mode & unix.S_IFMT; (kind == unix.S_IFREG || kind == unix.S_IFLNK) && !isDated {
		line += fmt.Sprintf(" %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
	}
	var content string
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		content, err = fileLine(path, rel)
	case unix.S_IFLNK:
		content, err = os.Readlink(path)
	}
	return line + attrs + " " + content + "\n", err
}

// fileLine is the size of a file and, of one that a program may ever write, its hash.
func fileLine(path, rel string) (string, error) {
	for _, p := range []string{"usr/bin/", "usr/lib/", "usr/share/doc/", "usr/share/locale/", "usr/share/zoneinfo/", "usr/share/perl"} {
		if strings.HasPrefix(rel, p) {
			st, err := os.Stat(path)
			if err != nil {
				return "", err
			}
			return fmt.Sprint(st.Size()), nil
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if stamp, ok := dated(rel); ok {
		lines := slices.DeleteFunc(slices.Collect(bytes.Lines(data)), func(line []byte) bool { return bytes.HasPrefix(line, []byte(stamp)) })
		data = bytes.Join(lines, nil)
	}
	sum := sha256.Sum256(data)
	return fmt.Sprintf("%d %s", len(data), hex.EncodeToString(sum[:])), nil
}

// attributes are a path's extended attributes but the overlay's own, sorted, each with its value in hex.
func attributes(path string) (string, error) {
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX, xattr(7)
	n, err := unix.Llistxattr(path, buf)
	if errors.Is(err, syscall.ENOTSUP) || err == nil && n == 0 {
		return "", nil
	}
	if err != nil {
		return "", &fs.PathError{Op: "llistxattr", Path: path, Err: err}
	}
	names := strings.FieldsFunc(string(buf[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	var out strings.Builder
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		n, err := unix.Lgetxattr(path, name, buf)
		if err != nil {
			return "", &fs.PathError{Op: "lgetxattr " + name, Path: path, Err: err}
		}
		fmt.Fprintf(&out, " %s=%x", name, buf[:n])
	}
	return out.String(), nil
}
