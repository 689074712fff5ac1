package remote

import "context"

type atLogin struct{}

// AtLogin makes a dial under the context ask gate before the host is offered the first key, password or answer: it may wait there for its turn, and is not
// offered anything where gate returns an error, which is then the dial's. gate is asked again by a dial that had to connect anew meanwhile. A host that is
// not come to that point with (it hangs, its key is wrong, there is nothing to offer it) never asks, and neither does the login to a jump host before it.
func AtLogin(ctx context.Context, gate func(context.Context) error) context.Context {
	return context.WithValue(ctx, atLogin{}, gate)
}

// Gate is what a transport asks before a login; nil where nobody wants to be asked.
func Gate(ctx context.Context) func(context.Context) error {
	gate, _ := ctx.Value(atLogin{}).(func(context.Context) error)
	return gate
}
