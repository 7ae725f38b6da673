package local

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/notify"
	"github.com/aikajana/aikajana/internal/pages"
	"github.com/aikajana/aikajana/internal/smtpd"
	"github.com/aikajana/aikajana/internal/smtprelay"
	"github.com/aikajana/aikajana/internal/store"
)

// relay is the way out for mail that a configuration names; nil without one.
func relay(c *app.RelayConfig, look app.Lookup) (channel.Mailer, error) {
	if c == nil {
		return nil, nil
	}
	o := smtprelay.Options{Addr: c.Addr, Username: c.Username, Security: smtprelay.Security(c.Security)}
	if c.Password != "" {
		password, err := look.Resolve("relay.password", c.Password)
		if err != nil {
			return nil, err
		}
		o.Password = password
	}
	r, err := smtprelay.New(o)
	if err != nil {
		return nil, fault.Field("relay", "%w", err)
	}
	return r, nil
}

// late is a notifier that learns whom to tell after the pipeline was made, because people are found through the store that
// the pipeline brings along. It is set before anything is served.
type late struct{ to *notify.Mail }

// Wanted says whether there is anybody to tell.
func (l *late) Wanted(ctx context.Context, told []*store.Notification) ([]bool, error) {
	if l.to == nil {
		return make([]bool, len(told)), nil
	}
	return l.to.Wanted(ctx, told)
}

// Notify tells, once there is somebody to tell.
func (l *late) Notify(ctx context.Context, n *store.Notification) error {
	if l.to == nil {
		return nil
	}
	return l.to.Notify(ctx, n)
}

// firstStart is the set-up page's way in: the one-time link makes the first administrator.
type firstStart struct{ *Server }

// Check says whether the link still works.
func (f *firstStart) Check(ctx context.Context, token string) error {
	i, err := f.staff.Auth.Peek(ctx, token)
	if err != nil || i.Kind != auth.Setup {
		return fault.Newf(fault.Missing, "not_found", "the set-up link does not work (any more)")
	}
	return nil
}

// Complete makes the administrator and, where asked for, the demonstration account.
func (f *firstStart) Complete(ctx context.Context, token string, choice pages.SetupChoice) error {
	if err := f.Check(ctx, token); err != nil {
		return err
	}
	if choice.Demo {
		if err := f.connectDemo(ctx); err != nil {
			return err
		}
	}
	if _, err := f.staff.Auth.Accept(ctx, token, auth.Accepted{Password: choice.Password}, "setup"); err != nil {
		return err
	}
	return nil
}

// greet says how the first person gets in. The link is a secret: it goes to the terminal, never to the log.
func (s *Server) greet() {
	if s.setup != "" {
		_, _ = fmt.Fprintf(s.o.Out, "nobody can sign in yet: open %s/setup/%s (works once, for a day)\n", s.o.BaseURL, s.setup)
	}
}

// checkMail says whether the senders of mail are checked in the DNS. A listener on loopback hears only programs of this
// machine, whose address proves nothing.
func (s *Server) checkMail() bool {
	switch s.o.MailChecks {
	case "on":
		return true
	case "off":
		return false
	}
	host, _, err := net.SplitHostPort(s.o.SMTP)
	if err != nil {
		return true
	}
	ip := net.ParseIP(host)
	return host != "localhost" && (ip == nil || !ip.IsLoopback())
}

func (s *Server) mailDomain() string {
	if s.o.MailDomain != "" {
		return s.o.MailDomain
	}
	return "localhost"
}

// mailTLS is what STARTTLS offers.
func (s *Server) mailTLS() (*tls.Config, error) {
	if s.o.Certificate == "" {
		return smtpd.SelfSigned(s.mailDomain(), s.o.Now().Time())
	}
	pair, err := tls.LoadX509KeyPair(s.o.Certificate, s.o.CertificateKey)
	if err != nil {
		return nil, fmt.Errorf("read the certificate for mail: %w", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}
