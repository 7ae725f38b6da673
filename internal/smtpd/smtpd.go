// Package smtpd takes mail over SMTP (RFC 5321) and hands it on once it is durable.
//
// It is the listener of the local binary. It accepts mail for known recipients only, relays nothing, offers no AUTH, and
// answers 250 after [Options.Deliver] has returned nil and not before. EHLO announces PIPELINING, 8BITMIME, SIZE,
// CHUNKING (RFC 3030, without BINARYMIME), SMTPUTF8 (RFC 6531), ENHANCEDSTATUSCODES (RFC 2034), LIMITS (RFC 9422) and,
// with a certificate, STARTTLS (RFC 3207).
//
// What came in is kept byte for byte. In front of it stand the two trace fields that RFC 5321 section 4.4 requires of the
// server that takes final delivery: Return-Path and Received. [Mail.TraceBytes] says how long they are, and DKIM is
// checked over the rest.
//
// Only <CRLF>.<CRLF> ends a mail. A bare LF or CR is content, wherever it stands, so two mails can never be made of one
// ("SMTP smuggling", SEC Consult, 2023-12-18).
package smtpd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// Mail is one accepted mail, on its way to being made durable.
type Mail struct {
	// Mail is the envelope and the verdicts. Via is "smtp".
	channel.Mail
	// Raw is the whole mail: TraceBytes bytes of Return-Path and Received, then what the client sent, dot-unstuffed and
	// otherwise untouched. Deliver must not keep it after it returned.
	Raw        []byte
	TraceBytes int
	ReceivedAt msg.Time
	// RemoteIP and Helo say who brought it; TLS whether the session was encrypted.
	RemoteIP net.IP
	Helo     string
	TLS      bool
}

// Options say how to listen. Deliver, Recipients, Domain and Now must be set; every other zero value means the default
// that its comment names.
type Options struct {
	// Addr is host:port; the port may be 0.
	Addr string
	// Domain is the name that the server goes by, in its greeting and in Received.
	Domain string
	// TLS offers STARTTLS. Nil offers none; a self-signed certificate is the caller's to make.
	TLS *tls.Config
	// Recipients says whether mail for the address is taken. The domain is in lower case. An error defers the recipient (451): a store that cannot be asked is
	// no reason to bounce. Called concurrently.
	Recipients func(ctx context.Context, address string) (bool, error)
	// Deliver makes the mail durable. Its error's kind decides the answer, see [reply]. Called concurrently, one mail at
	// a time per connection. Its context ends after DeliverTimeout, or when Shutdown runs out of patience.
	Deliver func(ctx context.Context, m *Mail) error
	// Resolver answers the DNS questions of SPF, DKIM and DMARC. Nil checks nothing: the three verdicts are DISABLED.
	Resolver Resolver
	// Now is the clock of ReceivedAt and Received. Time-outs follow the machine's own clock.
	Now func() time.Time
	// NewID gives the ID in Received; nil leaves it out.
	NewID func() string
	Log   *slog.Logger

	// MaxBytes of one mail; 40 MB, as SES takes.
	MaxBytes int64
	// MaxRecipients of one mail; 100, the least that RFC 5321 section 4.5.3.1.8 allows.
	MaxRecipients int
	// MaxRefusals of unknown recipients before a session is closed, so that addresses are not guessed in bulk; 20.
	MaxRefusals int
	// MaxConnections in all, 200, and MaxPerClient from one IPv4 address or IPv6 /64, 20. More are answered 421. Unless
	// MaxPerClient is set, loopback addresses are free of it: a relay or proxy of one's own brings everybody's mail.
	MaxConnections int
	MaxPerClient   int
	// MaxMemory is what all mails in transfer may hold together, in bytes; 256 MB. Above it, 452.
	MaxMemory int64
	// CommandTimeout is how long a client may take for one command, 5 min (RFC 5321 section 4.5.3.2.7); MailTimeout for
	// one whole mail, 10 min; SessionTimeout for one connection, 30 min: what bounds a client that sends a byte a minute.
	CommandTimeout time.Duration
	MailTimeout    time.Duration
	SessionTimeout time.Duration
	// DeliverTimeout bounds one Deliver, 2 min; CheckTimeout all DNS questions about one mail, 10 s.
	DeliverTimeout time.Duration
	CheckTimeout   time.Duration

	trustLoopback bool
}

func (o *Options) complete() error {
	switch {
	case o.Deliver == nil || o.Recipients == nil || o.Now == nil:
		return errors.New("open the SMTP listener: Deliver, Recipients and Now must be set")
	case o.Domain == "":
		return errors.New("open the SMTP listener: Domain must be set to the name that the server goes by")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	whole(&o.MaxBytes, 40<<20)
	whole(&o.MaxRecipients, 100)
	whole(&o.MaxRefusals, 20)
	whole(&o.MaxConnections, 200)
	o.trustLoopback = o.MaxPerClient == 0
	whole(&o.MaxPerClient, 20)
	whole(&o.MaxMemory, 256<<20)
	whole(&o.CommandTimeout, 5*time.Minute)
	whole(&o.MailTimeout, 10*time.Minute)
	whole(&o.SessionTimeout, 30*time.Minute)
	whole(&o.DeliverTimeout, 2*time.Minute)
	whole(&o.CheckTimeout, 10*time.Second)
	return nil
}

func whole[T int | int64 | time.Duration](v *T, otherwise T) {
	if *v == 0 {
		*v = otherwise
	}
}

// Server is one SMTP listener. Its methods are safe for concurrent use.
type Server struct {
	o        Options
	smtp     *smtp.Server
	listener *guardedListener
	// ctx is what Deliver runs under; stop ends it when draining takes too long.
	ctx  context.Context
	stop context.CancelFunc
	// held is how many bytes the mails in transfer occupy.
	held     atomic.Int64
	draining atomic.Bool

	mu    sync.Mutex
	conns map[*guardedConn]struct{}
	// perClient counts connections by client key.
	perClient map[string]int
}

// New binds the address; nothing is accepted before [Server.Serve].
func New(o Options) (*Server, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	inner, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("open the SMTP listener on %q: %w; name a free address with --smtp", o.Addr, err)
	}
	s := &Server{o: o, conns: map[*guardedConn]struct{}{}, perClient: map[string]int{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.listener = &guardedListener{Listener: inner, server: s}
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.session))
	s.smtp.Domain = o.Domain
	s.smtp.TLSConfig = o.TLS
	s.smtp.MaxMessageBytes = o.MaxBytes
	s.smtp.MaxRecipients = o.MaxRecipients
	// The library has one limit for commands and content, and the long lines of real mail would be refused with it.
	// The connection's guard bounds commands instead, and MaxBytes bounds content.
	s.smtp.MaxLineLength = 0
	s.smtp.ReadTimeout = o.CommandTimeout
	s.smtp.WriteTimeout = time.Minute
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.ErrorLog = libraryLog{o.Log}
	return s, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve accepts connections until Shutdown is called; then it returns nil.
func (s *Server) Serve() error {
	if err := s.smtp.Serve(s.listener); err != nil && !s.draining.Load() {
		return fmt.Errorf("accept SMTP connections on %s: %w", s.Addr(), err)
	}
	return nil
}

// Shutdown takes no new connection, ends the idle ones with 421, and lets mails in transfer finish. When ctx ends first it
// cuts what is left, whose clients will try again, and returns the context's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	_ = s.listener.Close() // a second call finds it closed
	for _, c := range s.open() {
		c.drain()
	}
	err := s.smtp.Shutdown(ctx)
	s.stop()
	for _, c := range s.open() {
		_ = c.Close() // being cut: there is nothing to be done about a failure
	}
	if errors.Is(err, smtp.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("drain the SMTP listener: %w", err)
	}
	return nil
}

// Connections is how many clients are connected.
func (s *Server) Connections() int { return len(s.open()) }

func (s *Server) open() []*guardedConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*guardedConn, 0, len(s.conns))
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

// reserve takes n bytes of the memory that mails in transfer share; false when there is not enough.
func (s *Server) reserve(n int64) bool {
	if s.held.Add(n) > s.o.MaxMemory {
		s.held.Add(-n)
		return false
	}
	return true
}

// libraryLog writes what go-smtp wants to say. Clients that break off are everyday and only of use when debugging; a panic
// is a defect.
type libraryLog struct{ log *slog.Logger }

func (l libraryLog) Printf(format string, v ...any) {
	level := slog.LevelDebug
	if strings.HasPrefix(format, "panic") {
		level = slog.LevelError
	}
	l.log.Log(context.Background(), level, "smtp: "+fmt.Sprintf(format, v...))
}

func (l libraryLog) Println(v ...any) {
	l.log.DebugContext(context.Background(), "smtp: "+fmt.Sprint(v...))
}

// SelfSigned makes a certificate that nobody vouches for, valid for a year: enough for STARTTLS between mail servers, which
// encrypt without asking who the other is (RFC 7435).
func SelfSigned(domain string, now time.Time) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", domain, err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", domain, err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: domain}, DNSNames: []string{domain},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate for %s: %w", domain, err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}
