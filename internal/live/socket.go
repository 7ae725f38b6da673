package live

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/coder/websocket"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Bounds of a socket.
const (
	maxFrame     = 4 << 10
	badFrames    = 20
	writeTimeout = 10 * time.Second
	pingEvery    = 25 * time.Second
	pongWithin   = 20 * time.Second
)

// Codes with which a socket closes, beside those of RFC 6455. After closeSlow, 1001 and an end without a code (a client that
// takes nothing gets none) the client resumes from its last cursor; after closeEnded it signs in.
const (
	closeEnded websocket.StatusCode = 4401
	closeSlow  websocket.StatusCode = 4408
)

// Opening is what somebody wants who opens a socket.
type Opening struct {
	// Cursor is where they resume from, "" for now.
	Cursor string
	// Batch says that they take frames that are JSON arrays of messages.
	Batch bool
}

// OpeningOf reads the query of the address that a socket is opened at.
func OpeningOf(query url.Values) Opening {
	return Opening{Cursor: query.Get("cursor"), Batch: query.Get("batch") == "yes"}
}

// Socket serves a socket that this process holds open itself. open says whose it is and what they want; refuse answers what
// open refused. The origin must have been checked by open: here it is not looked at.
func (e *Events) Socket(open func(*http.Request) (auth.Principal, Opening, error), refuse func(http.ResponseWriter, *http.Request, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, wants, err := open(r)
		if err != nil {
			refuse(w, r, err)
			return
		}
		// The hub listens before the client hears that the socket is open: from then on they count on it.
		l := e.hub.join(p.ID)
		defer e.hub.leave(l)
		last := e.store.Now()
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
			InsecureSkipVerify: true, // open has checked the origin, against the trusted ones too
			CompressionMode:    websocket.CompressionDisabled,
		})
		if err != nil {
			return // Accept has answered
		}
		conn.SetReadLimit(maxFrame)
		s := &socket{events: e, conn: conn, heard: l, principal: p, last: last, resume: make(chan string, 1)}
		s.to = Outlet{Send: s.send, Batch: wants.Batch}
		s.run(r.Context(), wants.Cursor)
	})
}

// socket is one connection of the local binary.
type socket struct {
	events    *Events
	conn      *websocket.Conn
	heard     *listener
	to        Outlet
	principal auth.Principal
	// last is when the newest message sent was written: where to read on when the hub has dropped some.
	last msg.Time
	// resume carries a cursor that the client named while the socket was open.
	resume chan string
}

var (
	errEnded = errors.New("the session has ended")
	errSlow  = errors.New("too slow")
)

// run sends what happens until the session, the client or the process ends, and closes.
func (s *socket) run(ctx context.Context, cursor string) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	err := s.serve(ctx, stop, cursor)
	code, reason := s.closing(ctx, err)
	_ = s.conn.Close(code, reason) // before stop, which cuts the connection; the other side may have gone
}

func (s *socket) serve(ctx context.Context, stop context.CancelCauseFunc, cursor string) error {
	// The hub listens already while the table is read, so nothing falls between the two.
	if cursor != "" {
		if err := s.events.Resume(ctx, &s.principal, cursor, s.to); err != nil {
			return err
		}
	}
	go func() { stop(s.listen(ctx)) }()
	go func() { stop(s.ping(ctx)) }()
	return s.forward(ctx)
}

// forward sends what the hub says.
func (s *socket) forward(ctx context.Context) error {
	recheck := time.NewTicker(RecheckEvery)
	defer recheck.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.heard.gone:
			return errGone
		case <-s.heard.more:
			if err := s.deliverAll(ctx); err != nil {
				return err
			}
		case <-s.heard.behind:
			if err := s.events.since(ctx, &s.principal, s.last, s.to); err != nil {
				return err
			}
			s.last = s.events.store.Now()
		case cursor := <-s.resume:
			if err := s.events.Resume(ctx, &s.principal, cursor, s.to); err != nil {
				return err
			}
		case <-s.heard.check:
			if err := s.check(ctx); err != nil {
				return err
			}
		case <-recheck.C:
			if err := s.check(ctx); err != nil {
				return err
			}
		}
	}
}

var errGone = errors.New("the server is going away")

// deliverAll sends what waits. However much that is, a session that ends meanwhile ends it.
func (s *socket) deliverAll(ctx context.Context) error {
	for all := range slices.Chunk(Newest(s.heard.take(), notificationOf), deliverAtOnce) {
		select {
		case <-s.heard.check:
			if err := s.check(ctx); err != nil {
				return err
			}
		default:
		}
		if err := s.deliver(ctx, all); err != nil {
			return err
		}
	}
	return nil
}

// deliverAtOnce is how many messages are made ready before any of them is sent.
const deliverAtOnce = 32

func (s *socket) deliver(ctx context.Context, all []*pushed) error {
	var bodies [][]byte
	last := s.last
	for _, p := range all {
		p.once.Do(func() { p.m, p.err = s.events.Message(context.WithoutCancel(ctx), p.n) })
		if p.err != nil {
			return p.err
		}
		if p.m != nil && p.m.SeenBy(&s.principal) {
			bodies = append(bodies, p.m.Body)
			last = max(last, p.n.At)
		}
	}
	if err := s.to.SendAll(ctx, bodies); err != nil {
		return err
	}
	s.last = last
	return nil
}

// check renews the principal. An outage of the table ends nothing: the next check decides.
func (s *socket) check(ctx context.Context) error {
	p, err := s.events.auth.Check(ctx, s.principal.Credential)
	if fault.Code(err) == auth.CodeUnauthenticated {
		return errEnded
	}
	if err == nil {
		s.principal = p
	}
	return nil
}

func (s *socket) send(ctx context.Context, body []byte) error {
	within, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := s.conn.Write(within, websocket.MessageText, body)
	if err != nil && errors.Is(within.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
		return errSlow
	}
	return err
}

// listen reads what the client says: hardly anything (see Answer). It is also what sees pongs and the end.
func (s *socket) listen(ctx context.Context) error {
	for bad := 0; ; {
		kind, frame, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		if kind != websocket.MessageText {
			frame = nil
		}
		if cursor, ok := Resumes(frame); ok {
			select {
			case s.resume <- cursor:
				continue
			default: // one is waiting already: this client babbles
			}
		}
		answer := Answer(frame)
		if bad++; bad > badFrames {
			return errChatty
		}
		if err := s.send(ctx, answer); err != nil {
			return err
		}
		if len(frame) > 0 && string(answer) == `{"type":"pong"}` {
			bad = max(0, bad-1)
		}
	}
}

var errChatty = errors.New("too many frames that say nothing")

func (s *socket) ping(ctx context.Context) error {
	every := time.NewTicker(pingEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-every.C:
			within, cancel := context.WithTimeout(ctx, pongWithin)
			err := s.conn.Ping(within)
			cancel()
			if err != nil {
				return errSlow
			}
		}
	}
}

func (s *socket) closing(ctx context.Context, err error) (websocket.StatusCode, string) {
	switch {
	case errors.Is(err, errEnded):
		return closeEnded, "the session has ended: sign in"
	case errors.Is(err, errSlow):
		return closeSlow, "too slow: resume from your last cursor"
	case errors.Is(err, errGone):
		return websocket.StatusGoingAway, "resume from your last cursor"
	case errors.Is(err, errChatty):
		return websocket.StatusPolicyViolation, "too many frames that say nothing"
	case websocket.CloseStatus(err) != -1, ctx.Err() != nil:
		return websocket.StatusNormalClosure, ""
	case fault.Of(err) == fault.Invalid:
		return websocket.StatusPolicyViolation, "the cursor is none"
	case fault.Of(err) != fault.Internal:
		return websocket.StatusTryAgainLater, "resume from your last cursor"
	}
	s.events.log.WarnContext(context.WithoutCancel(ctx), "socket failed", "principal", s.principal.ID, "err", err)
	return websocket.StatusInternalError, "resume from your last cursor"
}
