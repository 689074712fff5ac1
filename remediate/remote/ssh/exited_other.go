//go:build !linux

package ssh

// exited cannot be known here without giving the child's number away.
func exited(int) bool { return false }
