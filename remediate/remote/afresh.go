package remote

import "context"

type afresh struct{}

// Afresh says that a dial under the context makes a connection of its own: one that rides on another program's (an OpenSSH ControlMaster) proves nothing
// about whether the host still lets anybody in, which is what a change is confirmed by.
func Afresh(ctx context.Context) context.Context { return context.WithValue(ctx, afresh{}, true) }

// IsAfresh reports whether a transport has to make a connection of its own.
func IsAfresh(ctx context.Context) bool { return ctx.Value(afresh{}) != nil }
