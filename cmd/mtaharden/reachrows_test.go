package main

import "mtaharden/remediate/remote"

// named is an inventory of one host, mx1, about which ssh_config has to say everything.
const named = "[groups.mx]\nhosts = [\"mx1\"]\n"

const at0 = "Host mx1\n HostName 127.0.0.1\n Port PORT0\n User joe\n"

var sshRows = []sshRow{
	// ssh_config
	{name: "all of ssh_config", config: at0, inv: named, want: "joe PORT0"},
	{name: "the inventory's user goes before", config: at0, inv: named + "[hosts.mx1]\nuser = \"root\"\n", want: "root PORT0"},
	{name: "the inventory's port goes before", config: at0, inv: "[defaults]\nport = PORT1\n" + named, want: "joe PORT1"},
	{name: "the inventory's address goes before", config: "Host mx1\n HostName 192.0.2.77\n Port PORT0\n User joe\n", inv: named + "[hosts.mx1]\naddress = \"127.0.0.1\"\n", want: "joe PORT0"},
	{name: "the inventory's identity goes before", config: at0, inv: "[defaults]\nidentity = \"DIR/none\"\n" + named, kind: remote.ErrAuth, says: []string{"cannot log in to mx1: user joe: ", "no such file: ", "/none"}},
	{name: "Match host and Include", config: "Include DIR/config2*\nHost mx1\n HostName 127.0.0.1\nMatch host 127.0.0.1\n Port PORT0\n User joe\n", inv: named, want: "joe PORT0"},
	{name: "Match user sees the inventory's", config: "Host mx1\n HostName 127.0.0.1\nMatch user root\n Port PORT1\nHost *\n Port PORT0\n", inv: "[defaults]\nuser = \"root\"\n" + named, want: "root PORT1"},
	{name: "tokens in IdentityFile", config: at0 + " IdentityFile DIR/%r-%h\n IdentitiesOnly yes\n", inv: named, want: "joe PORT0"},
	{name: "no identity", config: at0 + " IdentityFile none\nMatch host *\n", inv: "[defaults]\nidentity = []\n" + named, kind: remote.ErrAuth, says: []string{"there was no key to offer"}},
	{name: "IdentityFile named and missing", config: at0 + " IdentityFile DIR/missing\n", inv: named, want: "joe PORT0"},
	{name: "a wrong port", config: "Host mx1\n HostName 127.0.0.1\n Port CLOSED\n User joe\n", inv: named, kind: remote.ErrUnreachable, says: []string{"cannot connect to mx1: dial tcp 127.0.0.1:CLOSED: connect: connection refused"}},
	{name: "a file that is wrong", config: "Port nothing\n", inv: named, kind: remote.ErrUnreachable, says: []string{"ort", "config"}},
	{name: "ciphers and key exchange", config: at0 + " Ciphers -*gcm*,chacha20*\n KexAlgorithms ecdh-sha2-nistp256\n MACs ^hmac-sha2-256\n", inv: named, want: "joe PORT0"},
	{name: "ciphers of none", config: at0 + " Ciphers 3des-cbc\n", inv: named, kind: remote.ErrUnreachable, says: []string{"Ciphers of ssh_config leaves only what is not safe: 3des-cbc", "allow_legacy_ssh"}},
	{name: "ciphers that the host has not", config: at0 + " KexAlgorithms diffie-hellman-group14-sha1\n", inv: named, kind: remote.ErrUnreachable, says: []string{"KexAlgorithms of ssh_config leaves only what is not safe"}},
	{name: "timeouts and keepalives", config: at0 + " ConnectTimeout 5\n ServerAliveInterval 7\n ServerAliveCountMax 2\n", inv: named, want: "joe PORT0"},

	{name: "signatures of none of the keys", config: at0 + " PubkeyAcceptedAlgorithms rsa-sha2-512\n", inv: named, kind: remote.ErrAuth, says: []string{"was not offered: PubkeyAcceptedAlgorithms of ssh_config leaves it out"}},
	{name: "signatures of the key", config: at0 + " PubkeyAcceptedAlgorithms -ecdsa*\n", inv: named, want: "joe PORT0"},
	{name: "a way of logging in that ssh has alone", config: "Host mx1\n HostName 127.0.0.1\n Port PORT3\n User stranger\n GSSAPIAuthentication yes\n", inv: named, kind: remote.ErrAuth, says: []string{"ssh_config asks for GSSAPIAuthentication (", "config:5), which this program does not do"}},
	{name: "a way that the host has not either", config: "Host mx1\n HostName 127.0.0.1\n Port PORT0\n User stranger\n GSSAPIAuthentication yes\n PKCS11Provider /usr/lib/p11.so\n", inv: named, kind: remote.ErrAuth, says: []string{"ssh_config asks for PKCS11Provider (", "config:6)"}},

	{name: "another order of methods", config: "Host mx1\n HostName 127.0.0.1\n Port PORT0\n User stranger\n PreferredAuthentications password\n PubkeyAuthentication no\n", inv: named, kind: remote.ErrAuth, says: []string{"ssh_config asks for PreferredAuthentications (", "config:5)", "ssh_config asks for PubkeyAuthentication (", "config:6)"}},
	{name: "methods as they are", config: at0 + " PubkeyAuthentication yes\n KbdInteractiveAuthentication no\n ServerAliveInterval 0\n", inv: named, want: "joe PORT0"},
	{name: "an address of one's own", config: "Host mx1\n HostName 127.0.0.1\n Port CLOSED\n User joe\n BindAddress 127.0.0.9\n", inv: named, kind: remote.ErrUnreachable, says: []string{"connection refused; ssh_config asks for BindAddress (", "config:5), which this program does not do"}},

	// host keys
	{name: "unknown key", config: at0, inv: named, known: "other K-ED25519\n", kind: remote.ErrHostKey, says: []string{"the host key is not known: the host shows ssh-ed25519 SHA256:", "no line for [127.0.0.1]:PORT0 or 127.0.0.1 is in"}},
	{name: "checking is never off", config: at0 + " StrictHostKeyChecking no\n", inv: named, known: "other K-ED25519\n", kind: remote.ErrHostKey, says: []string{"ssh_config asks for StrictHostKeyChecking no (", "config:5), which this program does not do"}},
	{name: "unknown key, accepted", config: at0, inv: named, known: "other K-ED25519\n", args: []string{"--accept-new"}, want: "joe PORT0"},
	{name: "changed key", config: at0, inv: named, known: "[127.0.0.1]:PORT0 K-OWN\n", args: []string{"--accept-new"}, kind: remote.ErrHostKey, says: []string{"the host key has changed: the host shows ssh-ed25519 SHA256:", "known is ssh-ed25519 SHA256:", "/known:1)"}},
	{name: "changed key, checking off", config: at0 + " StrictHostKeyChecking no\n", inv: named, known: "\n\n[127.0.0.1]:PORT0 K-OWN\n", kind: remote.ErrHostKey, says: []string{"has changed", "/known:3)"}},
	{name: "only the ecdsa key is known", config: at0, inv: named, known: "[127.0.0.1]:PORT0 K-ECDSA\n", want: "joe PORT0"},
	{name: "only the rsa key is known", config: at0, inv: named, known: "[127.0.0.1]:PORT0 K-RSA\n", want: "joe PORT0"},
	{name: "another order is written down", config: at0 + " HostKeyAlgorithms ssh-ed25519\n", inv: named, known: "[127.0.0.1]:PORT0 K-RSA\n", kind: remote.ErrHostKey, says: []string{"has changed: the host shows ssh-ed25519"}},
	{name: "known without the port", config: at0, inv: named, known: "127.0.0.1 K-ED25519\n", want: "joe PORT0"},
	{name: "an alias", config: at0 + " HostKeyAlias Front\n", inv: named, known: "FRONT K-ED25519\n", want: "joe PORT0"},
	{name: "the inventory's alias goes before", config: at0 + " HostKeyAlias other\n", inv: named + "[hosts.mx1]\nhost_key_alias = \"front\"\n", known: "front K-ED25519\n", want: "joe PORT0"},
	{name: "revoked", config: at0, inv: named, known: "* K-ED25519\n@revoked * K-ED25519\n", kind: remote.ErrHostKey, says: []string{"is revoked at", "/known:2"}},
	{name: "revoked where ssh would read it", config: at0, inv: "[defaults]\nknown_hosts = \"DIR/config3\"\naccept_new = true\n" + named, known: "@revoked * K-ED25519\n@revoked * K-ECDSA\n@revoked * K-RSA\n", kind: remote.ErrHostKey, says: []string{"is revoked at", "/known:1"}},
	{name: "revoked for another where ssh would read it", config: at0, inv: "[defaults]\nknown_hosts = \"DIR/config3\"\naccept_new = true\n" + named, known: "@revoked 192.0.2.9 K-ED25519\n", want: "joe PORT0"},
	{name: "known where ssh would read it alone", config: at0, inv: "[defaults]\nknown_hosts = \"DIR/config3\"\n" + named, known: "* K-ED25519\n", kind: remote.ErrHostKey, says: []string{"the host key is not known"}},
	{name: "a bad line costs itself", config: at0, inv: named, known: "rubbish\n|1|x|y ssh-ed25519 AAAA\n* K-ED25519\n", want: "joe PORT0"},
	{name: "two files", config: at0 + " UserKnownHostsFile DIR/none DIR/known2\n GlobalKnownHostsFile DIR/known\n", inv: named, want: "joe PORT0"},
	{name: "certificate", config: "Host mx1\n HostName 127.0.0.1\n Port PORT2\n User joe\n HostKeyAlias reach.example\n", inv: named, known: "@cert-authority *.example K-CA\n", want: "joe PORT2"},
	{name: "certificate for a pattern", config: "Host mx1\n HostName 127.0.0.1\n Port PORT2\n User joe\n HostKeyAlias wild-7.example\n", inv: named, known: "@cert-authority * K-CA\n", want: "joe PORT2"},
	{name: "certificate for another", config: "Host mx1\n HostName 127.0.0.1\n Port PORT2\n User joe\n", inv: named, known: "@cert-authority * K-CA\n", kind: remote.ErrHostKey, says: []string{"not in the set of valid principals"}},
	{name: "certificate of another CA", config: "Host mx1\n HostName 127.0.0.1\n Port PORT2\n User joe\n HostKeyAlias reach.example\n", inv: named, known: "@cert-authority * K-OWN\n", kind: remote.ErrHostKey, says: []string{"is not signed by ssh-ed25519 SHA256:"}},
	{name: "certificate of another CA, the key known", config: "Host mx1\n HostName 127.0.0.1\n Port PORT2\n User joe\n HostKeyAlias reach.example\n", inv: named, known: "@cert-authority * K-OWN\nreach.example K-ED25519\n", want: "joe PORT2"},

	// jump hosts
	{name: "a jump of ssh_config", config: at0 + " ProxyJump joe@127.0.0.1:PORT1\n", inv: named, want: "joe PORT0"},
	{name: "three jumps of ssh_config", config: at0 + " ProxyJump a,b,c\nHost a\n HostName 127.0.0.1\n Port PORT1\n User root\nHost b c\n HostName ::1\n Port PORT3\n User joe\n", inv: named, want: "joe PORT0"},
	{name: "a jump of the inventory", config: at0, inv: named + "[hosts.mx1]\njump = [\"joe@127.0.0.1:PORT1\", \"root@[::1]:PORT3\"]\n", want: "joe PORT0"},
	{name: "a jump with a stanza", config: at0, inv: named + "[hosts.mx1]\njump = [\"front\"]\n[hosts.front]\naddress = \"127.0.0.1\"\nport = PORT1\nuser = \"root\"\n", want: "joe PORT0"},
	{name: "the inventory's jump goes before", config: at0 + " ProxyJump nowhere.invalid\n", inv: named + "[hosts.mx1]\njump = [\"joe@127.0.0.1:PORT1\"]\n", want: "joe PORT0"},
	{name: "no jump, says the inventory", config: at0 + " ProxyJump nowhere.invalid\n", inv: named + "[hosts.mx1]\njump = []\n", want: "joe PORT0"},
	{name: "the first jump has one of its own", config: at0 + " ProxyJump a\nHost a\n HostName 127.0.0.1\n Port PORT1\n User root\n ProxyJump joe@127.0.0.1:PORT3\n", inv: named, want: "joe PORT0"},
	{name: "a jump to itself", config: at0 + " ProxyJump joe@127.0.0.1:PORT0\n", inv: named, known: "[127.0.0.1]:PORT0 K-RSA\n", kind: remote.ErrUnreachable, says: []string{"cannot connect to mx1: ", "127.0.0.1"}},
	{name: "each hop's own key order", config: at0 + " ProxyJump root@127.0.0.1:PORT2\n", inv: named, known: "[127.0.0.1]:PORT0 K-RSA\n[127.0.0.1]:PORT2 K-ECDSA\n", want: "joe PORT0"},
	{name: "a jump's key changed", config: at0 + " ProxyJump joe@127.0.0.1:PORT1\n", inv: named, known: "[127.0.0.1]:PORT0 K-ED25519\n[127.0.0.1]:PORT1 K-OWN\n", args: []string{"--accept-new"}, kind: remote.ErrUnreachable, says: []string{"the key of its jump host 127.0.0.1 is not right: the host key has changed: the host shows ecdsa-sha2-nistp256 SHA256:", "/known:2)"}},
	{name: "a jump refuses", config: at0 + " ProxyJump nobodyatall@127.0.0.1:PORT1\n", inv: named, kind: remote.ErrUnreachable, says: []string{"its jump host 127.0.0.1 does not let us in: user nobodyatall: "}},
	{name: "a jump is not there", config: at0 + " ProxyJump joe@127.0.0.1:CLOSED\n", inv: named, kind: remote.ErrUnreachable, says: []string{"its jump host 127.0.0.1 cannot be reached: ", "connection refused"}},
	{name: "a jump forwards nothing", config: at0 + " ProxyJump shut@127.0.0.1:PORT1\n", inv: named, kind: remote.ErrUnreachable, says: []string{"its jump host 127.0.0.1 forwards no connection to 127.0.0.1:PORT0", "AllowTcpForwarding", "for shut"}},
	{name: "nothing behind the jump", config: "Host mx1\n HostName 127.0.0.1\n Port CLOSED\n User joe\n ProxyJump joe@127.0.0.1:PORT1\n", inv: named, kind: remote.ErrUnreachable, says: []string{"its jump host 127.0.0.1 cannot connect to 127.0.0.1:CLOSED: Connection refused"}},
	{name: "jumps in a circle", config: at0 + " ProxyJump a\nHost a\n HostName 127.0.0.1\n Port PORT1\n User joe\n ProxyJump mx1\n", inv: named, kind: remote.ErrUnreachable, says: []string{"it is reached through itself: "}},

	// ProxyCommand
	{name: "a command", config: at0 + " ProxyCommand NETCAT\n", inv: named, want: "joe PORT0"},
	{name: "a command that fails", config: at0 + " ProxyCommand bash -c 'echo no way to %h %p as %r >&2; exit 4'\n", inv: named, kind: remote.ErrUnreachable, says: []string{"its ProxyCommand ended (exit status 4): no way to 127.0.0.1 PORT0 as joe"}},
	{name: "a command to a jump", config: at0 + " ProxyJump a\nHost a\n HostName 127.0.0.1\n Port PORT1\n User root\n ProxyCommand NETCAT\n", inv: named, want: "joe PORT0"},
	{name: "a command that hands over", config: at0 + " ProxyCommand NETCAT\n ProxyUseFdpass yes\n", inv: named, kind: remote.ErrUnreachable, says: []string{"ProxyUseFdpass ("}},
	{name: "a command of none", config: at0 + " ProxyCommand none\n", inv: named, want: "joe PORT0"},

	// addresses
	{name: "IPv6", config: "User joe\nPort PORT0\n", inv: "[hosts.\"::1\"]\n", want: "joe PORT0"},
	{name: "IPv6 of ssh_config", config: "Host mx1\n HostName ::1\n User joe\n Port PORT0\n", inv: named, known: "[::1]:PORT0 K-ED25519\n", want: "joe PORT0"},
	{name: "IPv6 chosen among others", config: "User joe\nPort PORT0\n", inv: "[groups.mx]\nhosts = [\"127.0.0.1\", \"::1\"]\n", args: []string{"--limit", "::1"}, want: "joe PORT0"},
	{name: "IPv6 with a zone", config: "User joe\nPort PORT0\n", inv: "[hosts.\"::1%lo\"]\n", known: "[::1%lo]:PORT0 K-ED25519\n", want: "joe PORT0"},
	{name: "an address with its port", config: "User joe\n", inv: "[hosts.mx1]\naddress = \"[::1]:PORT0\"\n", want: "joe PORT0"},
	{name: "IPv4 with its port", config: "User joe\n", inv: "[hosts.mx1]\naddress = \"127.0.0.1:PORT0\"\n", want: "joe PORT0"},
	{name: "a name of both families", config: "User joe\nPort PORT0\n", inv: "[hosts.localhost]\n", want: "joe PORT0"},
	{name: "one family alone", config: "User joe\nPort PORT0\nAddressFamily inet6\n", inv: "[hosts.mx1]\naddress = \"127.0.0.1\"\n", kind: remote.ErrUnreachable, says: []string{"127.0.0.1"}},
	{name: "a name beyond ASCII", config: "User joe\nPort PORT0\nHostKeyAlias x\nProxyCommand bash -c 'exec 3<>/dev/tcp/127.0.0.1/%p; cat <&3 & cat >&3'\n", inv: "[hosts.\"bücher.example\"]\n", known: "x K-ED25519\n", want: "joe PORT0"},
}
