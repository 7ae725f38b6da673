package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi/types"

	appaws "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// Gateway is what is used of *apigatewaymanagementapi.Client.
type Gateway interface {
	PostToConnection(context.Context, *apigatewaymanagementapi.PostToConnectionInput, ...func(*apigatewaymanagementapi.Options)) (*apigatewaymanagementapi.PostToConnectionOutput, error)
	DeleteConnection(context.Context, *apigatewaymanagementapi.DeleteConnectionInput, ...func(*apigatewaymanagementapi.Options)) (*apigatewaymanagementapi.DeleteConnectionOutput, error)
}

// Facts of API Gateway's WebSocket APIs ("Amazon API Gateway quotas and important notes", read on 2026-11-22): a connection
// lives 2 hours and closes after 10 minutes of silence; a message has 128 KB at most.
const (
	// connectionLife is longer than a connection can live, so that an item outlives its connection and not the other way.
	connectionLife = 2*time.Hour + 15*time.Minute
	maxMessage     = 128 << 10
	// opening is how long a connection may answer 410 because its $connect has not been answered yet.
	opening = 30 * time.Second
	// postWithin bounds one message, or the end of one connection; watchWithin all that Watch does, which the rest of a batch waits
	// for; atOnce how many messages are on their way.
	postWithin  = 3 * time.Second
	watchWithin = 10 * time.Second
	atOnce      = 16
)

// socketsPK holds every open connection: one query finds them all.
const socketsPK = "W#sockets"

// connection is one open socket, as it is stored.
type connection struct {
	ID         string          `json:"id"`
	Credential auth.Credential `json:"credential"`
	OpenedAt   msg.Time        `json:"opened_at"`
	// Cursor is where the client wants to go on from. API Gateway lets nothing be sent before $connect is answered, so the
	// first frame of the client asks for it.
	Cursor string `json:"cursor,omitempty"`
	// Batch says that the client takes several messages in a frame.
	Batch bool `json:"batch,omitempty"`
	// Principal, Roles and Teams are who opened it and what they may see, as it was when that was last looked at: they say whose
	// session is worth looking at for a message, and never who may see it. Principal is "" in connections of an earlier version.
	Principal string      `json:"principal,omitempty"`
	Roles     []auth.Role `json:"roles,omitempty"`
	Teams     []string    `json:"teams,omitempty"`
	// LookedAt is when that was; zero when it was at the opening. All connections are read for each push: their bytes count.
	LookedAt msg.Time `json:"looked_at,omitempty"`
}

// remember takes down who the principal was at a time, and says whether that is news. It is none when another process has looked
// later: what this one still believes is older than what stands there.
func (c *connection) remember(p *auth.Principal, at msg.Time) bool {
	if at < max(c.LookedAt, c.OpenedAt) || c.Principal == p.ID && slices.Equal(c.Roles, p.Roles) && slices.Equal(c.Teams, p.Teams) {
		return false
	}
	c.Principal, c.Roles, c.Teams, c.LookedAt = p.ID, p.Roles, p.Teams, at
	return true
}

// mayHear says that something of it may be for the connection, by what was known of it last.
func (c *connection) mayHear(ready []*live.Message) bool {
	was := auth.Principal{Kind: c.Credential.Kind, ID: c.Principal, Roles: c.Roles, Teams: c.Teams, Scopes: []auth.Scope{auth.ScopeRead}}
	return c.Principal == "" || slices.ContainsFunc(ready, func(m *live.Message) bool { return m.SeenBy(&was) })
}

// Sockets is the staff socket on API Gateway: connections are items of the table, and what they are told is authorised event
// by event, against a session that is looked at again every 15 seconds. It is safe for concurrent use.
type Sockets struct {
	people  *people.People
	store   *store.Store
	gateway Gateway
	host    string
	log     *slog.Logger

	mu    sync.Mutex
	known map[auth.Credential]checked
}

type checked struct {
	principal auth.Principal
	at        msg.Time
}

func newSockets(who *people.People, s *appaws.System, host string, gateway Gateway) *Sockets {
	return &Sockets{people: who, store: s.Store, gateway: gateway, host: host, log: s.Log, known: map[auth.Credential]checked{}}
}

// Connect takes a ticket and remembers the connection. The ticket is used up whatever happens next.
func (s *Sockets) Connect(ctx context.Context, id string, r *http.Request) int {
	r.Host = s.host // the page that opens the socket lies under the HTTP API's name, not under the WebSocket API's
	if err := s.people.Auth.SameOriginSocket(r); err != nil {
		return http.StatusForbidden
	}
	query := r.URL.Query()
	p, err := s.people.Auth.Redeem(ctx, query.Get("ticket"))
	if err == nil && !p.May(auth.ReadCases) {
		return http.StatusForbidden
	}
	if err == nil {
		wants := live.OpeningOf(query)
		c := connection{
			ID: id, Credential: p.Credential, OpenedAt: s.store.Now(), Cursor: wants.Cursor, Batch: wants.Batch, Principal: p.ID, Roles: p.Roles, Teams: p.Teams,
		}
		err = s.save(ctx, &c)
	}
	if err != nil {
		status := fault.Of(err).Status()
		if status >= http.StatusInternalServerError {
			s.log.ErrorContext(ctx, "socket not opened", "err", err)
		}
		return status
	}
	return http.StatusOK
}

// Disconnect forgets a connection.
func (s *Sockets) Disconnect(ctx context.Context, id string) error {
	if err := s.store.Table().Write(ctx, table.Delete(keyOf(id), table.Any)); err != nil {
		return fmt.Errorf("forget socket %s: %w", id, err)
	}
	return nil
}

// Message answers a frame. A client says {"type":"ping"}, right after opening and then every five minutes, because API
// Gateway closes what is silent for ten: the first answer is followed by what the client missed since its cursor.
// {"type":"resume","cursor":"…"} asks for that at any time.
func (s *Sockets) Message(ctx context.Context, id string, frame []byte) error {
	c, err := s.load(ctx, id)
	if errors.Is(err, table.ErrNotFound) {
		return s.hangUp(ctx, id) // nothing is known of it: the client opens another
	}
	if err != nil {
		return fmt.Errorf("answer socket %s: %w", id, err)
	}
	p, err := s.lookedAt(ctx, c)
	if fault.Code(err) == auth.CodeUnauthenticated {
		return s.hangUp(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("answer socket %s: %w", id, err)
	}
	if cursor, ok := live.Resumes(frame); ok {
		return s.resume(ctx, c, p, cursor)
	}
	if err := s.post(ctx, c, live.Answer(frame)); err != nil || c.Cursor == "" {
		return unlessGone(err)
	}
	if err := s.resume(ctx, c, p, c.Cursor); err != nil {
		return err
	}
	c.Cursor = ""
	return s.save(ctx, c)
}

// outlet is where the messages of a connection go.
func (s *Sockets) outlet(c *connection) live.Outlet {
	return live.Outlet{Send: func(ctx context.Context, frame []byte) error { return s.post(ctx, c, frame) }, Batch: c.Batch, Most: maxMessage}
}

func (s *Sockets) resume(ctx context.Context, c *connection, p *auth.Principal, cursor string) error {
	err := s.people.Live.Resume(ctx, p, cursor, s.outlet(c))
	if err != nil && fault.Of(err) == fault.Invalid {
		return s.hangUp(ctx, c.ID) // as the local socket does: the cursor is none
	}
	return unlessGone(err)
}

// errConnectionGone says that nobody is at the other end any more. The item is removed already.
var errConnectionGone = errors.New("the connection is gone")

func unlessGone(err error) error {
	if errors.Is(err, errConnectionGone) {
		return nil
	}
	return err
}

// Watch closes the sockets of sessions and tokens that a change of the table ended, and looks anew at what a user may see whose
// rights have changed. What cannot be closed now is closed when it is told something or says something, so a failure is logged
// and no more.
func (s *Sockets) Watch(ctx context.Context, changes []table.Change) {
	var ended []auth.Revoked
	for i := range changes {
		if r, ok := auth.RevokedBy(&changes[i]); ok {
			ended = append(ended, r)
		}
	}
	if len(ended) == 0 || s.gateway == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, watchWithin)
	defer cancel()
	open, err := s.open(ctx)
	if err != nil {
		s.log.ErrorContext(ctx, "sockets of ended sessions not closed", "err", err)
		return
	}
	for _, c := range open {
		concerned := slices.ContainsFunc(ended, func(r auth.Revoked) bool { return c.Principal == "" || r.Concerns(c.Principal, c.Credential) })
		if !concerned {
			continue
		}
		s.forget(c.Credential)
		if err := s.tell(ctx, c, nil); err != nil {
			s.log.WarnContext(ctx, "socket not looked at", "connection", c.ID, "err", err)
		}
	}
}

// forget has a credential asked about anew.
func (s *Sockets) forget(c auth.Credential) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, c)
}

// Push implements the pipeline's Push: every connection is told what its principal may see, each entry and case once, and all
// in one frame where the client takes that. What does not arrive is fetched by cursor, so a failure is logged and no more.
func (s *Sockets) Push(ctx context.Context, told []*store.Notification) {
	if s.gateway == nil {
		return
	}
	open, err := s.open(ctx)
	if err != nil {
		s.log.ErrorContext(ctx, "sockets not told", "notifications", len(told), "err", err)
		return
	}
	if len(open) == 0 {
		return
	}
	ready := s.prepare(ctx, told)
	var wait sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for _, c := range open {
		if !c.mayHear(ready) {
			continue
		}
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if err := s.tell(ctx, c, ready); err != nil {
				s.log.WarnContext(ctx, "socket not told", "connection", c.ID, "err", err)
			}
		})
	}
	wait.Wait()
}

// prepare makes what is sent, once for all connections.
func (s *Sockets) prepare(ctx context.Context, told []*store.Notification) []*live.Message {
	newest := live.Newest(told, func(n *store.Notification) *store.Notification { return n })
	ready, _ := s.people.Live.Messages(ctx, newest, func(n *store.Notification, err error) { // which hears of every error
		s.log.WarnContext(ctx, "sockets not told", "case", n.Case, "err", err)
	})
	return ready
}

func (s *Sockets) tell(ctx context.Context, c *connection, ready []*live.Message) error {
	p, err := s.lookedAt(ctx, c)
	if fault.Code(err) == auth.CodeUnauthenticated {
		return s.hangUp(ctx, c.ID)
	}
	if err != nil {
		return err
	}
	var bodies [][]byte
	for _, m := range ready {
		if m.SeenBy(p) {
			bodies = append(bodies, m.Body)
		}
	}
	return unlessGone(s.outlet(c).SendAll(ctx, bodies))
}

// post sends one message. 410 means that nobody is there: the connection is removed (FAULT 65), unless it is so young that
// its handshake may not be over.
func (s *Sockets) post(ctx context.Context, c *connection, body []byte) error {
	within, cancel := context.WithTimeout(ctx, postWithin)
	defer cancel()
	_, err := s.gateway.PostToConnection(within, &apigatewaymanagementapi.PostToConnectionInput{ConnectionId: aws.String(c.ID), Data: body})
	var gone *types.GoneException
	if errors.As(err, &gone) {
		if s.store.Now().Sub(c.OpenedAt) > opening {
			if err := s.Disconnect(ctx, c.ID); err != nil {
				return err
			}
		}
		return errConnectionGone
	}
	if err != nil {
		return fmt.Errorf("send to socket %s: %w", c.ID, err)
	}
	return nil
}

// hangUp closes a connection and forgets it.
func (s *Sockets) hangUp(ctx context.Context, id string) error {
	within, cancel := context.WithTimeout(ctx, postWithin)
	defer cancel()
	_, err := s.gateway.DeleteConnection(within, &apigatewaymanagementapi.DeleteConnectionInput{ConnectionId: aws.String(id)})
	var gone *types.GoneException
	if err != nil && !errors.As(err, &gone) {
		return fmt.Errorf("close socket %s: %w", id, err)
	}
	return s.Disconnect(ctx, id)
}

// lookedAt is who is at the other end, if their session still lives, and has the connection remember it.
func (s *Sockets) lookedAt(ctx context.Context, c *connection) (*auth.Principal, error) {
	k, err := s.check(ctx, c.Credential)
	if err == nil && c.remember(&k.principal, k.at) {
		err = s.save(ctx, c)
	}
	return &k.principal, err
}

// check is who has a credential, as it was at most [live.RecheckEvery] ago.
func (s *Sockets) check(ctx context.Context, c auth.Credential) (checked, error) {
	now := s.store.Now()
	s.mu.Lock()
	have, ok := s.known[c]
	s.mu.Unlock()
	if ok && now.Sub(have.at) < live.RecheckEvery {
		return have, nil
	}
	p, err := s.people.Auth.Check(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		delete(s.known, c)
		return checked{}, err
	}
	s.known[c] = checked{p, now}
	return s.known[c], nil
}

// open is every connection.
func (s *Sockets) open(ctx context.Context) ([]*connection, error) {
	items, err := s.store.Table().Query(ctx, table.Query{PK: socketsPK})
	if err != nil {
		return nil, fmt.Errorf("list the sockets: %w", err)
	}
	all := make([]*connection, 0, len(items))
	for i := range items {
		c := new(connection)
		if err := json.Unmarshal(items[i].Body, c); err != nil {
			return nil, fmt.Errorf("read socket %s: it is damaged: %w", items[i].SK, err)
		}
		all = append(all, c)
	}
	return all, nil
}

func (s *Sockets) load(ctx context.Context, id string) (*connection, error) {
	item, err := s.store.Table().Get(ctx, keyOf(id))
	if err != nil {
		return nil, err
	}
	c := new(connection)
	if err := json.Unmarshal(item.Body, c); err != nil {
		return nil, fmt.Errorf("read socket %s: it is damaged: %w", id, err)
	}
	return c, nil
}

func (s *Sockets) save(ctx context.Context, c *connection) error {
	body, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("remember socket %s: %w", c.ID, err)
	}
	item := table.Item{Key: keyOf(c.ID), Rev: 1, Body: body, Expires: c.OpenedAt.Add(connectionLife)}
	if err := s.store.Table().Write(ctx, table.Put(item, table.Any)); err != nil {
		return fmt.Errorf("remember socket %s: %w", c.ID, err)
	}
	return nil
}

func keyOf(id string) table.Key { return table.Key{PK: socketsPK, SK: id} }
