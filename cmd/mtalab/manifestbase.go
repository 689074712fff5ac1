package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// imageManifests are the manifests of images, each made once in a run, for a host of it that has changed nothing: the layers of an image are never
// written to, and whatever a host changes, be it a mode alone, lies in the folder above them (overlayfs).
type imageManifests struct {
	mu   sync.Mutex
	made map[string]map[string]string // by the layers: by path, its line
}

// manifest is what a host is made of, as a text.
func (l *Lab) manifest(ctx context.Context, h Host) (string, error) {
	lines, err := l.manifestLines(ctx, h)
	return manifestText(lines), err
}

// manifestLines is what a host is made of, by path: the image's manifest, and over it the lines of whatever lies above the image.
func (l *Lab) manifestLines(ctx context.Context, h Host) (map[string]string, error) {
	layers, err := l.image(ctx, h)
	if err != nil {
		return nil, err
	}
	dir := l.hostDir(h.Name)
	lines, err := l.images.of(dir, layers)
	if err == nil {
		lines, err = overlaid(lines, filepath.Join(dir, "upper"), filepath.Join(dir, "root"))
	}
	if errors.Is(err, errMoved) {
		lines, err = treeManifest(filepath.Join(dir, "root"))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list the files of %s: %w", h.Name, err)
	}
	return lines, nil
}

// of is the manifest of an image as a host has it that is mounted in dir: in an overlay of its own, read once.
func (m *imageManifests) of(dir string, layers []string) (lines map[string]string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := strings.Join(layers, ":")
	if lines, ok := m.made[key]; ok {
		return lines, nil
	}
	own, err := os.MkdirTemp(dir, "image-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unmount(filepath.Join(own, "root")), os.RemoveAll(own)) }()
	if err := mountOverlay(own, layers); err != nil {
		return nil, err
	}
	if lines, err = treeManifest(filepath.Join(own, "root")); err == nil {
		m.made[key] = lines
	}
	return lines, err
}

// errMoved is a folder of the image that lies above it under another name, as only a kernel whose overlays may do so leaves it.
var errMoved = errors.New("a folder of the image was moved as one")

// overlaid is the manifest of an overlay: the image's, without what is hidden, and with what lies in the upper folder as it is seen at root.
func overlaid(image map[string]string, upper, root string) (map[string]string, error) {
	hidden := map[string]bool{} // what lies below a path in the image; true: and the path
	lines := map[string]string{}
	err := filepath.WalkDir(upper, func(path string, d fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(strings.TrimPrefix(path, upper), "/")
		switch {
		case err != nil:
		case !d.IsDir():
			if hidden[rel] = true; whiteout(path, d) {
				return nil
			}
		case marked(path, "redirect"):
			return errMoved
		case marked(path, "opaque"):
			hidden[rel] = false
		}
		if skip, err := leftOut(rel, d, err); skip {
			return err
		}
		return addLine(lines, filepath.Join(root, rel), rel)
	})
	if err != nil {
		return nil, err
	}
	for rel, line := range image {
		if _, ok := lines[rel]; !ok && !covered(hidden, rel) {
			lines[rel] = line
		}
	}
	return lines, nil
}

// covered says whether a path of the image is hidden, by a mark on itself or on a folder that it lies in.
func covered(hidden map[string]bool, rel string) bool {
	if hidden[rel] {
		return true
	}
	for i := strings.LastIndexByte(rel, '/'); i >= 0; i = strings.LastIndexByte(rel[:i], '/') {
		if _, ok := hidden[rel[:i]]; ok {
			return true
		}
	}
	return false
}

// marked says whether overlayfs has given a folder a mark of a name.
func marked(path, name string) bool {
	_, err := unix.Lgetxattr(path, "trusted.overlay."+name, nil)
	return err == nil
}

// whiteout says whether an entry stands for one of the image that was removed: a character device 0:0.
func whiteout(path string, d fs.DirEntry) bool {
	var st unix.Stat_t
	return d.Type()&fs.ModeCharDevice != 0 && unix.Lstat(path, &st) == nil && st.Rdev == 0
}
