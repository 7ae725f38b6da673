package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// This file is the socket without its transport: what is sent to whom. The local binary's socket and API Gateway's
// connections both go by it.

// SocketTicket implements POST /api/v1/socket-ticket.
func (h handlers) SocketTicket(ctx context.Context, _ SocketTicketRequestObject) (SocketTicketResponseObject, error) {
	secret, expires, err := h.Auth.Ticket(ctx, callOf(ctx).principal)
	if err != nil {
		return nil, err
	}
	return SocketTicket201JSONResponse{
		Ticket: secret, ExpiresAt: expires, Url: h.Config.SocketURL + "?ticket=" + url.QueryEscape(secret), Cursor: *hideCursor(store.CursorAt(h.Store.Now())),
	}, nil
}

// Types of socket messages beside those of notifications ("entry", "case").
const (
	// typeRefetch: too much was missed; read everything again.
	typeRefetch = "refetch"
	typeError   = "error"
	typePong    = "pong"
)

// socketMessage is what a socket sends.
type socketMessage struct {
	Cursor   string          `json:"cursor,omitempty"`
	Type     string          `json:"type"`
	Why      string          `json:"why,omitempty"`
	Customer string          `json:"customer,omitempty"`
	Case     string          `json:"case,omitempty"`
	Entry    *timeline.Entry `json:"entry,omitempty"`
	Detail   string          `json:"detail,omitempty"`
}

// message is a notification ready to be sent, with what decides who may see it.
type message struct {
	body        []byte
	team, agent string
}

// seenBy authorises one event for one principal (FAULT 44), by whose case it is now: it may have been given away since the
// notification was written.
func (m *message) seenBy(p *auth.Principal) bool {
	return p.May(auth.ReadCases) && p.Sees(m.team, m.agent)
}

// message reads what a notification is about as it is now. Nil when it is gone: erased.
func (a *API) message(ctx context.Context, n *store.Notification) (*message, error) {
	c, err := a.Store.Case(ctx, n.Case)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := socketMessage{Cursor: *hideCursor(n.Cursor), Type: n.Type, Why: n.Why, Customer: n.Customer, Case: n.Case}
	if n.Entry != "" {
		e, err := a.Store.Entry(ctx, n.Entry)
		if isMissing(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		view := viewEntry(e)
		out.Entry = &view
	}
	body, err := json.Marshal(&out)
	if err != nil {
		return nil, fmt.Errorf("tell of case %s: %w", n.Case, err)
	}
	return &message{body: body, team: c.Team, agent: c.Agent}, nil
}

// Event is what a socket of the principal sends for a notification; nil when it is not theirs to see.
func (a *API) Event(ctx context.Context, p *auth.Principal, n *store.Notification) ([]byte, error) {
	m, err := a.message(ctx, n)
	if err != nil || m == nil || !m.seenBy(p) {
		return nil, err
	}
	return m.body, nil
}

// mostResumed is how many notifications are sent again; whoever missed more reads everything anew, which is quicker.
const mostResumed = 10_000

// Resume sends what the principal missed since the cursor of an earlier message, oldest first: from half a minute before it,
// so some may come twice. A cursor that is too old, or that too much came after, is answered with a refetch.
func (a *API) Resume(ctx context.Context, p *auth.Principal, cursor string, send func(context.Context, []byte) error) error {
	place, err := showCursor("cursor", &cursor)
	if err != nil {
		return err
	}
	at, err := store.CursorTime(place)
	if err != nil {
		return fault.Field("query.cursor", "it is not a cursor; use what a message carried")
	}
	if a.Store.Now().Sub(at) > store.NotificationsFor {
		return a.refetch(ctx, send)
	}
	return a.since(ctx, p, at, send)
}

func (a *API) refetch(ctx context.Context, send func(context.Context, []byte) error) error {
	return sendAs(ctx, send, socketMessage{Type: typeRefetch, Cursor: *hideCursor(store.CursorAt(a.Store.Now()))})
}

func sendAs(ctx context.Context, send func(context.Context, []byte) error, m socketMessage) error {
	body, err := json.Marshal(&m)
	if err != nil {
		return fmt.Errorf("make a socket message: %w", err)
	}
	return send(ctx, body)
}

func (a *API) since(ctx context.Context, p *auth.Principal, at msg.Time, send func(context.Context, []byte) error) error {
	from := store.CursorAt(max(0, at.Add(-resumeFrom)))
	for sent := 0; ; {
		told, next, err := a.told(ctx, p, from, store.MaxPage)
		if err != nil {
			return err
		}
		for _, n := range told {
			body, err := a.Event(ctx, p, n)
			if err != nil {
				return err
			}
			if body == nil {
				continue
			}
			if err := send(ctx, body); err != nil {
				return err
			}
			sent++
		}
		if next == "" {
			return nil
		}
		if sent > mostResumed {
			return a.refetch(ctx, send)
		}
		from = next
	}
}

// Answer is what a socket says to a frame of its client (FAULT 45). Clients have nothing to say but
// {"type":"ping"}, and {"type":"resume","cursor":"…"}, which is answered by what was missed.
func (a *API) Answer(frame []byte) []byte {
	var said struct {
		Type string `json:"type"`
	}
	out := socketMessage{Type: typeError, Detail: "that is nothing that can be said here"}
	if err := json.Unmarshal(frame, &said); err == nil && said.Type == "ping" {
		out = socketMessage{Type: typePong}
	}
	body, err := json.Marshal(&out)
	if err != nil {
		return []byte(`{"type":"error"}`)
	}
	return body
}

// recheckEvery is how often a socket asks whether its session still lives; an end in this process is told at once.
const recheckEvery = 15 * time.Second
