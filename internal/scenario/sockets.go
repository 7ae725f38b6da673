package scenario

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/timeline"
)

// socket is somebody's open socket, with what it was told.
type socket struct {
	conn *websocket.Conn

	mu    sync.Mutex
	heard [][]byte
	end   error
	// more holds a signal when something was heard.
	more chan struct{}
}

// hearWithin bounds the wait for what a socket is to be told. Only a story that fails waits so long.
const hearWithin = time.Minute

// compileSocket has somebody open the staff socket and say hello, as every client does.
func compileSocket(a *args) (action, error) {
	who, more := a.at["ROLE"]+" "+a.at["NAME"], ""
	if a.named["batch"] != "" {
		more = "&batch=" + url.QueryEscape(a.named["batch"])
	}
	return func(ctx context.Context, p *Play) error { return p.openSocket(ctx, who, more) }, nil
}

// compileSocketAgain has somebody open another socket, from where the last one ended. They show what they knew, and what they
// are told: what they know already is told again for the half minute before, and shown once.
func compileSocketAgain(a *args) (action, error) {
	who := a.at["ROLE"] + " " + a.at["NAME"]
	return func(ctx context.Context, p *Play) error {
		last := p.sockets[a.at["NAME"]]
		if last == nil {
			return fmt.Errorf("%s has opened no socket", a.at["NAME"])
		}
		last.mu.Lock()
		heard := slices.Clone(last.heard)
		last.mu.Unlock()
		cursor := ""
		for _, frame := range heard {
			all, err := eventsOf(frame)
			if err != nil {
				return err
			}
			for _, m := range all {
				cursor = cmp.Or(m.Cursor, cursor)
			}
		}
		if cursor == "" {
			return fmt.Errorf("%s was told nothing, so there is nothing to go on from", a.at["NAME"])
		}
		if err := p.openSocket(ctx, who, "&cursor="+url.QueryEscape(cursor)); err != nil {
			return err
		}
		again := p.sockets[a.at["NAME"]]
		again.mu.Lock()
		defer again.mu.Unlock()
		again.heard = append(heard, again.heard...)
		return nil
	}, nil
}

// forgetful is a world that may never hear that a connection has ended, as API Gateway promises nothing about $disconnect. It
// calls end, and returns once nobody is at the other end any more.
type forgetful interface {
	Unheard(ctx context.Context, end func() error) error
}

// compileBreak has somebody's connection end without a word.
func compileBreak(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		s := p.sockets[a.at["NAME"]]
		if s == nil {
			return fmt.Errorf("%s has opened no socket", a.at["NAME"])
		}
		if w, ok := p.world.(forgetful); ok {
			return w.Unheard(ctx, s.conn.CloseNow)
		}
		return s.conn.CloseNow()
	}, nil
}

// compileOpenSockets waits until so many sockets are open, by what the world knows.
func compileOpenSockets(a *args) (action, error) {
	want, err := strconv.Atoi(a.at["COUNT"])
	if err != nil {
		return nil, fmt.Errorf("%q is no number", a.at["COUNT"])
	}
	return func(ctx context.Context, p *Play) error {
		ctx, cancel := context.WithTimeout(ctx, hearWithin)
		defer cancel()
		for last := -1; ; {
			got, err := p.world.Connections(ctx)
			if ctx.Err() != nil {
				return &unmet{fmt.Sprintf("%d sockets are open, not %d", last, want)}
			}
			if err != nil || got == want {
				return err
			}
			last = got
			select {
			case <-time.After(10 * time.Millisecond): // a process notices by and by that nobody is there
			case <-ctx.Done():
			}
		}
	}, nil
}

// openSocket opens the staff socket with more in its address.
func (p *Play) openSocket(ctx context.Context, who, more string) error {
	status, body, err := p.call(ctx, who, http.MethodPost, "/api/v1/socket-ticket", map[string]string{}, "")
	if err != nil || status >= http.StatusMultipleChoices {
		return errors.Join(err, fmt.Errorf("ask for a ticket: %d %s", status, body))
	}
	var made struct{ Ticket string }
	if err := json.Unmarshal(body, &made); err != nil {
		return err
	}
	address, err := p.world.Sockets(ctx)
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, hearWithin)
	defer cancel()
	conn, answer, err := websocket.Dial(within, address+"?ticket="+url.QueryEscape(made.Ticket)+more, nil)
	if err != nil {
		return fmt.Errorf("open the socket: %w", err)
	}
	if answer.Body != nil {
		_ = answer.Body.Close() // it is the connection's by now
	}
	conn.SetReadLimit(256 << 10)
	if err := conn.Write(within, websocket.MessageText, []byte(`{"type":"ping"}`)); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	s := &socket{conn: conn, more: make(chan struct{}, 1)}
	for pong := false; !pong; { // from then on nothing is missed; what was missed before may come first
		_, frame, err := conn.Read(within)
		if err != nil {
			return fmt.Errorf("hear the answer to hello: %w", err)
		}
		if pong = bytes.Contains(frame, []byte(`"pong"`)); !pong {
			s.heard = append(s.heard, frame)
		}
	}
	p.sockets[strings.Fields(who)[1]] = s
	go s.listen()
	return nil
}

// listen keeps what comes until the socket is closed.
func (s *socket) listen() {
	for {
		_, message, err := s.conn.Read(context.Background())
		s.mu.Lock()
		if err != nil {
			s.end = err
		} else {
			s.heard = append(s.heard, message)
		}
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// compileHeard compares what a client shows that has nothing but the socket: every entry that it was told of, as it was told last.
// How often it is told on the way is nobody's promise: changes that follow each other closely come together. It waits until
// it is so, because a socket is told by and by.
func compileHeard(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		s := p.sockets[a.at["NAME"]]
		if s == nil {
			return fmt.Errorf("%s has opened no socket", a.at["NAME"])
		}
		ctx, cancel := context.WithTimeout(ctx, hearWithin)
		defer cancel()
		for {
			shown, end, err := p.shown(s)
			if err != nil {
				return err
			}
			err = compareLines("socket "+a.at["NAME"], shown, a.block)
			if err == nil || end != nil {
				return errors.Join(err, end)
			}
			select {
			case <-s.more:
			case <-ctx.Done():
				return err
			}
		}
	}, nil
}

// event is what a socket is told.
type event struct {
	Type, Cursor, Case string
	Entry              *timeline.Entry
}

// eventsOf reads a frame: one event, or an array of them where the client takes that.
func eventsOf(frame []byte) (all []event, err error) {
	if bytes.HasPrefix(frame, []byte("[")) {
		return all, json.Unmarshal(frame, &all)
	}
	all = make([]event, 1)
	return all, json.Unmarshal(frame, &all[0])
}

// shown draws the entries that a socket was told of, in the order of their first appearance. end says why no more will come.
func (p *Play) shown(s *socket) (lines []string, end, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := map[string]int{}
	var told []event
	for _, frame := range s.heard {
		all, err := eventsOf(frame)
		if err != nil {
			return nil, nil, fmt.Errorf("a socket was told %q: %w", frame, err)
		}
		told = append(told, all...)
	}
	for _, m := range told {
		key, line := m.Type+" "+m.Case, m.Type
		if m.Entry != nil {
			key, line = m.Entry.Entry, m.Type+" "+p.drawEntry(m.Entry)
		}
		if m.Cursor == "" {
			line += " (without a cursor)"
		}
		n, known := at[key]
		if !known {
			n = len(lines)
			at[key], lines = n, append(lines, "")
		}
		lines[n] = line
	}
	return lines, s.end, nil
}

// compileClosed waits until the other side has closed a socket.
func compileClosed(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		s := p.sockets[a.at["NAME"]]
		if s == nil {
			return fmt.Errorf("%s has opened no socket", a.at["NAME"])
		}
		ctx, cancel := context.WithTimeout(ctx, hearWithin)
		defer cancel()
		for {
			s.mu.Lock()
			end := s.end
			s.mu.Unlock()
			if websocket.CloseStatus(end) != -1 {
				return nil
			}
			select {
			case <-s.more:
			case <-ctx.Done():
				return &unmet{fmt.Sprintf("expect socket %s closed: it is open, %v", a.at["NAME"], end)}
			}
		}
	}, nil
}

func compareLines(what string, got, block []string) error {
	want := make([]string, len(block))
	for i, line := range block {
		want[i] = squeeze(line)
	}
	for i := range got {
		got[i] = reference.ReplaceAllString(squeeze(got[i]), "CASE")
	}
	if !slices.Equal(got, want) {
		return &unmet{fmt.Sprintf("expect %s: it is\n  %s\nand not\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))}
	}
	return nil
}

// compileScreen compares what "aikajana timeline" draws of a person.
func compileScreen(a *args) (action, error) {
	return func(ctx context.Context, p *Play) error {
		if p.client == nil {
			return errors.New("there is no client here")
		}
		if p.server == nil {
			p.server = httptest.NewServer(p.world.Door())
			_, secret, err := p.world.People().Auth.CreateToken(ctx, "story", auth.Token{Name: "story", Roles: []auth.Role{auth.Administrator}, Scopes: []auth.Scope{auth.ScopeRead}})
			if err != nil {
				return fmt.Errorf("make a token: %w", err)
			}
			p.token = secret
		}
		who, err := p.customer(ctx, a.at["PERSON"])
		if err != nil {
			return err
		}
		out, err := p.client(ctx, "--server", p.server.URL, "--token", p.token, "timeline", who)
		if err != nil {
			return err
		}
		var got []string
		for line := range strings.Lines(out) {
			if line = strings.ReplaceAll(line, who, "CUSTOMER"); strings.TrimSpace(line) != "" {
				got = append(got, line)
			}
		}
		return compareLines("screen "+a.at["PERSON"], got, a.block)
	}, nil
}

// hangUp closes what the story has opened.
func (p *Play) hangUp() {
	for _, s := range p.sockets {
		_ = s.conn.CloseNow() // the other side may be gone
	}
	if p.server != nil {
		p.server.Close()
	}
}
