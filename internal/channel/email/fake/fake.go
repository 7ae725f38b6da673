// Package fake plays the world of mail outside: DNS, an SMTP server where customers have their mailboxes, and customers who
// write, answer and bounce. It speaks real SMTP, so that tests, the demo and benchmarks drive the real paths.
//
// It shares no code with what it tests: mails are composed here by hand, the way other programs compose them.
package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Mail is one mail that reached the world.
type Mail struct {
	// Sender is the envelope sender, empty for the null one; Recipients the envelope's.
	Sender     string
	Recipients []string
	Raw        []byte
	// EnvelopeID is the DSN ENVID (RFC 3461), when the client gave one.
	EnvelopeID string
}

// Header returns the first field of that name, unfolded, or "".
func (m Mail) Header(name string) string {
	head, _, _ := strings.Cut(string(m.Raw), "\r\n\r\n")
	head = strings.NewReplacer("\r\n ", " ", "\r\n\t", " ").Replace(head)
	for line := range strings.Lines(head) {
		k, v, ok := strings.Cut(line, ":")
		if ok && strings.EqualFold(k, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Body is what stands below the header, still encoded.
func (m Mail) Body() string {
	_, body, _ := strings.Cut(string(m.Raw), "\r\n\r\n")
	return body
}

// Rule says how the world treats mail to some addresses. The first rule that matches counts.
type Rule struct {
	// To is a pattern of path.Match over the whole recipient address: "*@gone.example".
	To string
	// Code refuses with this SMTP code and Text, at RCPT or, with AfterData, after the mail was transferred. 0 accepts.
	Code      int
	Text      string
	AfterData bool
	// Drop closes the connection in place of the answer to the final dot: the client cannot know. Taken says whether the
	// mail was taken all the same.
	Drop  bool
	Taken bool
	// Times is how often the rule applies; 0 is always.
	Times int
	// Answer is what the mailbox's owner sends back to the desk; nil is silence. See [World.SetDesk].
	Answer func(Mail) *Letter
}

// World is the mail outside. Its methods are safe for concurrent use.
type World struct {
	listener net.Listener
	server   *smtp.Server
	done     chan struct{}

	mu    sync.Mutex
	rules []Rule
	mails []Mail
	fresh chan struct{}
	desk  string
	sent  []error
	wait  sync.WaitGroup
}

// Open starts a world on 127.0.0.1, at a free port.
func Open() (*World, error) {
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the fake mail world: %w", err)
	}
	w := &World{listener: listener, done: make(chan struct{}), fresh: make(chan struct{})}
	w.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &visit{world: w, conn: c}, nil
	}))
	w.server.Domain = "mx.world.example"
	w.server.EnableDSN = true
	w.server.ReadTimeout, w.server.WriteTimeout = time.Minute, time.Minute
	w.server.ErrorLog = silent{}
	go func() {
		defer close(w.done)
		_ = w.server.Serve(listener) // ends when Close closes the listener
	}()
	return w, nil
}

// Addr is host:port of the world's SMTP server.
func (w *World) Addr() string { return w.listener.Addr().String() }

// Close ends the server and waits for answers that are on their way. It returns what went wrong while answering.
func (w *World) Close() error {
	_ = w.server.Close() // only the listener's error, which nobody could use
	<-w.done
	w.wait.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.sent...)
}

// Rule adds a rule, before the ones that are there.
func (w *World) Rule(r Rule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rules = append([]Rule{r}, w.rules...)
}

// SetDesk names host:port of the SMTP listener under test: where answers and bounces go.
func (w *World) SetDesk(addr string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.desk = addr
}

// Received lists what was taken so far, oldest first.
func (w *World) Received() []Mail {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Mail(nil), w.mails...)
}

// Await returns the n-th mail taken (from 0) as soon as it is there.
func (w *World) Await(ctx context.Context, n int) (Mail, error) {
	for {
		w.mu.Lock()
		fresh := w.fresh
		if n < len(w.mails) {
			m := w.mails[n]
			w.mu.Unlock()
			return m, nil
		}
		have := len(w.mails)
		w.mu.Unlock()
		select {
		case <-fresh:
		case <-ctx.Done():
			return Mail{}, fmt.Errorf("await mail %d, %d came: %w", n, have, ctx.Err())
		}
	}
}

// rule finds and uses up the rule for one recipient in the given phase.
func (w *World) rule(to string, use func(Rule) bool) (Rule, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, r := range w.rules {
		if ok, _ := path.Match(r.To, to); !ok || !use(r) { // a bad pattern matches nothing
			continue
		}
		if r.Times > 0 {
			if w.rules[i].Times--; w.rules[i].Times == 0 {
				w.rules = append(w.rules[:i:i], w.rules[i+1:]...)
			}
		}
		return r, true
	}
	return Rule{}, false
}

func (w *World) take(m Mail) {
	w.mu.Lock()
	w.mails = append(w.mails, m)
	close(w.fresh)
	w.fresh = make(chan struct{})
	desk := w.desk
	w.mu.Unlock()
	for _, to := range m.Recipients {
		r, ok := w.rule(to, func(r Rule) bool { return r.Answer != nil })
		if !ok || desk == "" {
			continue
		}
		letter := r.Answer(m)
		if letter == nil {
			continue
		}
		w.wait.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := Send(ctx, desk, *letter); err != nil {
				w.mu.Lock()
				w.sent = append(w.sent, err)
				w.mu.Unlock()
			}
		})
	}
}

// visit is one client's session.
type visit struct {
	world *World
	conn  *smtp.Conn
	mail  Mail
}

func (v *visit) Reset()        { v.mail = Mail{} }
func (v *visit) Logout() error { return nil }

func (v *visit) Mail(from string, opts *smtp.MailOptions) error {
	v.mail = Mail{Sender: from}
	if opts != nil {
		v.mail.EnvelopeID = opts.EnvelopeID
	}
	return nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	if r, ok := v.world.rule(to, func(r Rule) bool { return r.Code != 0 && !r.AfterData }); ok {
		return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.NoEnhancedCode, Message: r.Text}
	}
	v.mail.Recipients = append(v.mail.Recipients, to)
	return nil
}

func (v *visit) Data(r io.Reader) error {
	m := v.mail
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m.Raw = raw
	for _, to := range m.Recipients {
		if r, ok := v.world.rule(to, func(r Rule) bool { return r.Code != 0 && r.AfterData }); ok {
			return &smtp.SMTPError{Code: r.Code, EnhancedCode: smtp.NoEnhancedCode, Message: r.Text}
		}
		if r, ok := v.world.rule(to, func(r Rule) bool { return r.Drop }); ok {
			if r.Taken {
				v.world.take(m)
			}
			return v.conn.Conn().Close()
		}
	}
	v.world.take(m)
	return nil
}

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}
