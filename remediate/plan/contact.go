package plan

import (
	"net/netip"
	"time"
)

// Contact is what the network judge met at one listener of a host.
type Contact struct {
	Listener string         `json:"listener"`          // as the answers name it
	Dialled  netip.AddrPort `json:"dialled"`           // what was dialled
	Vantage  string         `json:"vantage,omitempty"` // the inventory's name of the host that was dialled through, "" for this machine
	From     netip.Addr     `json:"from"`              // the vantage's address as it knows it; invalid, "" in JSON, where it does not
	Seen     netip.Addr     `json:"seen_as"`           // the client's address as the server's reply to EHLO names it; invalid where it names none
	Outside  bool           `json:"outside"`           // it was asked about relaying as a stranger
	Banner   string         `json:"banner"`
	Product  string         `json:"product,omitempty"` // the product that banner and replies show, "" where they show none
	Offers   []string       `json:"offers,omitempty"`  // EHLO's extensions without TLS
	Auth     []string       `json:"auth,omitempty"`    // SASL mechanisms offered without TLS
	TLS      *Secured       `json:"tls,omitempty"`
}

// Secured is the TLS that a listener gave.
type Secured struct {
	Version     string    `json:"version,omitempty"`
	Versions    []string  `json:"versions,omitempty"` // all that it takes
	Cipher      string    `json:"cipher,omitempty"`
	Subject     string    `json:"subject,omitempty"`
	Issuer      string    `json:"issuer,omitempty"`
	Names       []string  `json:"names,omitempty"`
	NotAfter    time.Time `json:"not_after,omitzero"`
	SHA256      string    `json:"sha256,omitempty"`       // of the certificate, in hexadecimal
	VerifyError string    `json:"verify_error,omitempty"` // "" where the certificate is vouched for, for the server's name
	Error       string    `json:"error,omitempty"`        // why there was none although it is offered
}
