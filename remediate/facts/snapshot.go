package facts

import (
	"io/fs"
	"time"

	"mtaharden/remediate/remote"
)

// Snapshot is everything one collect learnt of a host. It is data: parsed once, never changed, and all that the judges see.
type Snapshot struct {
	Host      string // the inventory's name, "" for a snapshot made by hand
	Digest    string // sha256 of the script that made it, as the script said
	Taken     time.Time
	Complete  bool // the end of the frame was seen
	Root      bool // the script ran as root
	Hostname  string
	OS        OS
	Init      string   // systemd, sysv, openrc, smf, src, hpux, none or ""
	Container string   // "" or what the host runs in
	Addrs     []string // the host's own addresses with prefix length: "10.1.2.3/24"
	Login     string   // the address that the login's client has for the host, "" where it was not over SSH or is not known
	Listeners []Listener
	Processes []Process         // those that listen, and those a driver asked for by name
	Tools     map[string]string // tools found by the host part: name to path
	Transport remote.Transport
	Problems  []string // what could not be collected, and why; for people

	files   map[string]*File
	outputs map[string]*Output
	facts   map[string]string
	seen    map[string][]Seen
	nonce   string   // of the run that made it
	order   []string // names of files and outputs in the order they came
}

// OS is what the host says of its operating system.
type OS struct {
	ID      string // os-release ID: debian, rhel …; aix, hpux, solaris
	Like    string // os-release ID_LIKE
	Version string // os-release VERSION_ID, or the system's own
	Name    string // PRETTY_NAME
	Kernel  string // uname -sr
	Arch    string
}

// Listener is a listening TCP socket.
type Listener struct {
	Addr string // "0.0.0.0:25", "[::]:25", "127.0.0.1:587"
	PID  int    // 0 where it could not be read
}

// Process is a running process.
type Process struct {
	PID, PPID int
	UID       int
	Exe       string // resolved program, "" where it could not be read
	Argv      []string
	Start     time.Time // zero where unknown
	Container string    // "" or the namespace or cgroup it runs in, where that is not the collector's own
}

// State says how much of a File or an Output was collected.
type State string

const (
	Whole      State = ""           // all of it
	Cut        State = "truncated"  // its beginning: it is larger than the bound
	Unreadable State = "unreadable" // it exists and could not be read
	Absent     State = "absent"     // it does not exist
	Secret     State = "secret"     // never collected: metadata and hash only
	Timeout    State = "timeout"    // a command that was stopped at its time limit
	StatOnly   State = "stat"       // only its metadata was asked for
	Binary     State = "binary"     // a database: metadata and hash only
	Damaged    State = "damaged"    // what came is not what was sent
)

// File is a file of the host, its bytes with secrets masked.
type File struct {
	Path    string // as asked for
	Target  string // the resolved path, where Path is or goes through a symbolic link
	Mode    fs.FileMode
	Owner   string
	Group   string
	Links   int
	Size    int64 // of the original
	ModTime time.Time
	SHA256  string // of the original, hex; "" where no tool could say
	State   State
	Data    []byte
	Masks   []Mask
}

// Mask is a place in File.Data where a secret of the original was replaced by a keyed mark.
type Mask struct {
	Offset int // in Data
	Length int // in Data
	Origin int // length in the original
}

// Output is what a command of the collector printed.
type Output struct {
	Name   string // chosen by the driver: "postfix:/etc/postfix:postconf-n"
	Exit   int
	Stdout []byte
	Stderr []byte
	State  State
}

// Seen is one line of the host's own mail log, summed: who sent mail through this host in the last days.
type Seen struct {
	Client  string // address
	Auth    bool   // it had authenticated
	Foreign bool   // to a recipient elsewhere: it was relayed
	Count   int
	Last    time.Time
}
