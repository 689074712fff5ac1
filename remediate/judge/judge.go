// Package judge holds the words in which mail servers are judged: a question about one SMTP dialogue, and the answers of the judges.
package judge

// Verb is what a Question asks for.
type Verb string

const (
	Rcpt   Verb = "RCPT"   // MAIL FROM Sender, RCPT TO Recipient: is it taken?
	Vrfy   Verb = "VRFY"   // is an account confirmed?
	Expn   Verb = "EXPN"   // is a list's membership shown?
	Banner Verb = "BANNER" // does the greeting show product or version?
	Help   Verb = "HELP"   // does HELP show product or version?
	Auth   Verb = "AUTH"   // is AUTH offered without TLS?
)

// Class says which kind of client a Question comes from.
type Class string

const (
	Outside   Class = "outside"   // a client that nothing on the host names
	Localhost Class = "localhost" // 127.0.0.1 or ::1
	Own       Class = "own"       // the host's own address or connected network
	Inside    Class = "inside"    // within Entry, a client or domain that the configuration trusts
	Beside    Class = "beside"    // the neighbour just outside Entry
)

// Question is one SMTP dialogue put to a judge. The zero value of a field means the ordinary: no TLS, not authenticated, any listener.
type Question struct {
	Listener   string `json:"listener,omitempty"` // "ADDR:PORT" as in Install.Listen; "" is every listener of the install
	Class      Class  `json:"class"`
	Entry      string `json:"entry,omitempty"` // for inside and beside: the Trust.ID that is being tried
	Form       string `json:"form,omitempty"`  // which form of the relay matrix: plain, null-sender, own-sender, percent, bang, route, quoted …
	ClientAddr string `json:"client_addr,omitempty"`
	ClientName string `json:"client_name,omitempty"` // the client's verified DNS name; "" is none
	Helo       string `json:"helo,omitempty"`
	User       string `json:"user,omitempty"` // SASL login; "" is not authenticated
	TLS        bool   `json:"tls,omitempty"`
	Verb       Verb   `json:"verb"`
	Sender     string `json:"sender,omitempty"`    // envelope sender without brackets; "" is the null sender
	Recipient  string `json:"recipient,omitempty"` // without brackets; for VRFY and EXPN the argument
}

// Outcome is what became, or would become, of a Question.
type Outcome string

const (
	Relayed    Outcome = "relayed"     // taken for a foreign destination
	Delivered  Outcome = "delivered"   // taken for a destination of the host's own (local, virtual, or a declared relay domain)
	Refused    Outcome = "refused"     // a permanent no, or a policy no with a temporary code (454 Relay access denied)
	Deferred   Outcome = "deferred"    // a temporary no that is no policy: the dialogue would be tried again
	Dead       Outcome = "dead"        // the listener does not serve: it fails to start, or answers every recipient with a configuration error
	Disclosed  Outcome = "disclosed"   // VRFY, EXPN, BANNER, HELP, AUTH: it shows what it should not
	CannotTell Outcome = "cannot-tell" // this judge does not know; Text says why
)

// Judge names who answered.
type Judge string

const (
	Config  Judge = "config"  // the effective configuration, evaluated
	MTA     Judge = "mta"     // the MTA itself, asked what it would do
	Network Judge = "network" // a real SMTP dialogue
)

// Line is a place in a configuration that led to an Answer.
type Line struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1; 0 where the place has no line (a default, a command line)
	Text string `json:"text"`
}

// Answer is what one judge says to one Question.
type Answer struct {
	Question Question `json:"question"`
	Judge    Judge    `json:"judge"`
	Outcome  Outcome  `json:"outcome"`
	Text     string   `json:"text"` // the reply, or why it cannot be told
	Because  []Line   `json:"because,omitempty"`

	// AcceptsAll says that the server took every recipient it was asked for, also such as exist nowhere: whether it would send anything on
	// is unproven. The network judge alone says so, and calls the Outcome relayed.
	AcceptsAll bool `json:"accepts_all,omitempty"`

	// TakesAny says that the server took the recipient, and takes any account at the name of its own that the foreign address is hidden
	// behind: whether it finds that address is unproven. The network judge alone says so, and calls the Outcome cannot-tell.
	TakesAny bool `json:"takes_any,omitempty"`

	// Perhaps says that the server let the client relay, and may know it for one of its own: the Outcome is cannot-tell, and no other
	// judge's refusal is a pass until another stranger is refused. The network judge alone says so.
	Perhaps bool `json:"perhaps,omitempty"`
}

// ProbeUser is the local part of the foreign addresses that the network judge asks for: by it a server's log tells its questions from mail.
const ProbeUser = "relaytest"
