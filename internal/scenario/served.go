package scenario

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/smtp"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	localapp "github.com/aikajana/aikajana/internal/app/local"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/queue"
	queuelocal "github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
)

// served is the program as "aikajana serve" runs it, whole: package app/local over a folder, with its own workers, HTTP and SMTP on
// loopback. Only its clock, the DNS, and where mail goes are the story's, and what stands between it and its queues, see
// polledQueue. Nothing in it is worked by hand.
type served struct {
	stage  *Stage
	data   string
	server *localapp.Server
	people *people.People
	door   http.Handler
	dns    *names
	token  string
	// queues are the program's own, without what stands before them.
	queues map[string]*queuelocal.Queue
	hand   *gate
	stop   context.CancelFunc
	ended  chan error
}

// NewServed builds the world that works by itself. It plays scripts that are not [Script.ByHand].
func NewServed(ctx context.Context, s *Stage) (World, error) {
	w := &served{stage: s, data: filepath.Join(s.Dir, "data"), dns: &names{of: map[string]bool{}}, token: "a token of the story, of many letters", queues: map[string]*queuelocal.Queue{}, hand: newGate(), ended: make(chan error, 1)}
	if err := w.open(ctx); err != nil {
		return nil, fmt.Errorf("build the served world: %w", err)
	}
	return w, nil
}

func (w *served) open(ctx context.Context) error {
	if err := os.MkdirAll(w.data, 0o700); err != nil {
		return err
	}
	key := base64.StdEncoding.EncodeToString(w.stage.Key) // the goldens' IDs follow from it
	if err := os.WriteFile(filepath.Join(w.data, "key"), []byte(key+"\n"), 0o600); err != nil {
		return err
	}
	var err error
	w.server, err = localapp.Open(localapp.Options{
		Data: w.data, HTTP: "127.0.0.1:0", SMTP: "127.0.0.1:0", MailChecks: "on", MailDomain: "desk.example", Resolver: w.dns, AllowPrivate: true,
		BaseURL: BaseURL, Log: w.stage.Log, Now: w.stage.Clock.Now, Mailer: w.stage.Mailer, Token: w.token,
		Queues: func(name string, q *queuelocal.Queue) queue.Queue {
			w.queues[name] = q
			return &polledQueue{Queue: q, name: name, hand: w.hand, faults: w.stage.Faults}
		},
	})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stop = stop
	go func() { w.ended <- w.server.Serve(serving) }()
	if w.people, err = people.New(w.App(), people.Options{BaseURL: BaseURL, Log: w.stage.Log, Cost: cheap}); err != nil {
		return errors.Join(err, w.Close())
	}
	target := &url.URL{Scheme: "http", Host: w.server.HTTPAddr()}
	w.door = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = strings.TrimPrefix(BaseURL, "https://")
	}}
	return nil
}

// ask calls the API over HTTP as its administrator, and wants 2xx.
func (w *served) ask(ctx context.Context, method, path string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+w.server.HTTPAddr()+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	said, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err == nil && answer.StatusCode >= http.StatusMultipleChoices {
		err = fmt.Errorf("%s %s was answered %d: %s", method, path, answer.StatusCode, said)
	}
	return err
}

// Connect implements connecting: accounts come by the API, as an administrator enters them.
func (w *served) Connect(ctx context.Context, a *store.Connected, secrets map[string]string) error {
	body := map[string]any{"team": a.Team}
	if a.Settings != nil {
		body["settings"] = a.Settings
	}
	if secrets != nil {
		body["secrets"] = secrets
	}
	return w.ask(ctx, http.MethodPut, "/api/v1/accounts/"+a.Channel+"/"+a.Account, body)
}

// App implements World.
func (w *served) App() *app.App { return w.server.App() }

// People implements World.
func (w *served) People() *people.People { return w.people }

// Secrets implements World: they go in by the API.
func (w *served) Secrets() secret.Store { return nil }

// Door implements World: everything goes over HTTP.
func (w *served) Door() http.Handler { return w.door }

// Mail implements World: it comes over SMTP, and what the listener thinks of its sender it finds in the DNS.
func (w *served) Mail(_ context.Context, m *Letter) (err error) {
	if len(m.Facts.Recipients) == 0 {
		return nil // an object in a bucket, which nobody sends
	}
	from := author(m.Raw)
	w.dns.set(from, m.Facts.DMARC == "PASS")
	c, err := smtp.Dial(w.server.SMTPAddr())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := errors.Join(c.Hello(from), c.Mail(m.Facts.Sender)); err != nil {
		return err
	}
	for _, to := range m.Facts.Recipients {
		if err := c.Rcpt(to); err != nil {
			return err
		}
	}
	data, err := c.Data()
	if err != nil {
		return err
	}
	_, err = data.Write(m.Raw)
	return errors.Join(err, data.Close()) // Close hears whether it was taken
}

// author is the domain of a letter's author.
func author(raw []byte) string {
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "From:"); ok {
			return strings.Trim(rest[strings.LastIndexByte(rest, '@')+1:], "> \r\n")
		}
	}
	return "world.example"
}

// Sockets implements World.
func (w *served) Sockets(context.Context) (string, error) {
	return "ws://" + w.server.HTTPAddr() + "/socket", nil
}

var errByHand = errors.New("this world works by itself")

// Connections implements World: the program says so among its metrics.
func (w *served) Connections(ctx context.Context) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.server.HTTPAddr()+"/metrics", http.NoBody)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	said, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(said)) {
		if n, ok := strings.CutPrefix(line, "aikajana_sockets "); ok {
			return strconv.Atoi(strings.TrimSpace(n))
		}
	}
	return 0, fmt.Errorf("the metrics say nothing of sockets: %s", said)
}

// Handle implements World.
func (w *served) Handle(context.Context, string, []queue.Message) ([]string, error) {
	return nil, errByHand
}

// React implements World.
func (w *served) React(context.Context) (int, error) { return 0, errByHand }

// Queue implements World.
func (w *served) Queue(name string) queue.Queue { return w.queues[name] }

// Hold implements holding.
func (w *served) Hold(held bool) {
	if held {
		w.hand.shut()
		return
	}
	w.hand.open()
}

// Tick implements World. The program's own ticker goes by the machine's clock: once at the start, and every minute.
func (w *served) Tick(ctx context.Context) error { return w.App().Pipeline.Tick(ctx) }

// Moved implements World.
func (w *served) Moved(ctx context.Context) error {
	for _, name := range queueNames {
		if err := w.queues[name].Wake(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Redriven implements World: the queue has moved everything when it returns.
func (w *served) Redriven(context.Context, string) error { return nil }

// Worked implements working: it returns once the queue's workers have done what they can do now.
func (w *served) Worked(ctx context.Context, name string) error {
	return w.until(ctx, func() (bool, error) {
		d, err := w.queues[name].Depth(ctx)
		return d.Ready+d.InFlight == 0, err
	})
}

// settleWithin bounds the wait for the program to come to rest. Only a story that fails waits so long.
const settleWithin = time.Minute

// Settle implements working: it returns once there is nothing left to do now.
func (w *served) Settle(ctx context.Context) error {
	return w.until(ctx, func() (bool, error) { return w.rests(ctx) })
}

func (w *served) until(ctx context.Context, is func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, settleWithin)
	defer cancel()
	for {
		if so, err := is(); err != nil || so {
			return err
		}
		select {
		case <-time.After(2 * time.Millisecond): // nobody tells when there is nothing left
		case err := <-w.ended:
			w.ended <- err
			return fmt.Errorf("the program has ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("the program does not come to rest: %w", ctx.Err())
		}
	}
}

// rests says that nothing is in hand. Looked at one by one that might be true of each and never of all. But when the queues rest
// before and after, and have taken nothing in meanwhile, no worker was at work in between; and when there was a moment in between at
// which every change had been followed, nobody else was.
func (w *served) rests(ctx context.Context) (bool, error) {
	before, idle, err := w.idle(ctx)
	if err != nil || !idle {
		return false, err
	}
	t, ok := w.App().Store.Table().(*pebble.Table)
	if !ok {
		return false, errors.New("the table is not the embedded one")
	}
	backlog, err := t.Backlog()
	if err != nil || backlog > 0 {
		return false, err
	}
	after, idle, err := w.idle(ctx)
	return idle && before == after, err
}

// idle says that no message can be, or is, worked on, and how many were ever taken in.
func (w *served) idle(ctx context.Context) (accepted int64, idle bool, err error) {
	for _, name := range queueNames {
		ledger, err := w.queues[name].Ledger(ctx)
		if err != nil {
			return 0, false, err
		}
		for _, l := range ledger {
			accepted += l.Accepted
		}
		d, err := w.queues[name].Depth(ctx)
		if err != nil || d.Ready+d.InFlight > 0 {
			return 0, false, err
		}
	}
	return accepted, true, nil
}

// Check implements World, over the running program.
func (w *served) Check(ctx context.Context) ([]string, error) {
	whole, ok := w.App().Store.Table().(table.Scanner)
	if !ok {
		return nil, errors.New("this table cannot be read whole")
	}
	in := check.Input{Table: whole, Queues: map[string]queue.Counter{}}
	for _, name := range queueNames {
		in.Queues[name] = w.queues[name]
	}
	r, err := check.Run(ctx, in)
	if err != nil {
		return nil, err
	}
	return r.Problems, nil
}

// Close implements World: the program ends in order, and what it leaves behind passes "aikajana check".
func (w *served) Close() error {
	w.stop()
	if err := <-w.ended; err != nil {
		return err
	}
	r, err := localapp.Check(context.Background(), w.data)
	if err == nil && len(r.Problems) > 0 {
		err = fmt.Errorf("aikajana check: %v", r.Problems)
	}
	return err
}

// names is a DNS of the story: a domain whose mail passes lets this machine send for it, any other lets nobody, and all have a
// policy.
type names struct {
	mu sync.Mutex
	of map[string]bool
}

func (n *names) set(domain string, pass bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[domain] = pass
}

// LookupTXT implements smtpd.Resolver.
func (n *names) LookupTXT(_ context.Context, name string) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name = strings.TrimSuffix(name, ".")
	if domain, ok := strings.CutPrefix(name, "_dmarc."); ok {
		if _, known := n.of[domain]; known {
			return []string{"v=DMARC1; p=reject"}, nil
		}
	} else if pass, known := n.of[name]; known {
		if pass {
			return []string{"v=spf1 ip4:127.0.0.1 -all"}, nil
		}
		return []string{"v=spf1 -all"}, nil
	}
	return nil, noSuchName(name)
}

func noSuchName(name string) error {
	return &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// LookupMX implements smtpd.Resolver.
func (n *names) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, noSuchName(name)
}

// LookupIPAddr implements smtpd.Resolver.
func (n *names) LookupIPAddr(_ context.Context, host string) ([]net.IPAddr, error) {
	return nil, noSuchName(host)
}

// LookupAddr implements smtpd.Resolver.
func (n *names) LookupAddr(_ context.Context, addr string) ([]string, error) {
	return nil, noSuchName(addr)
}
