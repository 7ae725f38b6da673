package smtpd

import (
	"errors"
	"net"
	"sync"
	"time"
)

// commandBytes is what a client may send for one command line. RFC 5321 section 4.5.3.1.4 asks for 512 plus what the
// extensions add; the rest is room for a pipelined group and for a TLS record.
const commandBytes = 64 << 10

var errTooMuch = errors.New("the client sent more than was agreed")

// guardedListener refuses connections above the limits with 421, before any session is made of them.
type guardedListener struct {
	net.Listener
	server *Server
}

func (l *guardedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c, ok := l.server.admit(conn); ok {
			return c, nil
		}
		// A few bytes go into the socket's empty buffer at once; the deadline is for when they do not.
		_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = conn.Write([]byte("421 4.7.0 " + l.server.o.Domain + " too many connections, try again later\r\n"))
		_ = conn.Close()
	}
}

func (s *Server) admit(conn net.Conn) (*guardedConn, bool) {
	c := &guardedConn{Conn: conn, server: s, client: clientKey(conn.RemoteAddr()), ends: time.Now().Add(s.o.SessionTimeout)}
	s.mu.Lock()
	defer s.mu.Unlock()
	tcp, _ := conn.RemoteAddr().(*net.TCPAddr)
	own := s.o.trustLoopback && tcp != nil && tcp.IP.IsLoopback()
	crowded := !own && s.perClient[c.client] >= s.o.MaxPerClient
	if len(s.conns) >= s.o.MaxConnections || crowded || s.draining.Load() {
		return nil, false
	}
	s.conns[c] = struct{}{}
	s.perClient[c.client]++
	return c, true
}

// clientKey is what counts as one client: an IPv4 address, or the /64 that one IPv6 customer is given.
func clientKey(addr net.Addr) string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return addr.String()
	}
	if v4 := tcp.IP.To4(); v4 != nil {
		return v4.String()
	}
	return tcp.IP.Mask(net.CIDRMask(64, 128)).String()
}

// guardedConn bounds what one client may take in bytes and in time. go-smtp asks for a deadline once per command line, and
// for none while a mail is transferred: both are tightened here.
type guardedConn struct {
	net.Conn
	server *Server
	client string
	// ends is when the session is over, whatever happens.
	ends time.Time

	mu sync.Mutex
	// left is how many bytes may still come before the next command or the end of the mail.
	left int64
	// mailEnds is set while a mail is transferred; done when its session has answered.
	mailEnds time.Time
	done     bool
	closed   bool
}

func (c *guardedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	c.left -= int64(n)
	over := c.left < 0
	c.mu.Unlock()
	if over {
		return 0, errTooMuch
	}
	return n, err
}

// SetReadDeadline is called before each command line is read.
func (c *guardedConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		c.mailEnds, c.done = time.Time{}, false
	}
	if !c.mailEnds.IsZero() { // the next chunk of a mail that comes by BDAT
		return c.Conn.SetReadDeadline(earlier(t, c.mailEnds))
	}
	c.left = commandBytes
	if c.server.draining.Load() {
		t = time.Unix(1, 0)
	}
	return c.Conn.SetReadDeadline(earlier(t, c.ends))
}

// SetDeadline keeps to the same bounds; go-smtp does not call it.
func (c *guardedConn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// beginMail allows one mail to come, in the time that mails have.
func (c *guardedConn) beginMail() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Dot-stuffing at most doubles a mail, and TLS adds its records. What is over MaxBytes is answered 552 and read to
	// its end, but not for ever.
	c.left = 2*c.server.o.MaxBytes + 1<<20
	c.mailEnds, c.done = earlier(time.Now().Add(c.server.o.MailTimeout), c.ends), false
	return c.Conn.SetReadDeadline(c.mailEnds)
}

// endMail says that the session has its answer; the library may still read the mail to its end.
func (c *guardedConn) endMail() {
	c.mu.Lock()
	c.done = true
	c.mu.Unlock()
}

// drain ends the connection with 421, unless a mail is in transfer: that ends at its next command.
func (c *guardedConn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mailEnds.IsZero() {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed connection
	}
}

// finish lets the answer to this command go out and ends the session at the next one.
func (c *guardedConn) finish() {
	c.mu.Lock()
	c.ends = time.Unix(1, 0)
	c.mu.Unlock()
}

func (c *guardedConn) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	if !closed {
		c.server.leave(c)
	}
	return c.Conn.Close()
}

func (s *Server) leave(c *guardedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.perClient[c.client]--; s.perClient[c.client] <= 0 {
		delete(s.perClient, c.client)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}
