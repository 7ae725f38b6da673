// Package live tells staff what happens while it happens: the staff socket, with its transport on the local binary and
// without it on AWS, where API Gateway holds the connections. It is apart from package api because whoever only tells (the
// Lambdas react and socket) must not link the HTTP API, whose reading of the OpenAPI document alone takes longer to start
// than all of them.
package live

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Deps is what the events are read from and who may see them. All but Team and Log must be given.
type Deps struct {
	Store *store.Store
	Auth  *auth.Service
	// Hub holds the sockets of this process; one without sockets where somebody else holds them.
	Hub *Hub
	// Team is whose the cases are of accounts that name no team; "support" when empty.
	Team string
	Log  *slog.Logger
}

// Events are what staff are told, each person what is theirs to see. Safe for concurrent use.
type Events struct {
	store *store.Store
	auth  *auth.Service
	hub   *Hub
	team  string
	log   *slog.Logger
}

// New makes the events of a store.
func New(d Deps) (*Events, error) {
	if d.Store == nil || d.Auth == nil || d.Hub == nil {
		return nil, errors.New("start the staff socket: store, auth and hub must be given")
	}
	if d.Team == "" {
		d.Team = "support"
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	return &Events{store: d.Store, auth: d.Auth, hub: d.Hub, team: d.Team, log: d.Log}, nil
}

// Types of socket messages beside those of notifications ("entry", "case").
const (
	// typeRefetch: too much was missed; read everything again.
	typeRefetch = "refetch"
	typeError   = "error"
	typePong    = "pong"
)

// said is what a socket sends.
type said struct {
	Cursor   string          `json:"cursor,omitempty"`
	Type     string          `json:"type"`
	Why      string          `json:"why,omitempty"`
	Customer string          `json:"customer,omitempty"`
	Case     string          `json:"case,omitempty"`
	Entry    *timeline.Entry `json:"entry,omitempty"`
	Detail   string          `json:"detail,omitempty"`
}

// Message is a notification ready to be sent, with what decides who may see it.
type Message struct {
	Body []byte
	// Of is the notification.
	Of          *store.Notification
	team, agent string
}

// SeenBy authorises one event for one principal (FAULT 44), by whose case it is now: it may have been given away since the
// notification was written.
func (m *Message) SeenBy(p *auth.Principal) bool {
	return p.May(auth.ReadCases) && p.Sees(m.team, m.agent)
}

// Messages are what notifications tell, in their order: entries as the change left them, or, for a notification that was read
// from the table, as they are now. What is gone is left out: it was erased. Whose each case is is always read, once for all of
// its notifications and after their content, so that one that was given away in between is not shown to its former team.
//
// A notification that cannot be read is handed to failed with its error and left out; without failed, the first error ends it.
func (e *Events) Messages(ctx context.Context, told []*store.Notification, failed func(*store.Notification, error)) ([]*Message, error) {
	entries := make([]*timeline.Entry, len(told))
	bad := make([]error, len(told))
	for i, n := range told {
		if entries[i] = n.Changed; entries[i] == nil && n.Entry != "" {
			entries[i], bad[i] = e.store.Entry(ctx, n.Entry)
		}
	}
	cases := map[string]*owner{}
	var all []*Message
	for i, n := range told {
		if cases[n.Case] == nil {
			c, err := e.store.Case(ctx, n.Case)
			cases[n.Case] = &owner{c, err}
		}
		m, err := e.message(n, entries[i], cases[n.Case], bad[i])
		switch {
		case isMissing(err):
		case err == nil:
			all = append(all, m)
		case failed != nil:
			failed(n, err)
		default:
			return nil, err
		}
	}
	return all, nil
}

// Message is Messages of one; nil when it is gone.
func (e *Events) Message(ctx context.Context, n *store.Notification) (*Message, error) {
	all, err := e.Messages(ctx, []*store.Notification{n}, nil)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// owner is a case, or why it could not be read.
type owner struct {
	c   *timeline.Case
	err error
}

func (e *Events) message(n *store.Notification, entry *timeline.Entry, of *owner, err error) (*Message, error) {
	if err = cmp.Or(err, of.err); err != nil {
		return nil, err
	}
	out := said{Cursor: Cursor(n.Cursor), Type: n.Type, Why: n.Why, Customer: n.Customer, Case: n.Case}
	if entry != nil {
		view := Entry(entry)
		out.Entry = &view
	}
	body, err := json.Marshal(&out)
	if err != nil {
		return nil, fmt.Errorf("tell of case %s: %w", n.Case, err)
	}
	return &Message{Body: body, Of: n, team: of.c.Team, agent: of.c.Agent}, nil
}

func isMissing(err error) bool { return fault.Of(err) == fault.Missing }

// Told is what the principal's teams were told behind the place, oldest first, and where to go on; "" at the end. Who may see
// each is for the caller to ask (Message.SeenBy).
func (e *Events) Told(ctx context.Context, p *auth.Principal, place string, limit int) (told []*store.Notification, next string, err error) {
	teams, err := e.TeamsOf(ctx, p)
	if err != nil {
		return nil, "", err
	}
	for _, team := range teams {
		part, err := e.store.Notifications(ctx, team, place, limit+1)
		if err != nil {
			return nil, "", err
		}
		told = append(told, part...)
	}
	slices.SortFunc(told, func(x, y *store.Notification) int { return strings.Compare(x.Cursor, y.Cursor) })
	if len(told) > limit {
		return told[:limit], told[limit-1].Cursor, nil
	}
	return told, "", nil
}

// TeamsOf are the teams whose cases the principal sees.
func (e *Events) TeamsOf(ctx context.Context, p *auth.Principal) ([]string, error) {
	if p.Has(auth.Administrator) {
		return e.Teams(ctx)
	}
	return append([]string{""}, p.Teams...), nil
}

// Teams are all teams that there are: those of accounts, of users, the desk's own, and none.
func (e *Events) Teams(ctx context.Context) ([]string, error) {
	all := map[string]bool{"": true, e.team: true}
	accounts, err := e.store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, account := range accounts {
		all[account.Team] = true
	}
	users, err := e.auth.Users(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		for _, team := range u.Teams {
			all[team] = true
		}
	}
	return slices.Sorted(maps.Keys(all)), nil
}

const (
	// mostResumed is how many notifications are sent again; whoever missed more reads everything anew, which is quicker.
	mostResumed = 10_000
	// resumeFrom is how long before its cursor a socket reads again: notifications are not written in the order of their times.
	resumeFrom = 30 * time.Second
)

// Resume sends what the principal missed since the cursor of an earlier message, oldest first: from half a minute before it,
// so some may come twice. A cursor that is too old, or that too much came after, is answered with a refetch; one that is none
// is fault.Invalid.
func (e *Events) Resume(ctx context.Context, p *auth.Principal, cursor string, to Outlet) error {
	place, ok := Place(cursor)
	if !ok {
		return notACursor()
	}
	at, err := store.CursorTime(place)
	if err != nil {
		return notACursor()
	}
	if e.store.Now().Sub(at) > store.NotificationsFor {
		return e.refetch(ctx, to)
	}
	return e.since(ctx, p, at, to)
}

func notACursor() error {
	return fault.Field("query.cursor", "it is not a cursor; use what a message carried")
}

func (e *Events) refetch(ctx context.Context, to Outlet) error {
	body, err := json.Marshal(&said{Type: typeRefetch, Cursor: e.Now()})
	if err != nil {
		return fmt.Errorf("make a socket message: %w", err)
	}
	return to.Send(ctx, body)
}

// Now is the cursor of this moment.
func (e *Events) Now() string { return Cursor(store.CursorAt(e.store.Now())) }

func (e *Events) since(ctx context.Context, p *auth.Principal, at msg.Time, to Outlet) error {
	from := store.CursorAt(max(0, at.Add(-resumeFrom)))
	for sent := 0; ; {
		told, next, err := e.Told(ctx, p, from, store.MaxPage)
		if err != nil {
			return err
		}
		all, err := e.Messages(ctx, told, nil)
		if err != nil {
			return err
		}
		var bodies [][]byte
		for _, m := range all {
			if m.SeenBy(p) {
				bodies = append(bodies, m.Body)
			}
		}
		if err := to.SendAll(ctx, bodies); err != nil {
			return err
		}
		sent += len(bodies)
		if next == "" {
			return nil
		}
		if sent > mostResumed {
			return e.refetch(ctx, to)
		}
		from = next
	}
}

// Answer is what a socket says to a frame of its client (FAULT 45). Clients have nothing to say but {"type":"ping"}, and what
// Resumes understands, which is answered by what was missed.
func Answer(frame []byte) []byte {
	var heard struct {
		Type string `json:"type"`
	}
	out := said{Type: typeError, Detail: "that is nothing that can be said here"}
	if err := json.Unmarshal(frame, &heard); err == nil && heard.Type == "ping" {
		out = said{Type: typePong}
	}
	body, err := json.Marshal(&out)
	if err != nil {
		return []byte(`{"type":"error"}`)
	}
	return body
}

// Resumes reads {"type":"resume","cursor":"…"}: what a client says once it is open, because a gateway can send nothing while
// it opens. Every shape understands it, so clients need not know which one they talk to.
func Resumes(frame []byte) (cursor string, ok bool) {
	var heard struct {
		Type   string `json:"type"`
		Cursor string `json:"cursor"`
	}
	if err := json.Unmarshal(frame, &heard); err != nil || heard.Type != "resume" || heard.Cursor == "" {
		return "", false
	}
	return heard.Cursor, true
}

// Cursor makes a place of the store opaque and fit for an address; Place takes it back.
func Cursor(place string) string { return base64.RawURLEncoding.EncodeToString([]byte(place)) }

// Place is the place that a cursor stands for; not ok when it is no cursor. Every place has one cursor: the decoder passes over line
// breaks, and so they are refused here.
func Place(cursor string) (place string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	return string(b), err == nil && len(b) > 0 && !strings.ContainsAny(cursor, "\r\n")
}

// RecheckEvery is how often a socket asks whether its session still lives; an end in this process is told at once.
const RecheckEvery = 15 * time.Second
