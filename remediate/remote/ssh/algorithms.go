package ssh

// Algorithms are lists of names, the most wanted first, as ssh_config(5) gives them. nil is the program's own choice. What is not safe is
// asked for where AllowLegacy is set alone, whatever a list says.
type Algorithms struct {
	KeyExchanges []string // KexAlgorithms
	Ciphers      []string
	MACs         []string
	HostKeys     []string // HostKeyAlgorithms
	PublicKeys   []string // PubkeyAcceptedAlgorithms: the signatures that a login's keys may make

	// HostKeysInOrder says that HostKeys stand in an order that somebody wrote down: it is kept, and known_hosts is not asked which comes first.
	HostKeysInOrder bool
}
