package remotetest

import (
	"flag"
	"os"
	"strconv"
	"syscall"
	"testing"
)

// AtOnce runs a package's tests eight at once where the command line says nothing else: for scripts that wait, for each other and for a disk, more
// than they compute. A target that is fuzzed, which computes, is not run so. It returns the exit status for os.Exit.
func AtOnce(m *testing.M) int { return Parallel(m, 8) }

// Parallel is AtOnce with another number.
func Parallel(m *testing.M, n int) int {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" || f.Name == "test.fuzz" })
	if !given {
		flag.Set("test.parallel", strconv.Itoa(n))
	}
	return m.Run()
}

// InMemory is AtOnce with the tests' directories in memory, where that keeps extended attributes and $TMPDIR says nothing else: what they make
// durable waits for no disk that others write to.
func InMemory(m *testing.M) int {
	if os.Getenv("TMPDIR") != "" {
		return AtOnce(m)
	}
	dir, err := os.MkdirTemp("/dev/shm", "mtaharden-test-")
	if err != nil {
		return AtOnce(m)
	}
	defer os.RemoveAll(dir)
	if syscall.Setxattr(dir, "user.note", []byte("x"), 0) == nil {
		os.Setenv("TMPDIR", dir)
	}
	return AtOnce(m)
}
