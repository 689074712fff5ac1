package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

func (l *Lab) keysDir() string { return filepath.Join(l.State, "keys") }

func (l *Lab) hostKeyPath(name string) string {
	return filepath.Join(l.keysDir(), "host."+name)
}

// makeKeys makes what is missing: the login key, a host key for each host, passwords, and known_hosts from them.
func (l *Lab) makeKeys() error {
	if err := os.MkdirAll(l.keysDir(), 0o700); err != nil {
		return err
	}
	if _, err := makeKey(filepath.Join(l.keysDir(), "id_ed25519"), "mtalab"); err != nil {
		return err
	}
	var known strings.Builder
	add := func(name string, addr netip.Addr) error {
		public, err := makeKey(l.hostKeyPath(name), name)
		fmt.Fprintf(&known, "%s %s", addr, public)
		return err
	}
	for _, h := range l.Hosts() {
		if err := add(h.Name, h.Addr); err != nil {
			return err
		}
		if p := l.Kinds[h.Kind].BecomePassword; p != "" {
			if err := replaceFile(l.passwordPath(h.Name), p+"\n", 0o600); err != nil {
				return err
			}
		}
	}
	for _, v := range l.outsides() {
		if err := add(v, l.vantageAddr(v)); err != nil {
			return err
		}
	}
	resolv := fmt.Sprintf("nameserver %s\nsearch %s\n", nth(l.Network.Bridge4, l.Network.Resolver), l.Network.Domain)
	if err := replaceFile(filepath.Join(l.State, "resolv.conf"), resolv, 0o644); err != nil {
		return err
	}
	return replaceFile(l.knownHostsPath(), known.String(), 0o600)
}

func (l *Lab) knownHostsPath() string { return filepath.Join(l.keysDir(), "known_hosts") }

func (l *Lab) passwordPath(name string) string {
	return filepath.Join(l.keysDir(), "become."+name)
}

// makeKey makes an Ed25519 key pair unless it is there, and returns the public half as one authorized_keys line.
func makeKey(path, comment string) (string, error) {
	if _, err := os.Stat(path); err == nil {
		if public, err := os.ReadFile(path + ".pub"); err == nil && len(public) > 0 {
			return string(public), nil
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return "", err
	}
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))) + "\n"
	if err := replaceFile(path, string(pem.EncodeToMemory(block)), 0o600); err != nil {
		return "", err
	}
	return line, replaceFile(path+".pub", line, 0o644)
}

// replaceFile writes a file whole or not at all.
func replaceFile(path, text string, mode os.FileMode) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(text), mode); err != nil {
		return err
	}
	if err := os.Chmod(temp, mode); err != nil {
		return err
	}
	return os.Rename(temp, path)
}
