package live

import (
	"context"
	"sync"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/store"
)

// Hub carries what was written to the sockets of this process. It is the pipeline's Push and one of the listeners of auth's
// audit log. It never blocks: a socket that is too slow to take a notification reads it from the table later.
//
// The zero Hub is not ready; use NewHub. All methods are safe for concurrent use.
type Hub struct {
	mu     sync.Mutex
	joined map[*listener]struct{}
	closed bool
}

// NewHub makes a hub without sockets.
func NewHub() *Hub { return &Hub{joined: map[*listener]struct{}{}} }

// backlog is how many notifications wait for one socket before it has to read the table.
const backlog = 16 << 10

// listener is one socket's end of the hub.
type listener struct {
	principal string

	mu sync.Mutex
	// waiting is what is to be sent, oldest first; it grows only as far as the socket is behind.
	waiting []*pushed

	// more says that something waits; behind that waiting was full, so that something is in the table alone; check asks for
	// the session to be looked at again; gone says that the process is ending. Each holds one signal, so that sending one
	// never blocks.
	more, behind, check, gone chan struct{}
}

func (l *listener) push(p *pushed) {
	l.mu.Lock()
	full := len(l.waiting) >= backlog
	if !full {
		l.waiting = append(l.waiting, p)
	}
	l.mu.Unlock()
	if full {
		signal(l.behind)
		return
	}
	signal(l.more)
}

// take empties waiting.
func (l *listener) take() []*pushed {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.waiting
	l.waiting = nil
	return all
}

// pushed is a notification on its way to many sockets: what they send is made once.
type pushed struct {
	n    *store.Notification
	once sync.Once
	m    *Message
	err  error
}

func notificationOf(p *pushed) *store.Notification { return p.n }

func (h *Hub) join(principal string) *listener {
	l := &listener{
		principal: principal, more: make(chan struct{}, 1), behind: make(chan struct{}, 1),
		check: make(chan struct{}, 1), gone: make(chan struct{}, 1),
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.joined[l] = struct{}{}
	if h.closed {
		signal(l.gone)
	}
	return l
}

func (h *Hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.joined, l)
}

// Sockets is how many are connected.
func (h *Hub) Sockets() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.joined)
}

// Push implements the pipeline's Push.
func (h *Hub) Push(_ context.Context, told []*store.Notification) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.joined) == 0 {
		return
	}
	for _, n := range told {
		p := &pushed{n: n}
		for l := range h.joined {
			l.push(p)
		}
	}
}

// Audit implements auth.Auditor: when a session ended, the sockets of that person look at theirs again.
func (h *Hub) Audit(_ context.Context, e auth.Event) {
	switch e.Kind {
	case auth.AuditedSessionEnded, auth.AuditedSessionsEnded, auth.AuditedTokenRevoked, auth.AuditedUserChanged:
	default:
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for l := range h.joined {
		if l.principal == e.Subject {
			signal(l.check)
		}
	}
}

// Close asks every socket to go away; clients resume elsewhere from their cursor.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for l := range h.joined {
		signal(l.gone)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is waiting already
	}
}
