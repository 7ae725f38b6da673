package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/emersion/go-smtp"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// maxHops is how many Received fields a mail may carry before it counts as going in circles (RFC 5321 section 6.3 asks
// for at least 100).
const maxHops = 100

// session is one client's conversation. go-smtp calls its methods one after another, but for Data, which runs beside
// Reset when a mail that comes by BDAT is broken off.
type session struct {
	server  *Server
	conn    *smtp.Conn
	guard   *guardedConn
	refused int

	mu       sync.Mutex
	envelope envelope
}

// envelope is what MAIL and RCPT said.
type envelope struct {
	open       bool
	sender     string
	utf8       bool
	recipients []string
}

func (s *Server) session(c *smtp.Conn) (smtp.Session, error) {
	inner := c.Conn()
	if t, ok := inner.(*tls.Conn); ok {
		inner = t.NetConn()
	}
	guard, ok := inner.(*guardedConn)
	if !ok {
		return nil, errors.New("the connection did not come through the listener")
	}
	return &session{server: s, conn: c, guard: guard}, nil
}

// Reset forgets the envelope.
func (s *session) Reset() {
	s.mu.Lock()
	s.envelope = envelope{}
	s.mu.Unlock()
}

// Logout has nothing to give back: the guard leaves with the connection.
func (s *session) Logout() error { return nil }

// Mail takes MAIL FROM; the null sender "<>" is the empty address.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if s.server.draining.Load() {
		return answer(421, 4, 3, 2, "going down, try again later")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.envelope.open {
		return answer(503, 5, 5, 1, "one MAIL command per mail; RSET first")
	}
	s.envelope = envelope{open: true, sender: from, utf8: opts != nil && opts.UTF8}
	return nil
}

// Rcpt takes RCPT TO. Nothing is relayed: what Recipients does not know is refused.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	address := normalise(to)
	ctx, cancel := context.WithTimeout(s.server.ctx, s.server.o.CheckTimeout)
	defer cancel()
	known, err := s.server.o.Recipients(ctx, address)
	if err != nil {
		s.server.o.Log.WarnContext(ctx, "smtp: a recipient could not be looked up; the client will try again", "error", err)
		return answer(451, 4, 3, 0, "recipients cannot be looked up right now, try again later")
	}
	if !known {
		if s.refused++; s.refused > s.server.o.MaxRefusals {
			s.guard.finish() // the answer still goes out; the next command finds the session over
			return answer(421, 4, 7, 0, "too many unknown recipients")
		}
		return answer(550, 5, 1, 1, "no such recipient here; nothing is relayed")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Named twice, in whatever case, it is one mailbox here and gets one mail.
	if !slices.ContainsFunc(s.envelope.recipients, func(one string) bool { return strings.EqualFold(one, address) }) {
		s.envelope.recipients = append(s.envelope.recipients, address)
	}
	return nil
}

func normalise(address string) string {
	at := strings.LastIndexByte(address, '@') + 1
	return address[:at] + strings.ToLower(address[at:])
}

// Data takes the mail itself. A nil error is a 250, and means that Deliver made it durable.
func (s *session) Data(r io.Reader) error {
	s.mu.Lock()
	e := s.envelope
	s.mu.Unlock()
	if err := s.guard.beginMail(); err != nil {
		return answer(421, 4, 4, 2, "the connection is gone")
	}
	defer s.guard.endMail()

	now := s.server.o.Now()
	m := &Mail{ReceivedAt: msg.TimeOf(now), Helo: s.conn.Hostname()}
	m.Via, m.Sender, m.NullSender, m.Recipients = "smtp", e.sender, e.sender == "", e.recipients
	_, m.TLS = s.conn.TLSConnectionState()
	if tcp, ok := s.conn.Conn().RemoteAddr().(*net.TCPAddr); ok {
		m.RemoteIP = tcp.IP
	}
	trace := s.server.trace(m, e.utf8, now)
	m.TraceBytes = len(trace)

	_, chunked := r.(*io.PipeReader)
	raw, ended, held, err := s.read(r, trace, chunked)
	defer s.server.held.Add(-held)
	if err != nil {
		return err
	}
	m.Raw = raw
	err = s.take(m)
	if ended {
		// The library has not seen the end of the mail, see hiddenEnd: answer in its place and hang up.
		s.hangUp(err)
	}
	return err
}

// take checks the mail and has it delivered.
func (s *session) take(m *Mail) error {
	content := m.Raw[m.TraceBytes:]
	if hops(content) > maxHops {
		return answer(554, 5, 4, 6, "too many hops, this mail is going in circles")
	}
	if s.server.o.Resolver == nil {
		m.SPF, m.DKIM, m.DMARC = Disabled, Disabled, Disabled
	} else {
		ctx, cancel := context.WithTimeout(s.server.ctx, s.server.o.CheckTimeout)
		judge(ctx, s.server.o.Resolver, m.RemoteIP, m.Helo, content, &m.Mail)
		cancel()
	}
	ctx, cancel := context.WithTimeout(s.server.ctx, s.server.o.DeliverTimeout)
	defer cancel()
	if err := s.server.o.Deliver(ctx, m); err != nil {
		s.server.o.Log.WarnContext(ctx, "smtp: a mail was not taken", "kind", fault.Of(err).String(), "error", err)
		return reply(err)
	}
	return nil
}

// read takes the content behind the trace fields. ended says that the end was found before the library saw it; held is
// how much of the shared memory is taken, to be given back by the caller, also after an error.
func (s *session) read(r io.Reader, trace []byte, chunked bool) (raw []byte, ended bool, held int64, err error) {
	take := func(n int64) bool {
		if !s.server.reserve(n) {
			return false
		}
		held += n
		return true
	}
	const first = 16 << 10
	if !take(first) {
		return nil, false, held, answer(452, 4, 3, 1, "too many mails at once, try again later")
	}
	raw = append(make([]byte, 0, first), trace...)
	for {
		if len(raw) == cap(raw) {
			if !take(int64(cap(raw))) {
				return nil, false, held, answer(452, 4, 3, 1, "too many mails at once, try again later")
			}
			raw = append(make([]byte, 0, 2*cap(raw)), raw...)
		}
		want := cap(raw)
		if !chunked {
			want = min(want, len(raw)+beforeEnd(raw))
		}
		n, err := r.Read(raw[len(raw):want])
		raw = raw[:len(raw)+n]
		if errors.Is(err, io.EOF) {
			return raw, false, held, nil
		}
		if err != nil {
			return nil, false, held, s.broken(err)
		}
		if !chunked && endOfData(raw[len(trace):]) {
			return raw[:len(raw)-len(".\r\n")], true, held, nil
		}
	}
}

// hiddenEnd is an end of the mail that go-smtp v0.25.1 does not see: its reader forgets a CR that follows another CR, so
// that some programs' <CR><CR><LF>.<CR><LF> would leave client and server waiting for each other.
const hiddenEnd = "\r\r\n.\r\n"

// endOfData says that the content ends in a hidden end. It is one only after an even number of CRs; after an odd one the
// reader is right, and what looks like an end here was a dot-stuffed line.
func endOfData(content []byte) bool {
	if !bytes.HasSuffix(content, []byte(hiddenEnd)) {
		return false
	}
	line := bytes.TrimSuffix(content, []byte("\n.\r\n"))
	return (len(line)-len(bytes.TrimRight(line, "\r")))%2 == 0
}

// beforeEnd is how many bytes may be asked for without passing a hidden end: the library's reader does not return before
// it has all of them or has seen an end.
func beforeEnd(raw []byte) int {
	for n := len(hiddenEnd) - 1; n > 0; n-- {
		if len(raw) >= n && raw[len(raw)-1] == hiddenEnd[n-1] && string(raw[len(raw)-n:]) == hiddenEnd[:n] {
			return len(hiddenEnd) - n
		}
	}
	return len(hiddenEnd)
}

// hangUp answers a mail whose end the library did not see, then closes the connection, so that nothing behind that end is
// ever taken for a command.
func (s *session) hangUp(err error) {
	line := "250 2.0.0 OK: taken\r\n"
	if refusal, ok := errors.AsType[*smtp.SMTPError](err); ok {
		line = format(refusal)
	}
	conn := s.conn.Conn()
	_, _ = io.WriteString(conn, line) // a client that is gone asks again
	_ = conn.Close()
}

// broken maps what reading a mail failed with. In every case nothing was delivered. A connection that broke or was too slow
// is not used further; a client that itself gave up a mail sent in chunks may go on.
func (s *session) broken(err error) error {
	if refusal, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return refusal
	}
	if !errors.Is(err, smtp.ErrDataReset) {
		s.guard.finish()
	}
	return answer(451, 4, 4, 2, "the mail did not come through whole, try again")
}

// reply is what the client is told when Deliver failed: a full disk or a full store 452, what cannot ever be taken 554 (or
// 550 when the recipient is gone or the sender may not), everything else 451 so that the client tries again. The texts
// are fixed: what went wrong inside is not the client's to read.
func reply(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || fault.Code(err) == "disk_full" {
		return answer(452, 4, 3, 1, "no room to store the mail, try again later")
	}
	switch fault.Of(err) {
	case fault.Missing:
		return answer(550, 5, 1, 1, "no such recipient here")
	case fault.Denied:
		return answer(550, 5, 7, 1, "this mail is not taken here")
	case fault.Permanent, fault.Invalid:
		return answer(554, 5, 6, 0, "this mail cannot be taken")
	}
	return answer(451, 4, 3, 0, "the mail could not be stored, try again later")
}

func answer(code, class, subject, detail int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: text}
}

var _ smtp.Session = (*session)(nil)
