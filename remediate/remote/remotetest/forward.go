package remotetest

import (
	"io"
	"net"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
)

// forward answers a request for a connection onward (RFC 4254, 7.2) as OpenSSH does.
func (s *Server) forward(ch ssh.NewChannel) {
	s.Forwards.Add(1)
	var msg struct {
		Addr       string
		Port       uint32
		OriginAddr string
		OriginPort uint32
	}
	switch {
	case s.HangForward:
		<-s.stop
		return
	case s.Forward == nil || ssh.Unmarshal(ch.ExtraData(), &msg) != nil:
		ch.Reject(ssh.Prohibited, "open failed")
		return
	}
	conn, err := s.Forward("tcp", net.JoinHostPort(msg.Addr, strconv.Itoa(int(msg.Port))))
	if err != nil {
		ch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer conn.Close()
	channel, reqs, err := ch.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	go ssh.DiscardRequests(reqs)
	var both sync.WaitGroup
	both.Go(func() {
		io.Copy(conn, channel)
		if half, ok := conn.(*net.TCPConn); ok {
			half.CloseWrite() // its own end may still be read
			return
		}
		conn.Close()
	})
	both.Go(func() {
		io.Copy(channel, conn)
		channel.CloseWrite()
		channel.Close()
		conn.Close()
	})
	both.Wait()
}
