// Package fake plays WhatsApp: a Graph API that takes answers and gives files, and the sender of signed webhooks. It is for
// tests, the demonstration and benchmarks, and shares no type with the adapter, so that both cannot be wrong in the same way.
//
//	provider := fake.New(fake.Options{AppSecret: "s", VerifyToken: "v", AccessToken: "t"})
//	graph := httptest.NewServer(provider)          // the account's api_base
//	provider.SetWebhook("http://…/hooks/whatsapp/main")
//	maija := fake.Person{Phone: "358401234567", Name: "Maija"}
//	provider.Post(ctx, provider.Text(maija, "Hei").ID("w1"))
//	provider.Next(fake.Refuse(400, 131056), fake.AcceptAndVanish())
//
// It follows the pages that package whatsapp names, and misbehaves on demand as the real one does.
package fake

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options says who the provider plays. Empty fields have defaults.
type Options struct {
	// PhoneNumberID is our number's ID ("1055"), DisplayNumber the number itself ("358942450000"), Business the WhatsApp
	// Business Account ("2099").
	PhoneNumberID, DisplayNumber, Business string
	// AppSecret signs the webhooks, VerifyToken is given in the handshake, AccessToken is asked for by the Graph API.
	AppSecret, VerifyToken, AccessToken string
	// Webhook is where webhooks go; see SetWebhook.
	Webhook string
	// Client posts the webhooks; one with a time-out of 10 s when nil.
	Client *http.Client
	// Now is the provider's clock; time.Now when nil.
	Now func() time.Time
	// Statuses are posted by themselves, in this order, for every accepted answer: "sent", "delivered", "read".
	Statuses []string
	// Burst is how many answers one customer may get at once before error 131056, one more every 6 s; 45 at the real
	// provider, no limit when 0.
	Burst int
	// Window refuses answers to customers who have not written within 24 hours (error 131047).
	Window bool
	// MediaLifetime is how long the URL of a file is good; 5 minutes when 0.
	MediaLifetime time.Duration
	// FirstID is where message IDs start to count: a provider that is started again must not give the same ones.
	FirstID int
}

// Provider plays one phone number. It is an http.Handler for the Graph API. Safe for concurrent use.
type Provider struct {
	o Options

	mu      sync.Mutex
	webhook string
	count   int
	next    []Behaviour
	sent    []Sent
	media   map[string]*file
	wrote   map[string]time.Time
	pairs   map[string]*bucket
	posts   sync.WaitGroup
	failed  []error
}

// Sent is an answer that the provider accepted.
type Sent struct {
	// ID is the wamid that it was given.
	ID string
	// To is the phone number or group, Recipient the user ID: one of them is set.
	To, Recipient string
	Group         bool
	Text          string
	// ReplyTo is the quoted message, Tag what came as biz_opaque_callback_data.
	ReplyTo, Tag string
	At           time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

// New makes a provider.
func New(o Options) *Provider {
	set := func(s *string, otherwise string) {
		if *s == "" {
			*s = otherwise
		}
	}
	set(&o.PhoneNumberID, "1055")
	set(&o.DisplayNumber, "358942450000")
	set(&o.Business, "2099")
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 10 * time.Second}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MediaLifetime == 0 {
		o.MediaLifetime = 5 * time.Minute
	}
	return &Provider{
		o: o, count: o.FirstID, webhook: o.Webhook, media: map[string]*file{}, wrote: map[string]time.Time{}, pairs: map[string]*bucket{},
	}
}

// SetWebhook says where webhooks go from now on.
func (p *Provider) SetWebhook(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.webhook = url
}

// Sent lists the accepted answers, oldest first.
func (p *Provider) Sent() []Sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

// Wait returns when every status that goes out by itself was posted, and says which could not be.
func (p *Provider) Wait() []error {
	p.posts.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.failed)
}

// Behaviour is how the provider treats one answer; see [Provider.Next].
type Behaviour struct {
	status, code int
	message      string
	vanish       bool // after accepting, close the connection without an answer
	hang         bool // after accepting, keep the connection until the caller gives up
	drop         bool // close the connection before accepting
	first        bool // post the statuses before answering
	garbage      bool // accept with an answer that is not JSON
}

// Refuse answers with an HTTP status and a code of the Graph API; code 0 with a 5xx is a plain text of a proxy.
func Refuse(status, code int) Behaviour {
	return Behaviour{status: status, code: code, message: words[code]}
}

// AcceptAndVanish accepts the answer and closes the connection without saying so.
func AcceptAndVanish() Behaviour { return Behaviour{vanish: true} }

// AcceptAndHang accepts the answer and says nothing until the caller gives up.
func AcceptAndHang() Behaviour { return Behaviour{hang: true} }

// AcceptGarbled accepts the answer and says so in a way that cannot be read.
func AcceptGarbled() Behaviour { return Behaviour{garbage: true} }

// Drop closes the connection without accepting anything.
func Drop() Behaviour { return Behaviour{drop: true} }

// ReceiptFirst accepts, posts the statuses, and answers only then.
func ReceiptFirst() Behaviour { return Behaviour{first: true} }

// Accept treats the answer as usual; it takes a place in the order of Next.
func Accept() Behaviour { return Behaviour{} }

// Times repeats a behaviour.
func Times(n int, b Behaviour) []Behaviour { return slices.Repeat([]Behaviour{b}, n) }

// Next says how the coming answers are treated, one each; afterwards all are accepted.
func (p *Provider) Next(behaviours ...Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, behaviours...)
}

// words are what the Graph API says with a code (support/error-codes, updated 2026-05-15).
var words = map[int]string{
	0: "AuthException", 4: "Application request limit reached", 100: "Invalid parameter", 190: "Access token has expired",
	80007: "Rate limit issues", 130429: "Rate limit hit", 131000: "Something went wrong", 131016: "Service unavailable",
	131026: "Message undeliverable", 131047: "Re-engagement message", 131048: "Spam rate limit hit",
	131056: "(Business Account, Consumer Account) pair rate limit hit", 131062: "Business-scoped user IDs are not supported for this message",
}

// id makes a wamid as the real ones are: base64 with the customer's number inside. Ask under the lock.
func (p *Provider) id(who string) string {
	p.count++
	return "wamid." + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "\x1d\x04\x0b%s\x15\x02%06d", who, p.count))
}

// allowed takes one from the pair's bucket. Ask under the lock.
func (p *Provider) allowed(who string) bool {
	if p.o.Burst == 0 {
		return true
	}
	now, b := p.o.Now(), p.pairs[who]
	if b == nil {
		b = &bucket{left: float64(p.o.Burst), at: now}
		p.pairs[who] = b
	}
	b.left = min(float64(p.o.Burst), b.left+now.Sub(b.at).Seconds()/6)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// open says whether the customer wrote within 24 hours. Ask under the lock.
func (p *Provider) open(who string) bool {
	at, ever := p.wrote[strings.TrimPrefix(who, "+")]
	return !p.o.Window || ever && p.o.Now().Sub(at) < 24*time.Hour
}
