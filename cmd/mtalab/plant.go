package main

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Plant puts a host back to its image, copies the tree onto it, runs the tree's plant.sh, has the MTA's generated files
// made again, restarts the MTA, waits until it greets and runs the tree's after.sh. That it does not greet is said, and is no error: a host that
// does not start is worth planting.
func (l *Lab) Plant(ctx context.Context, name, dir string) error {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("cannot plant %s: it is not a folder", dir)
	}
	hosts, err := l.Select([]string{name})
	if err != nil {
		return err
	}
	if err := l.ground(ctx); err != nil {
		return err
	}
	unlock, err := l.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	_, err = l.plant(ctx, hosts[0], os.DirFS(dir), notGreeting)
	return err
}

const mtaGreets = "the MTA greets"

const (
	notGreeting = 8 * time.Second  // how long a planted MTA is waited for that may be meant not to start
	greetsLate  = 60 * time.Second // likewise one that is to serve: sendmail's GreetPause, on a machine that is busy
)

// plant waits for the MTA's greeting up to a limit, and returns in words what came of it.
func (l *Lab) plant(ctx context.Context, h Host, tree fs.FS, limit time.Duration) (state string, err error) {
	start := time.Now()
	if err := l.boot(ctx, h); err != nil {
		return "", err
	}
	archive, planted, err := pack(tree)
	if err != nil {
		return "", err
	}
	copying := l.hostCommand(ctx, h.Name, nil, "tar", "--extract", "--no-overwrite-dir", "--keep-directory-symlink", "-C", "/")
	copying.Stdin = bytes.NewReader(archive)
	if out, err := copying.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot copy the tree to %s: %v: %s", h.Name, err, lastLines(string(out), 4))
	}
	if script, err := fs.ReadFile(tree, "plant.sh"); err == nil {
		if err := l.runScript(ctx, h, "plant.sh", string(script), planted); err != nil {
			return "", err
		}
	}
	if script := l.Kinds[h.Kind].Plant; script != "" {
		text, err := fs.ReadFile(l.files(), "plant/"+script)
		if err != nil {
			return "", err
		}
		if err := l.runScript(ctx, h, script, string(text), planted); err != nil {
			l.say("%s: %v", h.Name, err)
		}
	}
	state = l.plantedState(ctx, h, limit)
	if script, err := fs.ReadFile(tree, "after.sh"); err == nil {
		if err := l.runScript(ctx, h, "after.sh", string(script), planted); err != nil {
			return "", err
		}
	}
	l.say("%s is planted in %.1f s: %s", h.Name, time.Since(start).Seconds(), state)
	return state, nil
}

// plantedState says in words whether the planted MTA serves. sendmail's GreetPause may hold the greeting for seconds.
func (l *Lab) plantedState(ctx context.Context, h Host, limit time.Duration) string {
	if l.Kinds[h.Kind].MTA == "" {
		return "no MTA to wait for"
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := l.awaitMTA(ctx, h); err != nil {
		return fmt.Sprintf("the planted MTA does not start: %v", err)
	}
	return mtaGreets
}

// runScript runs a script of the lab on a host. LAB_PLANTED holds the paths that were planted, one a line.
func (l *Lab) runScript(ctx context.Context, h Host, name, script string, planted []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	env := []string{"LAB_INIT=" + l.initOf(h), "LAB_PLANTED=" + strings.Join(planted, "\n"), "DEBIAN_FRONTEND=noninteractive"}
	c := l.hostCommand(ctx, h.Name, env, "/bin/sh", "-c", script, name)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s ended with %v: %s", name, err, lastLines(string(out), 6))
	}
	return nil
}

// pack makes a tar of a tree, all of it root's, plant.sh and after.sh left out, and lists the files in it as absolute paths.
func pack(tree fs.FS) ([]byte, []string, error) {
	var buf bytes.Buffer
	var names []string
	w := tar.NewWriter(&buf)
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." || path == "plant.sh" || path == "after.sh" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !d.IsDir() {
			names = append(names, "/"+path)
		}
		return packOne(w, tree, path, info)
	})
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the tree: %v", err)
	}
	if err := w.Close(); err != nil {
		return nil, nil, err
	}
	return buf.Bytes(), names, nil
}

func packOne(w *tar.Writer, tree fs.FS, path string, info fs.FileInfo) error {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = fs.ReadLink(tree, path); err != nil {
			return err
		}
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name = filepath.ToSlash(path)
	header.Mode = 0o644 // whatever the umask of a checkout was; plant.sh sets what must be otherwise
	if info.IsDir() || info.Mode()&0o100 != 0 {
		header.Mode = 0o755
	}
	header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "root", "root"
	if info.IsDir() {
		header.Name += "/"
	}
	if err := w.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := tree.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}
