package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// serveSSH is the sshd of a vantage point outside: for the lab's own key it forwards connections (direct-tcpip, RFC 4254
// §7.2), and tells the address that it has towards another, as a host's ip(8) does. A shell there would be one on this
// machine, so there is none.
func (l *Lab) serveSSH(ctx context.Context, where string) error {
	config, err := l.vantageConfig(where)
	if err != nil {
		return err
	}
	var listener net.Listener
	err = inNetns(l.netnsPath(where), func() error {
		listener, err = net.Listen("tcp", net.JoinHostPort(l.vantageAddr(where).String(), "22"))
		return err
	})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go l.serveVantage(conn, where, config)
	}
}

func (l *Lab) vantageConfig(where string) (*ssh.ServerConfig, error) {
	login, err := os.ReadFile(filepath.Join(l.keysDir(), "id_ed25519.pub"))
	if err != nil {
		return nil, err
	}
	allowed, _, _, _, err := ssh.ParseAuthorizedKey(login)
	if err != nil {
		return nil, err
	}
	private, err := os.ReadFile(l.hostKeyPath(where))
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{
		MaxAuthTries: 6,
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if string(key.Marshal()) != string(allowed.Marshal()) {
				return nil, fmt.Errorf("not the lab's key")
			}
			return nil, nil
		},
	}
	config.AddHostKey(signer)
	return config, nil
}

func (l *Lab) serveVantage(conn net.Conn, where string, config *ssh.ServerConfig) {
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		conn.Close()
		return
	}
	_ = conn.SetDeadline(time.Time{})
	defer server.Close()
	go ssh.DiscardRequests(requests)
	for c := range channels {
		switch c.ChannelType() {
		case "direct-tcpip":
			go l.forward(where, c)
		case "session":
			go l.tell(where, c)
		default:
			_ = c.Reject(ssh.Prohibited, "a vantage point forwards connections and does nothing else")
		}
	}
}

// tell answers a command whose last word is an address, whatever it is, with the vantage point's own address on the way
// there: "src ADDRESS". Any other command ends with 127.
func (l *Lab) tell(where string, c ssh.NewChannel) {
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	for r := range requests {
		var exec struct{ Command string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &exec) != nil {
			_ = r.Reply(false, nil)
			continue
		}
		_ = r.Reply(true, nil)
		status := struct{ Status uint32 }{127}
		if own, err := l.sourceAt(where, lastAddr(exec.Command)); err == nil {
			fmt.Fprintf(channel, "src %s\n", own)
			status.Status = 0
		}
		_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(status))
		return
	}
}

// lastAddr is the address that a command ends with, quoted or not; the zero Addr where it ends otherwise.
func lastAddr(command string) netip.Addr {
	words := strings.Fields(command)
	if len(words) == 0 {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(strings.Trim(words[len(words)-1], `'"`))
	return addr
}

// sourceAt is the address by which a vantage point reaches another. No packet is sent: the kernel chooses the route.
func (l *Lab) sourceAt(where string, to netip.Addr) (own netip.Addr, err error) {
	err = inNetns(l.netnsPath(where), func() error {
		conn, err := net.Dial("udp", netip.AddrPortFrom(to, 25).String())
		if err != nil {
			return err
		}
		defer conn.Close()
		at, err := netip.ParseAddrPort(conn.LocalAddr().String())
		own = at.Addr()
		return err
	})
	return own, err
}

// forward joins a channel to a connection made from the vantage point's network.
func (l *Lab) forward(where string, c ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(c.ExtraData(), &to); err != nil {
		_ = c.Reject(ssh.ConnectionFailed, "cannot read the request")
		return
	}
	var conn net.Conn
	err := inNetns(l.netnsPath(where), func() (err error) {
		conn, err = net.DialTimeout("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), 10*time.Second)
		return err
	})
	if err != nil {
		_ = c.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	go ssh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(conn, channel)
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(channel, conn)
}
