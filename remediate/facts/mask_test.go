package facts

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// emitted runs the part of the collector that sends a file on data, by awk alone, and returns the file and all that was sent.
func emitted(t *testing.T, awk []string, path string, data []byte) (*File, []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(awk[0], append(awk[1:], maskAwk+frameAwk+fileAwk)...)
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "mh_nonce=" + n0, "mh_key=0123456789abcdef"}
	cmd.Stdin = strings.NewReader(fmt.Sprintf("k\tfile\t%s\t\ns 81a4 1 0 0 %d 1 root root %s\n%s  %s\n", path, len(data), path, Digest(string(data)), path))
	out, _ := cmd.CombinedOutput() // the status says how much was sent
	s, err := Parse(strings.NewReader(n0 + " begin 1 d 1\n" + string(out) + n0 + " done\n"))
	if err != nil {
		t.Fatal(err)
	}
	f, ok := s.File(path)
	if !ok {
		t.Fatalf("awk sent no file: %s", out)
	}
	return f, out
}

// FuzzMask holds that whatever a file is, what is sent leads back to it by its masks, and that a secret behind it is masked.
func FuzzMask(f *testing.F) {
	f.Add([]byte("user = x\npassword = CANARY1\n"))
	f.Add([]byte("server_condition = ${if eq{$auth3} \\\n {CANARY2}}\n\nhide a = b \\\n c"))
	f.Add([]byte("smtp_sasl_password_maps = inline:{\n { a = b }\n}\n-----BEGIN PRIVATE KEY-----\nx\n"))
	f.Add([]byte("a\x00b://u:p@h\r\n\xff{SSHA}abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "file.cf")
		sent, _ := emitted(t, []string{"awk"}, path, data)
		if sent.State != Whole && sent.State != Secret {
			t.Fatalf("%q: state %q", data, sent.State)
		}
		if sent.State == Whole && !bytes.Equal(restored(sent, data), data) {
			t.Fatalf("%q came as %q with masks %v", data, sent.Data, sent.Masks)
		}
		// Behind any text that is a whole line the secret of the next line is still seen.
		if _, raw := emitted(t, []string{"awk"}, path, append(append([]byte(nil), data...), "\nbind_pw = CANARYfuzz\n"...)); bytes.Contains(raw, []byte("CANARYfuzz")) {
			t.Fatalf("behind %q a password was sent", data)
		}
	})
}

// restored puts the original's bytes back in the places of the masks.
func restored(f *File, original []byte) []byte {
	var back []byte
	at := 0
	for _, m := range f.Masks {
		back = append(back, f.Data[at:m.Offset]...)
		if len(back)+m.Origin > len(original) {
			return nil
		}
		back = append(back, original[len(back):len(back)+m.Origin]...)
		at = m.Offset + m.Length
	}
	return append(back, f.Data[at:]...)
}

// TestWithoutRoot holds that who is not root collects what it may, and says what it could not read.
func TestWithoutRoot(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this test becomes nobody, which root alone can")
	}
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "closed/inner"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"open": 0o644, "shut": 0o600, "closed/file": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	cmd.Stdin = strings.NewReader(Strip(Script(fmt.Sprintf("mh_file %[1]s/open %[1]s/shut %[1]s/closed/file %[1]s/gone\nmh_tree %[1]s/closed\nmh_running sh >/dev/null\n", dir))))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse(bytes.NewReader(out))
	if err != nil || s.Root || !s.Complete {
		t.Fatalf("%+v, %v", s, err)
	}
	for name, want := range map[string]State{"open": Whole, "shut": Unreadable, "closed/file": Unreadable, "gone": Absent} {
		if f, ok := s.File(filepath.Join(dir, name)); !ok || f.State != want {
			t.Errorf("%s: %+v, want %q", name, f, want)
		}
	}
	if !strings.Contains(strings.Join(s.Problems, "\n"), "cannot read the directory "+dir+"/closed") {
		t.Errorf("problems: %q", s.Problems)
	}
}
