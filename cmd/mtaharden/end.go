package main

import (
	"context"
	"sync"
)

// ending holds what is to be done when the command has ended, whichever way it did.
type ending struct {
	mu sync.Mutex
	do []func()
}

type endingKey struct{}

// withEnd returns a context that atEnd works with, and the function that does what was put off, the last first.
func withEnd(ctx context.Context) (context.Context, func()) {
	e := &ending{}
	return context.WithValue(ctx, endingKey{}, e), func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i := len(e.do) - 1; i >= 0; i-- {
			e.do[i]()
		}
		e.do = nil
	}
}

// atEnd puts f off until the command has ended. Without withEnd, as in a test of one function, the process's end is soon enough.
func atEnd(ctx context.Context, f func()) {
	if e, ok := ctx.Value(endingKey{}).(*ending); ok {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.do = append(e.do, f)
	}
}
