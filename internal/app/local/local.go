// Package local runs the whole program as one process over an embedded store: HTTP, SMTP, workers and a ticker, with no
// account anywhere.
package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/public"
	"github.com/aikajana/aikajana/internal/app/staff"
	"github.com/aikajana/aikajana/internal/blob/dir"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/guard"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/notify"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	queuelocal "github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/secret/file"
	"github.com/aikajana/aikajana/internal/smtpd"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Options say how to run.
type Options struct {
	// Data is the folder that holds everything: store, blobs, secrets and key. It is made when it is not there.
	Data string
	// HTTP and SMTP are listening addresses; a port of 0 takes a free one, an empty SMTP listens for no mail.
	HTTP, SMTP string
	// MailChecks says whether SPF, DKIM and DMARC of incoming mail are looked up: "on", "off", or "auto" for on unless mail is
	// taken from this machine alone. MailDomain is the name that the listener goes by. Certificate and CertificateKey are
	// files for STARTTLS; without them it is offered with a certificate of its own making.
	MailChecks, MailDomain string
	// Resolver answers the DNS questions about incoming mail; the machine's when nil.
	Resolver                    smtpd.Resolver
	Certificate, CertificateKey string
	// Config, when set, is a configuration file that declares accounts.
	Config string
	// AllowPrivate lets the process call private addresses: for stand-ins and providers in one's own network.
	AllowPrivate bool
	// BaseURL is the address by which the outside reaches it; the listening address when empty.
	BaseURL string
	Log     *slog.Logger
	// Out is told where the process listens, once it does.
	Out io.Writer
	// Now is the clock; the machine's when nil.
	Now func() msg.Time
	// Lookup resolves references to secrets; the process's environment and files when zero.
	Lookup app.Lookup
	// Fatal is called when the disk can no longer be trusted; it must not return. nil logs and exits.
	Fatal func(error)
	// Mailer hands mail over; when nil, the relay that the configuration names does, and without one mail answers wait.
	Mailer channel.Mailer
	// Queues, when set, takes the place of a queue before the program sees it: for tests. What it returns keeps the ledger
	// (queue.Counter) of what it is given.
	Queues func(name string, q *queuelocal.Queue) queue.Queue
	// AdminPassword creates the user admin on an empty store, Token an API token with all rights.
	AdminPassword, Token string
}

// Server is a running program.
type Server struct {
	o       Options
	log     *slog.Logger
	app     *app.App
	staff   *staff.Staff
	pages   http.Handler
	hub     *live.Hub
	demo    *demo
	setup   string // secret of the one-time set-up link, when nobody can sign in yet
	db      *engine.DB
	table   *pebble.Table
	blobs   *dir.Store
	kept    *keptBlobs
	control *controller
	secrets secret.Store
	queues  map[string]queue.Queue
	http    net.Listener
	smtp    *smtpd.Server
}

// Open opens the data folder and starts listening, but serves nothing yet. Close it, or Serve.
func Open(o Options) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = func() msg.Time { return msg.TimeOf(time.Now()) }
	}
	if o.Lookup.Env == nil {
		o.Lookup = app.SystemLookup()
	}
	if o.Fatal == nil {
		o.Fatal = func(err error) {
			o.Log.Error("the disk cannot be trusted any more: ending, so that nothing is accepted that is not safe", "err", err)
			os.Exit(1)
		}
	}
	s := &Server{o: o, log: o.Log, queues: map[string]queue.Queue{}}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Server) open() error {
	if err := os.MkdirAll(s.o.Data, 0o700); err != nil {
		return fmt.Errorf("open the data folder: %w", err)
	}
	key, err := deploymentKey(s.o.Data)
	if err != nil {
		return err
	}
	listen := net.ListenConfig{}
	if s.http, err = listen.Listen(context.Background(), "tcp", s.o.HTTP); err != nil {
		return fmt.Errorf("listen for HTTP on %s: %w; choose another address with --http", s.o.HTTP, err)
	}
	if s.o.BaseURL == "" {
		s.o.BaseURL = "http://" + s.http.Addr().String()
	}
	if s.db, err = engine.Open(filepath.Join(s.o.Data, "store"), engine.Options{OnFatal: s.o.Fatal, Log: s.log}); err != nil {
		return fmt.Errorf("open the store in %s: %w", s.o.Data, err)
	}
	if s.table, err = pebble.New(s.db, s.o.Now); err != nil {
		return fmt.Errorf("open the table in %s: %w", s.o.Data, err)
	}
	if err := s.openQueues(); err != nil {
		return err
	}
	s.blobs, err = dir.Open(dir.Options{
		Root: filepath.Join(s.o.Data, "blobs"), Key: key, LinkBase: s.o.BaseURL + "/files", Now: func() time.Time { return s.o.Now().Time() }, Broken: s.o.Fatal,
	})
	if err != nil {
		return fmt.Errorf("open the blobs in %s: %w", s.o.Data, err)
	}
	if s.secrets, err = file.Open(file.Options{Path: filepath.Join(s.o.Data, "secrets"), KeyPath: filepath.Join(s.o.Data, "secrets.key")}); err != nil {
		return fmt.Errorf("open the secrets in %s: %w", s.o.Data, err)
	}
	if err := sweepBackups(s.o.Data); err != nil {
		return err
	}
	if err := s.build(key); err != nil {
		return err
	}
	return s.openControl()
}

func (s *Server) build(key []byte) error {
	helsinki, err := time.LoadLocation("Europe/Helsinki")
	if err != nil {
		return fmt.Errorf("load the time zone: %w", err)
	}
	config := &app.Config{}
	if s.o.Config != "" {
		if config, err = app.ReadConfig(s.o.Config); err != nil {
			return err
		}
	}
	if s.o.Mailer == nil {
		if s.o.Mailer, err = relay(config.Relay, s.o.Lookup); err != nil {
			return fmt.Errorf("configuration %s: %w", s.o.Config, err)
		}
	}
	s.kept = &keptBlobs{Store: s.blobs}
	g := guard.New(guard.Options{AllowPrivate: s.o.AllowPrivate})
	s.hub = live.NewHub()
	s.demo = newDemo("http://"+s.http.Addr().String()+"/hooks/whatsapp/"+demoAccount, func() time.Time { return s.o.Now().Time() })
	outside := g.Client()
	outside.Transport = demoTransport{s.demo, outside.Transport}
	files := g.Follower()
	files.Transport = demoTransport{s.demo, files.Transport}
	told := &late{}
	s.app, err = app.New(app.Deps{
		Table: s.table, Blobs: s.kept, Secrets: s.secrets, Inbound: s.queues["inbound"], Mails: s.queues["mail"],
		Media: s.queues["media"], Wake: s.queues["wake"], HTTP: outside, Files: files, Inspect: app.InspectFile, Mailer: s.o.Mailer, Push: s.hub,
		Notifiers: []pipeline.Notifier{told}, Key: key, Now: s.o.Now, Rand: rand.Reader, Log: s.log,
		Config: pipeline.Config{BaseURL: s.o.BaseURL, Hours: timeline.OfficeHours(helsinki)},
	})
	if err != nil {
		return err
	}
	if err := s.reapply(context.Background()); err != nil {
		return err
	}
	if err := s.app.Declare(context.Background(), config, s.secrets, s.o.Lookup); err != nil {
		return fmt.Errorf("configuration %s: %w", s.o.Config, err)
	}
	if err := s.letPeopleIn(key, helsinki, told, config); err != nil {
		return err
	}
	return s.openMail()
}

// letPeopleIn lets staff and customers in.
func (s *Server) letPeopleIn(key []byte, location *time.Location, told *late, config *app.Config) error {
	var err error
	s.staff, err = staff.New(s.app, staff.Options{
		Secrets: s.secrets, Blobs: s.kept, Queues: s.queues, Hub: s.hub, BaseURL: s.o.BaseURL, Log: s.log,
	})
	if err != nil {
		return err
	}
	if s.setup, err = s.staff.Auth.Bootstrap(context.Background(), s.o.AdminPassword, s.o.Token); err != nil {
		return fmt.Errorf("let the first person in: %w", err)
	}
	if s.o.Mailer != nil {
		from := s.app.Pipeline.MailAddress
		if config.NotifyFrom != "" {
			from = func(context.Context) (string, error) { return config.NotifyFrom, nil }
		}
		told.to = &notify.Mail{People: s.staff.Auth, Told: s.app.Store, Mailer: s.o.Mailer, From: from, BaseURL: s.o.BaseURL, Now: s.o.Now, Channels: s.app.Channels, Log: s.log}
	}
	s.pages, err = public.New(s.app, public.Options{
		Key: key, BaseURL: s.o.BaseURL, Location: location, Log: s.log, NewID: s.app.Store.NewID, Setup: &firstStart{s},
	})
	return err
}

func (s *Server) openMail() error {
	if s.o.SMTP == "" {
		return nil
	}
	encryption, err := s.mailTLS()
	if err != nil {
		return err
	}
	var resolver smtpd.Resolver
	if s.checkMail() {
		if resolver = s.o.Resolver; resolver == nil {
			resolver = net.DefaultResolver
		}
	}
	s.smtp, err = smtpd.New(smtpd.Options{
		Addr: s.o.SMTP, Domain: s.mailDomain(), TLS: encryption, Resolver: resolver, NewID: s.app.Store.NewID, Now: func() time.Time { return s.o.Now().Time() }, Log: s.log,
		Recipients: func(ctx context.Context, address string) (bool, error) {
			account, err := s.app.Pipeline.MailAccount(ctx, address)
			return account != nil, err
		},
		Deliver: func(ctx context.Context, m *smtpd.Mail) error { return s.app.Pipeline.AcceptMail(ctx, m.Raw, m.Mail) },
	})
	if err != nil {
		return fmt.Errorf("listen for mail on %s: %w; choose another address with --smtp", s.o.SMTP, err)
	}
	return nil
}

// HTTPAddr and SMTPAddr are where it listens; SMTPAddr is empty without mail.
func (s *Server) HTTPAddr() string { return s.http.Addr().String() }

// SMTPAddr is where it listens for mail, or "".
func (s *Server) SMTPAddr() string {
	if s.smtp == nil {
		return ""
	}
	return s.smtp.Addr().String()
}

// App is the program inside, for tests and commands in the same process.
func (s *Server) App() *app.App { return s.app }

// drain is how long requests and batches under way may take to end.
const drain = 15 * time.Second

// Serve works until ctx ends, then lets what is under way finish and closes the store. It returns nil after an orderly end.
func (s *Server) Serve(ctx context.Context) error {
	feed, err := s.table.Feed(context.WithoutCancel(ctx), "react") // asked to end this early, it still ends in order
	if err != nil {
		return errors.Join(fmt.Errorf("open the change feed: %w", err), s.close())
	}
	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 60 * time.Second, IdleTimeout: 120 * time.Second, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn)}
	failed := make(chan error, 2)
	go func() { failed <- served("HTTP", web.Serve(s.http)) }()
	go s.control.serve()
	if s.smtp != nil {
		go func() { failed <- served("SMTP", s.smtp.Serve()) }()
	}
	working, stop := context.WithCancel(context.Background())
	defer stop()
	var wait sync.WaitGroup
	if err := s.resumeDemo(working); err != nil {
		s.log.Error("demonstration", "err", err)
	}
	s.work(working, &wait, feed)
	if s.o.Out != nil {
		_, _ = fmt.Fprintf(s.o.Out, "listening http=%s smtp=%s\n", s.HTTPAddr(), s.SMTPAddr()) // nobody may be reading it
		s.greet()
	}
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.control.close()
	s.hub.Close() // sockets go first: they would keep the server waiting
	ending, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	err = errors.Join(err, web.Shutdown(ending))
	if s.smtp != nil {
		err = errors.Join(err, s.smtp.Shutdown(ending))
	}
	stop()
	wait.Wait()
	return errors.Join(err, s.close())
}

func served(what string, err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("serve %s: %w", what, err)
	}
	return nil
}

// work starts everything that works by itself.
func (s *Server) work(ctx context.Context, wait *sync.WaitGroup, feed table.Feed) {
	p := s.app.Pipeline
	for name, handler := range map[string]queue.Handler{"inbound": p.Process, "mail": p.Mail, "media": p.Fetch, "wake": p.Deliver} {
		o := workers[name]
		o.OnError = func(err error) { s.log.Error("worker", "queue", name, "err", err) }
		wait.Go(func() { queue.Work(ctx, s.queues[name], handler, o) })
	}
	wait.Go(func() { s.react(ctx, feed) })
	wait.Go(func() { s.tick(ctx) })
	wait.Go(func() { s.demo.play(ctx, func(err error) { s.log.Warn("demonstration", "err", err) }) })
}

// Every minute what waits is looked after, every six hours old raw input is deleted.
const (
	tickEvery  = time.Minute
	sweepItems = 5000 // expired items removed at each tick
	sweepEvery = 6 * time.Hour
)

func (s *Server) tick(ctx context.Context) {
	ticks, sweeps := time.NewTicker(tickEvery), time.NewTicker(sweepEvery)
	defer ticks.Stop()
	defer sweeps.Stop()
	for {
		if err := s.app.Pipeline.Tick(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("tick", "err", err)
		}
		if _, err := s.table.Sweep(ctx, sweepItems); err != nil && ctx.Err() == nil {
			s.log.Error("expired items not removed", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		case <-sweeps.C:
			if n, err := s.app.Pipeline.Sweep(ctx); err != nil {
				s.log.Error("sweep", "deleted", n, "err", err)
			}
		}
	}
}

func (s *Server) close() error {
	var errs []error
	s.control.close()
	if s.http != nil {
		_ = s.http.Close() // the server has closed it, or it never served
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}
