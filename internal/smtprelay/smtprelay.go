// Package smtprelay sends mail through an SMTP relay (RFC 5321, RFC 6409): the [channel.Mailer] of the local binary.
//
// What matters here is what is known when something fails. A mail is handed over by the final dot of DATA and by nothing
// before it: until the dot is written every failure is certain, and after it only the relay's answer is. So a lost
// connection is fault.Retry before the dot and fault.Uncertain after it, and whoever sends again on Retry alone sends no
// mail twice.
package smtprelay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
)

// Security is how the way to the relay is protected.
type Security string

// The ways. Auto is Implicit on port 465, None on loopback addresses, and STARTTLS everywhere else.
const (
	Auto     Security = ""
	STARTTLS Security = "starttls"
	Implicit Security = "implicit"
	None     Security = "none"
)

// Options say which relay, and how long to wait for it. Zero values mean the defaults that the comments name.
type Options struct {
	// Addr is host:port of the relay.
	Addr string
	// Domain is the name given in EHLO; "localhost".
	Domain string
	// Username and Password sign in; no Username means that the relay knows us by our address.
	Username, Password string
	Security           Security
	// TLSConfig is for certificates that the system does not know. Nil trusts the system's; ServerName is the host.
	TLSConfig *tls.Config
	// Dial opens connections; a net.Dialer's otherwise.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// DialTimeout bounds opening a connection, up to and with signing in, 20 s; CommandTimeout one command, 30 s; DataTimeout the transfer of
	// one mail, 60 s; AnswerTimeout the wait behind the final dot, 60 s. RFC 5321 section 4.5.3.2 is more patient, but
	// an answer that is `sending` for two minutes counts as uncertain.
	DialTimeout, CommandTimeout, DataTimeout, AnswerTimeout time.Duration
	// MaxIdle connections are kept for IdleTimeout: 2 for 30 s. MaxIdle -1 keeps none.
	MaxIdle     int
	IdleTimeout time.Duration
}

// Relay is one SMTP relay. Safe for concurrent use; each mail in transfer has a connection of its own.
type Relay struct {
	o    Options
	host string

	mu     sync.Mutex
	idle   []*link
	closed bool
}

var _ channel.Mailer = (*Relay)(nil)

// link is one connection to the relay.
type link struct {
	conn   net.Conn
	client *smtp.Client
	timer  *time.Timer
}

// New checks the options; it connects to nothing.
func New(o Options) (*Relay, error) {
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil || host == "" || port == "" {
		return nil, fault.Field("addr", "the SMTP relay %q is not host:port", o.Addr)
	}
	local := host == "localhost" || net.ParseIP(host).IsLoopback()
	switch {
	case o.Security == Auto && port == "465":
		o.Security = Implicit
	case o.Security == Auto && local:
		o.Security = None
	case o.Security == Auto:
		o.Security = STARTTLS
	case o.Security == None && !local && o.Username != "":
		return nil, fault.Field("security", "the password for the SMTP relay %s would travel in the clear; use starttls or implicit", o.Addr)
	case o.Security != STARTTLS && o.Security != Implicit && o.Security != None:
		return nil, fault.Field("security", "%q is none of starttls, implicit and none", o.Security)
	}
	if o.Domain == "" {
		o.Domain = "localhost"
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	for _, d := range []struct {
		of        *time.Duration
		otherwise time.Duration
	}{
		{&o.DialTimeout, 20 * time.Second}, {&o.CommandTimeout, 30 * time.Second}, {&o.DataTimeout, time.Minute},
		{&o.AnswerTimeout, time.Minute}, {&o.IdleTimeout, 30 * time.Second},
	} {
		if *d.of == 0 {
			*d.of = d.otherwise
		}
	}
	if o.MaxIdle == 0 {
		o.MaxIdle = 2
	}
	return &Relay{o: o, host: host}, nil
}

// Close closes the idle connections and keeps no new ones. Mails in transfer finish.
func (r *Relay) Close() error {
	r.mu.Lock()
	idle := r.idle
	r.idle, r.closed = nil, true
	r.mu.Unlock()
	for _, l := range idle {
		l.timer.Stop()
		_ = l.conn.Close() // an idle connection holds nothing that could be lost
	}
	return nil
}

// SendMail hands one mail over, to all recipients or to none. An empty from is the null sender. The tag goes along as
// envelope ID (ENVID, RFC 3461) where the relay knows DSN, and comes back in its delivery reports. The answer is the mail's
// own Message-ID, or the one that Amazon SES's SMTP endpoint puts in its place.
//
// Errors: fault.Permanent when the relay refused for good (code: its reply code, or "smtputf8" and "address" for what it
// cannot or may not be given); fault.Retry when nothing was accepted; fault.Uncertain when the connection was lost between
// the final dot and the answer.
func (r *Relay) SendMail(ctx context.Context, from string, to []string, raw []byte, tag string) (string, error) {
	if err := checkAddresses(from, to); err != nil {
		return "", err
	}
	status, err := r.send(ctx, from, to, raw, tag)
	if err != nil {
		return "", fmt.Errorf("hand a mail to the SMTP relay %s: %w", r.o.Addr, err)
	}
	if id, ok := sesMessageID(r.host, status); ok {
		return id, nil
	}
	return messageID(raw), nil
}

func (r *Relay) send(ctx context.Context, from string, to []string, raw []byte, tag string) (string, error) {
	// A connection that idled may be dead without our knowing. Up to DATA that shows as a lost connection, and a fresh
	// one is taken: nothing has been handed over yet.
	for {
		l, reused, err := r.take(ctx)
		if err != nil {
			return "", err
		}
		stop := context.AfterFunc(ctx, func() { _ = l.conn.Close() })
		a := attempt{relay: r, link: l}
		status, err := a.submit(ctx, from, to, raw, tag)
		stopped := stop()
		if err == nil && stopped {
			r.keep(l)
		} else if _, refused := errors.AsType[*smtp.SMTPError](err); refused && stopped && !a.begun {
			r.keep(l) // RSET comes before the next mail
		} else {
			_ = l.conn.Close()
		}
		if a.lost && reused && !a.begun && ctx.Err() == nil {
			continue
		}
		return status, err
	}
}

// take returns an idle connection that still answers, or a new one.
func (r *Relay) take(ctx context.Context) (l *link, reused bool, err error) {
	for {
		r.mu.Lock()
		n := len(r.idle)
		if n == 0 {
			r.mu.Unlock()
			l, err := r.connect(ctx)
			return l, false, err
		}
		l := r.idle[n-1]
		r.idle = r.idle[:n-1]
		r.mu.Unlock()
		if l.timer.Stop() {
			return l, true, nil
		}
	}
}

func (r *Relay) keep(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.idle) >= r.o.MaxIdle {
		_ = l.conn.Close()
		return
	}
	r.idle = append(r.idle, l)
	l.timer = time.AfterFunc(r.o.IdleTimeout, func() {
		r.mu.Lock()
		for i := range r.idle {
			if r.idle[i] == l {
				r.idle = append(r.idle[:i], r.idle[i+1:]...)
				break
			}
		}
		r.mu.Unlock()
		_ = l.conn.Close()
	})
}

// connect opens a connection, secures it and signs in. Whatever fails, nothing was handed over: every error is a Retry, also
// a wrong password, so that what waits goes out once an operator has put it right.
func (r *Relay) connect(ctx context.Context) (*link, error) {
	dialling, cancel := context.WithTimeout(ctx, r.o.DialTimeout)
	defer cancel()
	conn, err := r.o.Dial(dialling, "tcp", r.o.Addr)
	if err != nil {
		return nil, fault.RetryAfter(15*time.Second, "connection", "connect: %w", err)
	}
	stop := context.AfterFunc(dialling, func() { _ = conn.Close() }) // the library would wait for minutes
	defer stop()
	l, err := r.greet(dialling, conn)
	if err != nil {
		_ = conn.Close()
		if fault.Of(err) != fault.Internal {
			return nil, err
		}
		if refusal, ok := errors.AsType[*smtp.SMTPError](err); ok {
			return nil, fault.RetryAfter(time.Minute, fmt.Sprint(refusal.Code), "the relay is not ready: %d %s", refusal.Code, trim(refusal.Message))
		}
		return nil, fault.RetryAfter(15*time.Second, "connection", "connect: %w", err)
	}
	return l, nil
}

func (r *Relay) greet(ctx context.Context, conn net.Conn) (*link, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if r.o.TLSConfig != nil {
		config = r.o.TLSConfig.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = r.host
	}
	var client *smtp.Client
	switch r.o.Security {
	case Implicit:
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("agree on TLS: %w", err)
		}
		client = smtp.NewClient(secure)
	case STARTTLS:
		var err error
		client, err = smtp.NewClientStartTLS(conn, config)
		if err != nil {
			return nil, startTLSFailure(err)
		}
	default:
		client = smtp.NewClient(conn)
	}
	client.CommandTimeout, client.SubmissionTimeout = r.o.CommandTimeout, r.o.AnswerTimeout
	if err := client.Hello(r.o.Domain); err != nil {
		return nil, err
	}
	if err := r.signIn(client); err != nil {
		return nil, err
	}
	return &link{conn: conn, client: client}, nil
}

func startTLSFailure(err error) error {
	if strings.Contains(err.Error(), "doesn't support STARTTLS") {
		return fault.RetryAfter(5*time.Minute, "starttls", "the relay offers no STARTTLS; use port 465, or security \"none\" for a relay on this machine")
	}
	return err
}

func (r *Relay) signIn(client *smtp.Client) error {
	if r.o.Username == "" {
		return nil
	}
	var mechanism sasl.Client
	switch {
	case client.SupportsAuth(sasl.Plain):
		mechanism = sasl.NewPlainClient("", r.o.Username, r.o.Password)
	case client.SupportsAuth(sasl.Login):
		mechanism = sasl.NewLoginClient(r.o.Username, r.o.Password)
	case client.SupportsAuth("CRAM-MD5"):
		mechanism = &cramMD5{r.o.Username, r.o.Password}
	default:
		return fault.RetryAfter(5*time.Minute, "auth", "the relay takes none of PLAIN, LOGIN and CRAM-MD5; check its port and security")
	}
	if err := client.Auth(mechanism); err != nil {
		if refusal, ok := errors.AsType[*smtp.SMTPError](err); ok {
			return authFailure(refusal)
		}
		return err
	}
	return nil
}

func authFailure(e *smtp.SMTPError) error {
	return fault.RetryAfter(5*time.Minute, "auth", "sign in; put the right user name and password into the settings: %w", refusal{e})
}
