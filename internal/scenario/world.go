package scenario

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/secret"
)

// World is the program in one of its shapes, worked by hand: nothing in it moves unless it is told to.
type World interface {
	// App, People and Secrets are for preparing the stage and for looking behind it.
	App() *app.App
	People() *people.People
	Secrets() secret.Store
	// Door answers every HTTP route as the outside reaches it: hooks, forms, status pages and the API.
	Door() http.Handler
	// Mail takes a mail in by the shape's own way.
	Mail(ctx context.Context, m *Letter) error
	// Sockets is where staff sockets are opened: an address that a ticket is added to.
	Sockets(ctx context.Context) (string, error)
	// Connections is how many sockets are open, by what the program knows.
	Connections(ctx context.Context) (int, error)
	// Queue is one of inbound, mail, media and wake, as its worker sees it.
	Queue(name string) queue.Queue
	// Handle gives a batch to the queue's worker and returns the IDs of the messages that failed.
	Handle(ctx context.Context, name string, batch []queue.Message) ([]string, error)
	// React follows up the next changes and says how many those were. After an error, or a panic of the handler, the same
	// changes come again.
	React(ctx context.Context) (int, error)
	// Tick is the minute's work.
	Tick(ctx context.Context) error
	// Moved is told that the clock has moved.
	Moved(ctx context.Context) error
	// Redriven returns once a redrive of the queue is through.
	Redriven(ctx context.Context, name string) error
	// Check verifies every invariant over everything that is stored, and lists what is wrong.
	Check(ctx context.Context) ([]string, error)
	// Close takes the world down.
	Close() error
}

// Stage is what a world is built on: everything that must be the same in all of them.
type Stage struct {
	Clock  *Clock
	Faults *Faults
	// Dir is a folder of the world's own.
	Dir string
	// Key is the deployment key, Rand where all IDs come from.
	Key  []byte
	Rand io.Reader
	Log  *slog.Logger
	// Client runs the command "aikajana" and returns what it prints; nil where a story may not ask for it.
	Client func(ctx context.Context, args ...string) (string, error)
	// Mailer takes mail that leaves; SES is the address of an HTTP server that takes it the way SES does.
	Mailer channel.Mailer
	SES    string
}

// BaseURL is where the outside reaches every world.
const BaseURL = "https://desk.example"

// Letter is a mail on its way in.
type Letter struct {
	// ID is the provider's.
	ID  string
	Raw []byte
	// Facts are the envelope and the verdicts.
	Facts channel.Mail
	// Rule, when set, names a further rule of the provider's that the mail matched: it is put and announced by that as well.
	Rule string
	// Unreadable says that the mail is announced before it can be read, as S3 may have it; where mail comes by SMTP it says
	// nothing.
	Unreadable bool
}

// Clock is the script's clock. Safe for concurrent use.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock starts one.
func NewClock(at time.Time) *Clock { return &Clock{at: at.UTC()} }

// Now is the time.
func (c *Clock) Now() msg.Time { return msg.TimeOf(c.Time()) }

// Time is the time for those who need a time.Time.
func (c *Clock) Time() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *Clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (c *Clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = t.UTC()
}

// atOnce is the pause before a write is tried again: none, the script's clock stands still.
func atOnce(ctx context.Context, _ int) error { return ctx.Err() }
