// Package pipeline is the path of a message, step by step: [Pipeline.Ingest] takes responsibility for it,
// [Pipeline.Process] works it into a timeline, [Pipeline.React] follows every change up, [Pipeline.Deliver] sends answers,
// [Pipeline.Fetch] gets files, [Pipeline.Tick] looks after what waits. The steps share nothing but durable queues and the
// table, so each may run anywhere, any number of times, and be killed at any moment.
//
// Handlers reach the outside only through [Deps].
package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Deps is everything that the pipeline reaches outside itself.
type Deps struct {
	Store    *store.Store
	Blobs    blob.Store
	Secrets  secret.Store
	Channels *channel.Registry
	// Inbound carries envelopes to Process, Mails those of mail, Media files to fetch, Wake answers to send.
	Inbound, Mails, Media, Wake queue.Queue
	// HTTP is the guarded client that adapters use; Mailer hands mails over. Mailer may be nil: then mail answers wait.
	HTTP   *http.Client
	Mailer channel.Mailer
	// Files is the guarded client that follows redirects, for files; HTTP when nil. Inspect says what a file's bytes are; nil
	// believes nothing and shows every file as bytes.
	Files   *http.Client
	Inspect func(name, claimed string, body []byte) FileFacts
	// Push tells connected staff at once; Notifiers tell them in other ways. Both may be empty.
	Push      Push
	Notifiers []Notifier
	// Watch, when set, is shown every batch of changes before anything follows from it. It must not block for long, and cannot
	// fail the batch.
	Watch func(context.Context, []table.Change)
	// Instance, when set, names this process: it numbers what it accepts, because the queues count nothing (docs/adr/0012).
	Instance string
	// Notice understands what a mail provider puts into the Mails queue by itself; nil where only our own listener does.
	Notice func(raw []byte) (*MailNotice, error)
	Now    func() msg.Time
	NewID  func() string
	Log    *slog.Logger
	Config Config
}

// Config are the settings of a deployment that the pipeline needs.
type Config struct {
	// BaseURL is where the outside reaches this deployment ("https://desk.example"), without a slash at the end.
	BaseURL string
	// Hours are the desk's opening hours.
	Hours *timeline.Hours
	// Team is who hears of cases of accounts that name no team.
	Team string
}

// Push tells connected staff that something was written. It must not block; what it drops is fetched by cursor.
type Push interface {
	Push(ctx context.Context, n []*store.Notification)
}

// MailNotice says where a mail provider put a mail, or what became of one of ours.
type MailNotice struct {
	// Setup is the object that a provider writes to try its access: not a mail.
	Setup bool
	// Key is the blob that holds the raw mail.
	Key string
	// At is when the provider took the mail; zero when it does not say.
	At   msg.Time
	Mail channel.Mail
	// Recipients, when set, reads from the raw mail whom it is for: a notice that knows nothing but the Key has no Mail.Recipients.
	Recipients func(raw []byte) []string
	// Receipts say what became of mails of ours, when the provider tells of that and of no mail that came. Their Tag is the
	// answer, where the send had one.
	Receipts []msg.Event
}

// Pipeline is the handlers. Its only state is a cache of accounts and the numbers of what it accepted; it is safe for
// concurrent use.
type Pipeline struct {
	Deps
	accounts *accounts
	numbers  numbers
	packer   compressor
	// passedOver counts changes whose items could not be read.
	passedOver atomic.Int64
	// health is what the last Tick found.
	health atomic.Pointer[Health]
}

// PassedOver is how many changes React has passed over since it was made, because their items could not be read.
func (p *Pipeline) PassedOver() int64 { return p.passedOver.Load() }

// New makes the handlers.
func New(d Deps) (*Pipeline, error) {
	switch {
	case d.Store == nil, d.Blobs == nil, d.Secrets == nil, d.Channels == nil:
		return nil, errors.New("start pipeline: store, blobs, secrets and channels must be given")
	case d.Inbound == nil, d.Mails == nil, d.Media == nil, d.Wake == nil:
		return nil, errors.New("start pipeline: all four queues must be given")
	case d.Now == nil, d.NewID == nil, d.HTTP == nil, d.Log == nil:
		return nil, errors.New("start pipeline: clock, IDs, HTTP client and log must be given")
	}
	if d.Config.Team == "" {
		d.Config.Team = "support"
	}
	p := &Pipeline{Deps: d, numbers: numbers{by: d.Instance}}
	p.accounts = newAccounts(d.Store, d.Secrets, d.Now)
	return p, nil
}
