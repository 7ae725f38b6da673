package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// Agent is a socket that notes when each message of a load is told.
type Agent struct {
	conn *websocket.Conn
	// Refetches counts how often the program said that too much was missed.
	Refetches atomic.Int64

	mu   sync.Mutex
	load *Load
	told []int64
	left int
	done chan struct{}
	err  error
}

// Connect opens the socket of an agent who sees everything.
func Connect(ctx context.Context, p *Program) (*Agent, error) {
	var ticket struct{ URL string }
	if err := p.Call(ctx, http.MethodPost, "/api/v1/socket-ticket", &ticket); err != nil {
		return nil, err
	}
	conn, _, err := websocket.Dial(ctx, "ws://"+p.Addr+ticket.URL, nil) //nolint:bodyclose // the library closes it
	if err != nil {
		return nil, fmt.Errorf("open the socket: %w", err)
	}
	conn.SetReadLimit(-1)
	a := &Agent{conn: conn, done: make(chan struct{})}
	go a.listen(ctx)
	return a, nil
}

// Expect says whose messages are noted from now on.
func (a *Agent) Expect(l *Load) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.load, a.told, a.left, a.done = l, make([]int64, l.messages), l.messages, make(chan struct{})
}

func (a *Agent) listen(ctx context.Context) {
	for {
		_, frame, err := a.conn.Read(ctx)
		if err != nil {
			a.mu.Lock()
			a.err = err
			a.mu.Unlock()
			return
		}
		a.note(frame)
	}
}

func (a *Agent) note(frame []byte) {
	at := bytes.Index(frame, []byte(idPrefix))
	if at < 0 {
		if bytes.Contains(frame, []byte(`"type":"refetch"`)) {
			a.Refetches.Add(1)
		}
		return
	}
	rest := frame[at+len(idPrefix):]
	name, rest, ok := bytes.Cut(rest, []byte("-"))
	number, _, ok2 := bytes.Cut(rest, []byte(`"`))
	n, err := strconv.Atoi(string(number))
	if !ok || !ok2 || err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.load == nil || string(name) != a.load.name || n >= len(a.told) || a.told[n] != 0 {
		return
	}
	a.told[n] = int64(time.Since(a.load.begun))
	if a.left--; a.left == 0 {
		close(a.done)
	}
}

// Wait returns when everything expected was told, or when nothing more came for the given time.
func (a *Agent) Wait(ctx context.Context, quiet time.Duration) (missing int, last time.Duration) {
	before := -1
	for {
		select {
		case <-a.done:
		case <-ctx.Done():
		case <-time.After(quiet):
		}
		a.mu.Lock()
		missing = a.left
		var newest int64
		if len(a.told) > 0 {
			newest = slices.Max(a.told)
		}
		a.mu.Unlock()
		if missing == 0 || missing == before || ctx.Err() != nil {
			return missing, time.Duration(newest)
		}
		before = missing
	}
}

// Notified is how long it took from sending a message to the socket's telling, sorted; what was never told is left out.
func (a *Agent) Notified() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]time.Duration, 0, len(a.told))
	for n, at := range a.told {
		if at > 0 {
			all = append(all, time.Duration(at-atomic.LoadInt64(&a.load.sent[n/a.load.each])))
		}
	}
	slices.Sort(all)
	return all
}

// Close hangs up.
func (a *Agent) Close() { _ = a.conn.CloseNow() }
