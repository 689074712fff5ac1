package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"slices"
)

// descent is the search for the TLS versions that a server takes, from the one that it chose downwards. A server chooses the highest that it has
// of those offered (RFC 5246, E.1; RFC 8446, 4.2.1): an offer of everything up to one version settles that and all above the one agreed on.
// Where the server agrees on none only the highest is settled: an older one may still do, with the signatures of its time.
type descent struct {
	highest uint16 // of those that are not settled; below TLS 1.0 nothing is left
	busy    bool   // somebody is finding out
	alone   bool   // on connections of its own: at the end of another the server gave no clear answer
}

// descend begins the search below the version that was agreed on when everything was offered.
func (a *asker) descend(agreed uint16) {
	a.searches = !a.c.Brief && (a.c.Versions == nil || a.c.Versions())
	if a.searches {
		a.below.highest = agreed - 1
	}
}

// claim is the highest version that is to be offered next; others have to wait until it is settled or left.
func (a *asker) claim(alone bool) (highest uint16, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := &a.below
	if d.busy || d.alone && !alone || d.highest < tls.VersionTLS10 {
		return 0, false
	}
	d.busy = true
	return d.highest, true
}

// agreed records what the server chose of all versions up to the one claimed; 0 is none.
func (a *asker) agreed(version uint16) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.below.busy = false
	if version == 0 {
		a.below.highest--
		return
	}
	a.below.highest = version - 1
	a.report.TLS.Versions = append(a.report.TLS.Versions, versionName(version))
}

// left gives a claim back: the server's answer was not to be had on this connection.
func (a *asker) left() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.below.busy, a.below.alone = false, true
}

// leave ends a connection on which the server has answered everything: by an offer of TLS where one is still to be made, which saves a
// connection for it, else with leave taken. There only an agreement or the server's own alert is an answer.
func (a *asker) leave(ctx context.Context, c *client) {
	if c.secure == nil && a.canTLS() && ctx.Err() == nil {
		if highest, ok := a.claim(false); ok {
			if a.lastOffer(ctx, c, highest) {
				c.close()
				return
			}
			a.left()
		}
	}
	c.quit()
}

// lastOffer says whether the server answered the offer.
func (a *asker) lastOffer(ctx context.Context, c *client, highest uint16) bool {
	for _, command := range []string{"RSET", "STARTTLS"} { // a transaction may be open
		if reply, err := c.say(command); err != nil || !reply.good() {
			return false
		}
	}
	err := c.handshake(ctx, tlsConfig(a.serverName(), tls.VersionTLS10, highest))
	if err == nil {
		a.agreed(c.secure.Version)
		return true
	}
	if !alerted(err) {
		return false
	}
	a.agreed(0)
	return true
}

// alerted says whether it was the server that ended a handshake, and said so.
func alerted(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" // crypto/tls, Conn.readRecordOrCCS
}

// tlsVersions finds out which versions the server takes, as far as no other connection's end has.
func (a *asker) tlsVersions(ctx context.Context) {
	t := a.report.TLS
	if t == nil || t.Error != "" || !a.searches {
		return
	}
	t.Versions = append(t.Versions, t.Version)
	for _, v := range []uint16{tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
		if versionName(v) <= t.Version {
			continue
		}
		switch agreed, err := a.tlsOffer(ctx, v, v); {
		case err != nil:
			t.Untold = append(t.Untold, versionName(v)+": "+err.Error())
		case agreed != 0:
			t.Versions = append(t.Versions, versionName(v))
		}
	}
	for highest, ok := a.claim(true); ok; highest, ok = a.claim(true) {
		agreed, err := a.tlsOffer(ctx, tls.VersionTLS10, highest)
		a.agreed(agreed)
		if err != nil {
			t.Untold = append(t.Untold, versionName(highest)+": "+err.Error())
		}
	}
	slices.Sort(t.Versions)
}

// tlsOffer offers versions on a connection of its own and returns the one that was agreed on; 0 is a handshake that the server refused. An error
// says that the question was not reached.
func (a *asker) tlsOffer(ctx context.Context, lowest, highest uint16) (uint16, error) {
	offer := tlsConfig(a.serverName(), lowest, highest)
	c, err := a.dialTLS(ctx, "", offer)
	var refused *handshakeError
	if errors.As(err, &refused) {
		return 0, silence(ctx, err)
	}
	if err != nil {
		return 0, err
	}
	defer c.close()
	if a.l.TLS {
		return c.secure.Version, nil
	}
	if reply, err := a.introduce(c, a.helo); err != nil || !reply.good() {
		return 0, errors.New("the server did not greet: " + c.heard(reply, err))
	}
	if reply, err := c.say("STARTTLS"); err != nil || !reply.good() {
		return 0, errors.New("STARTTLS: " + c.heard(reply, err))
	}
	if err := c.handshake(ctx, offer); err != nil {
		return 0, silence(ctx, err)
	}
	return c.secure.Version, nil
}
