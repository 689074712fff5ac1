package ssh

import (
	"errors"

	"golang.org/x/sys/unix"
)

// exited waits until a child has ended, and leaves it there: its number is nobody else's until it is waited for (waitid(2), WNOWAIT).
func exited(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
