package api

import (
	"container/list"
	"sync"

	"golang.org/x/time/rate"

	"github.com/aikajana/aikajana/internal/msg"
)

// Limits bound how often one may ask, in requests a second and at once. They hold per process: on AWS the gateway's own
// throttles stand before them.
type Limits struct {
	PerPrincipal   float64
	PrincipalBurst int
	// PerClient is for whoever is not signed in.
	PerClient   float64
	ClientBurst int
}

// DefaultLimits are far above what a person's inbox asks and low enough that one script cannot hold everybody up.
var DefaultLimits = Limits{PerPrincipal: 200, PrincipalBurst: 400, PerClient: 20, ClientBurst: 100}

func (l Limits) orDefault() Limits {
	if l == (Limits{}) {
		return DefaultLimits
	}
	return l
}

// keepLimits is how many callers are remembered: the one not seen for longest makes place, with a full burst when it comes
// back.
const keepLimits = 10_000

// limiter is a token bucket for each caller.
type limiter struct {
	rate  rate.Limit
	burst int
	now   func() msg.Time

	mu    sync.Mutex
	known map[string]*list.Element
	order *list.List // of *bucket, the latest first
}

type bucket struct {
	who    string
	tokens *rate.Limiter
}

func newLimiter(perSecond float64, burst int, now func() msg.Time) *limiter {
	return &limiter{rate: rate.Limit(perSecond), burst: burst, now: now, known: map[string]*list.Element{}, order: list.New()}
}

func (l *limiter) allow(who string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.known[who]
	if e == nil {
		e = l.order.PushFront(&bucket{who, rate.NewLimiter(l.rate, l.burst)})
		l.known[who] = e
		if l.order.Len() > keepLimits {
			oldest := l.order.Back()
			delete(l.known, l.order.Remove(oldest).(*bucket).who)
		}
	} else {
		l.order.MoveToFront(e)
	}
	return e.Value.(*bucket).tokens.AllowN(l.now().Time(), 1)
}
