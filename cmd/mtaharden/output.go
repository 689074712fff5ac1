package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// reportFile is where a report goes: standard output, or a file that takes its name only when it is whole.
type reportFile struct {
	io.Writer
	temp *os.File
	name string
}

// openReport returns w where name is "". A device or a pipe is written to as it is, and what a link leads to is replaced, not the link.
func openReport(w io.Writer, name string) (*reportFile, error) {
	if name == "" || name == "-" {
		return &reportFile{Writer: w}, nil
	}
	r, err := openOutput(name)
	if err != nil {
		return nil, badInput(fmt.Errorf("cannot write %s: %w", name, cause(err)))
	}
	return r, nil
}

func openOutput(name string) (*reportFile, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a directory")
	case !info.Mode().IsRegular():
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		return &reportFile{Writer: f}, err
	default:
		if name, err = filepath.EvalSymlinks(name); err != nil {
			return nil, err
		}
	}
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // CreateTemp makes it 0600
	if err != nil {
		return nil, err
	}
	return &reportFile{Writer: temp, temp: temp, name: name}, nil
}

// cause is err without the name of the temporary file, which tells a user nothing.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// commit gives the file its name.
func (r *reportFile) commit() error {
	if r.temp == nil {
		return nil
	}
	err := errors.Join(r.temp.Sync(), r.temp.Close())
	if err == nil {
		err = os.Rename(r.temp.Name(), r.name)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", r.name, cause(err))
	}
	r.temp = nil
	return nil
}

// discard removes a file that was not committed.
func (r *reportFile) discard() {
	if r.temp != nil {
		r.temp.Close()
		os.Remove(r.temp.Name())
	}
}

// saveWhole writes data to name, which appears whole or not at all and is its owner's alone.
func saveWhole(name string, data []byte) error {
	f, err := openReport(nil, name)
	if err != nil {
		return err
	}
	defer f.discard()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("cannot write %s: %w", name, err)
	}
	return f.commit()
}
