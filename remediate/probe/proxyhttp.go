package probe

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// request is what a browser sends to its proxy. A posted body takes leave of the mail server that might get it.
func request(kind ProxyKind, sink string) string {
	head := "Host: " + sink + "\r\nUser-Agent: mtaharden\r\n"
	switch kind {
	case HTTPConnect:
		return "CONNECT " + sink + " HTTP/1.1\r\n" + head + "\r\n"
	case HTTPPost:
		return "POST http://" + sink + "/ HTTP/1.0\r\n" + head + "Content-Type: text/plain\r\nContent-Length: 6\r\n\r\nQUIT\r\n"
	}
	return "GET http://" + sink + "/ HTTP/1.0\r\n" + head + "\r\n"
}

func (a *ProxyAnswer) http(w io.Writer, r *bufio.Reader) {
	if _, err := io.WriteString(w, request(a.Kind, a.Sink)); err != nil {
		a.unsure("the request could not be sent: %s", plainError(err, a.limit))
		return
	}
	code, line, err := readHTTPReply(r)
	a.Reply = line
	var no notHTTP
	switch {
	case errors.As(err, &no):
		a.refused(true, "%s", no)
	case err != nil:
		a.unsure("its answer is not whole: %s", plainError(err, a.limit))
	case code == 407 || code == 401:
		a.refused(false, "it wants a login")
	case code == 502 || code == 503 || code == 504:
		a.unsure("it would pass this on, and reached no mail server there")
	case code/100 != 2:
		a.refused(false, "it refuses")
	case a.Kind == HTTPConnect:
		a.tunnel(w, r)
	default:
		a.body(r)
	}
}

// body looks for a greeting at the beginning of a document: a proxy that fetches http://HOST:25/ returns what the mail server said.
func (a *ProxyAnswer) body(r *bufio.Reader) {
	first, err := readLine(r)
	switch code, _, _, _ := splitReply(first); {
	case code == 220:
		a.Outcome, a.Banner, a.Text = "relayed", first, "the document it fetched is a mail server's greeting: it passes on connections to port 25"
	case first == "" && err != nil && !errors.Is(err, io.EOF):
		a.unsure("no document came: %s", plainError(err, a.limit))
	default:
		a.refused(false, "the document is no mail server's greeting")
	}
}

// notHTTP is an answer that is none of HTTP.
type notHTTP string

func (n notHTTP) Error() string { return string(n) }

// readHTTPReply reads a status line and the header, up to the empty line. Its code is 100 to 599. Interim answers (1xx) are passed over.
func readHTTPReply(r *bufio.Reader) (code int, line string, err error) {
	for range 5 {
		line, err = readLine(r)
		if line == "" && err != nil {
			return 0, line, err
		}
		code, ok := statusCode(line)
		if !ok {
			return 0, line, notHTTP(strangeReply(line))
		}
		if err == nil {
			err = skipHeader(r)
		}
		if err != nil && !errors.Is(err, io.EOF) || code/100 != 1 {
			if errors.Is(err, io.EOF) {
				err = nil // a header that the end of the connection ends
			}
			return code, line, err
		}
	}
	return 0, line, notHTTP("it answers with one interim status after the other")
}

func skipHeader(r *bufio.Reader) error {
	for range maxHeader {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		if line == "" {
			return nil
		}
	}
	return fmt.Errorf("the header has more than %d lines", maxHeader)
}

// statusCode reads HTTP/1.1 200 …; old proxies leave the reason out.
func statusCode(line string) (int, bool) {
	version, rest, ok := strings.Cut(line, " ")
	if !ok || !strings.HasPrefix(version, "HTTP/") {
		return 0, false
	}
	digits, _, _ := strings.Cut(strings.TrimLeft(rest, " "), " ")
	n, err := strconv.Atoi(digits)
	return n, err == nil && len(digits) == 3 && n >= 100 && n <= 599
}

// strangeReply says what answers a request of HTTP without being HTTP.
func strangeReply(line string) string {
	switch code, _, _, ok := splitReply(line); {
	case ok && code == 220:
		return "a mail server itself listens here, no proxy"
	case strings.HasPrefix(line, "\x15\x03"):
		return "it speaks TLS"
	case strings.HasPrefix(line, "SSH-"):
		return "an SSH server listens here"
	}
	return "it does not speak HTTP"
}
