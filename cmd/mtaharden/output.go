package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// reportFile is where a report goes: standard output, or a file that takes its name only when it is whole.
type reportFile struct {
	io.Writer
	temp *os.File
	name string
}

// openReport returns w where name is "".
func openReport(w io.Writer, name string) (*reportFile, error) {
	if name == "" || name == "-" {
		return &reportFile{Writer: w}, nil
	}
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return nil, badInput(fmt.Errorf("cannot write the report: %w", err))
	}
	return &reportFile{Writer: temp, temp: temp, name: name}, nil
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
		return fmt.Errorf("cannot write the report: %w", err)
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
