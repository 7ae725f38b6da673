package client

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Every method is one operation of openapi.yaml, which says what it does and what it may answer.

func get(doing, path string, q url.Values) request {
	return request{doing: doing, method: http.MethodGet, path: path, query: q}
}

func post(doing, path string, in any) request {
	return request{doing: doing, method: http.MethodPost, path: path, in: in}
}

func at(parts ...string) string {
	path := "/api/v1"
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}

// Health says whether the server is able to write.
func (c *Client) Health(ctx context.Context) (*Answer[struct {
	Status string `json:"status"`
}], error) {
	return call[struct {
		Status string `json:"status"`
	}](ctx, c, get("ask how the server is", "/healthz", nil))
}

// CaseQuery asks for a part of the work list.
type CaseQuery struct {
	State, Team, Agent, Channel, After string
	Limit                              int
}

// Cases reads a page of the work list.
func (c *Client) Cases(ctx context.Context, o CaseQuery) (*Answer[Page[Case]], error) {
	q := page(o.After, o.Limit)
	set(q, "state", o.State)
	set(q, "team", o.Team)
	set(q, "agent", o.Agent)
	set(q, "channel", o.Channel)
	return call[Page[Case]](ctx, c, get("read the work list", at("cases"), q))
}

// Case reads a case by ID or reference.
func (c *Client) Case(ctx context.Context, id string) (*Answer[Case], error) {
	return call[Case](ctx, c, get("read case "+id, at("cases", id), nil))
}

// ChangeCase changes a case.
func (c *Client) ChangeCase(ctx context.Context, id string, change CaseChange) (*Answer[Case], error) {
	return call[Case](ctx, c, request{doing: "change case " + id, method: http.MethodPatch, path: at("cases", id), in: change})
}

// Reply answers in a case; key, when set, makes a repetition harmless.
func (c *Client) Reply(ctx context.Context, id, key string, r Reply) (*Answer[timeline.Entry], error) {
	q := post("answer in case "+id, at("cases", id, "replies"), r)
	q.header = idempotent(key)
	return call[timeline.Entry](ctx, c, q)
}

// Note writes an internal note.
func (c *Client) Note(ctx context.Context, id, key, text string) (*Answer[timeline.Entry], error) {
	q := post("write a note in case "+id, at("cases", id, "notes"), map[string]string{"text": text})
	q.header = idempotent(key)
	return call[timeline.Entry](ctx, c, q)
}

func idempotent(key string) http.Header {
	if key == "" {
		return nil
	}
	return http.Header{"Idempotency-Key": {key}}
}

// FindCustomers finds customers by address.
func (c *Client) FindCustomers(ctx context.Context, address string) (*Answer[Page[Customer]], error) {
	return call[Page[Customer]](ctx, c, get("find "+address, at("customers"), url.Values{"address": {address}}))
}

// Customer reads one person.
func (c *Client) Customer(ctx context.Context, id string) (*Answer[Customer], error) {
	return call[Customer](ctx, c, get("read customer "+id, at("customers", id), nil))
}

// Timeline reads a page of a person's timeline: before leads into the past, after towards now, neither is the newest page.
func (c *Client) Timeline(ctx context.Context, customer, before, after string, limit int) (*Answer[Timeline], error) {
	q := page(after, limit)
	set(q, "before", before)
	return call[Timeline](ctx, c, get("read the timeline of customer "+customer, at("customers", customer, "timeline"), q))
}

// Export gives everything that is kept of a person.
func (c *Client) Export(ctx context.Context, customer string) ([]byte, error) {
	return c.do(ctx, get("export customer "+customer, at("customers", customer, "export"), nil))
}

// Erase erases a person.
func (c *Client) Erase(ctx context.Context, customer string) (*Answer[Erasure], error) {
	return call[Erasure](ctx, c, request{doing: "erase customer " + customer, method: http.MethodDelete, path: at("customers", customer)})
}

// Merge makes two customers one person.
func (c *Client) Merge(ctx context.Context, a, b string) (*Answer[Merge], error) {
	return call[Merge](ctx, c, post("merge customers "+a+" and "+b, at("merges"), map[string][]string{"customers": {a, b}}))
}

// Unmerge takes a merge back.
func (c *Client) Unmerge(ctx context.Context, id string) error {
	_, err := c.do(ctx, request{doing: "take back merge " + id, method: http.MethodDelete, path: at("merges", id)})
	return err
}

// Channels lists what can be connected.
func (c *Client) Channels(ctx context.Context) (*Answer[Page[Channel]], error) {
	return call[Page[Channel]](ctx, c, get("list channels", at("channels"), nil))
}

// Accounts lists what is connected.
func (c *Client) Accounts(ctx context.Context) (*Answer[Page[Account]], error) {
	return call[Page[Account]](ctx, c, get("list accounts", at("accounts"), nil))
}

// Account reads one account.
func (c *Client) Account(ctx context.Context, channel, account string) (*Answer[Account], error) {
	return call[Account](ctx, c, get("read account "+channel+"/"+account, at("accounts", channel, account), nil))
}

// PutAccount connects or changes an account.
func (c *Client) PutAccount(ctx context.Context, channel, account string, change AccountChange) (*Answer[Account], error) {
	return call[Account](ctx, c, request{
		doing: "connect account " + channel + "/" + account, method: http.MethodPut, path: at("accounts", channel, account), in: change,
	})
}

// DeleteAccount disconnects an account.
func (c *Client) DeleteAccount(ctx context.Context, channel, account string) error {
	_, err := c.do(ctx, request{doing: "disconnect account " + channel + "/" + account, method: http.MethodDelete, path: at("accounts", channel, account)})
	return err
}

// Users lists colleagues.
func (c *Client) Users(ctx context.Context, after string, limit int) (*Answer[Page[User]], error) {
	return call[Page[User]](ctx, c, get("list users", at("users"), page(after, limit)))
}

// Invite makes a link by which one person becomes a user.
func (c *Client) Invite(ctx context.Context, i Invitation) (*Answer[Invited], error) {
	return call[Invited](ctx, c, post("invite "+i.User, at("invitations"), i))
}

// Tokens lists API tokens.
func (c *Client) Tokens(ctx context.Context, after string, limit int) (*Answer[Page[Token]], error) {
	return call[Page[Token]](ctx, c, get("list tokens", at("tokens"), page(after, limit)))
}

// CreateToken makes an API token.
func (c *Client) CreateToken(ctx context.Context, t Token) (*Answer[TokenMade], error) {
	return call[TokenMade](ctx, c, post("make a token", at("tokens"), t))
}

// RevokeToken ends a token.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	_, err := c.do(ctx, request{doing: "revoke token " + id, method: http.MethodDelete, path: at("tokens", id)})
	return err
}

// Quarantine lists what was not understood; all lists what was replayed since as well.
func (c *Client) Quarantine(ctx context.Context, all bool, after string, limit int) (*Answer[Page[Quarantined]], error) {
	q := page(after, limit)
	if all {
		q.Set("replayed", "true")
	}
	return call[Page[Quarantined]](ctx, c, get("read the quarantine", at("quarantine"), q))
}

// Quarantined reads one quarantined input, raw form included.
func (c *Client) Quarantined(ctx context.Context, id string) (*Answer[Quarantined], error) {
	return call[Quarantined](ctx, c, get("read quarantined input "+id, at("quarantine", id), nil))
}

// Replay hands a quarantined input to the pipeline again.
func (c *Client) Replay(ctx context.Context, id string) error {
	_, err := c.do(ctx, post("replay "+id, at("quarantine", id, "replay"), nil))
	return err
}

// ReplayReact makes up for effects of changes since a time that did not happen.
func (c *Client) ReplayReact(ctx context.Context, since time.Time) (*Answer[struct {
	Changes int `json:"changes"`
}], error) {
	return call[struct {
		Changes int `json:"changes"`
	}](ctx, c, post("repeat what follows from changes", at("react"), map[string]msg.Time{"since": msg.TimeOf(since)}))
}

// Queues says what waits.
func (c *Client) Queues(ctx context.Context) (*Answer[Page[Queue]], error) {
	return call[Page[Queue]](ctx, c, get("read the queues", at("queues"), nil))
}

// Redrive brings dead letters of a queue back.
func (c *Client) Redrive(ctx context.Context, queue string) (*Answer[Redriven], error) {
	return call[Redriven](ctx, c, post("redrive queue "+queue, at("queues", queue, "redrive"), nil))
}

// Reconciliation says where everything went.
func (c *Client) Reconciliation(ctx context.Context) (*Answer[Reconciliation], error) {
	return call[Reconciliation](ctx, c, get("reconcile", at("reconciliation"), nil))
}

// Ticket makes a ticket for the socket.
func (c *Client) Ticket(ctx context.Context) (*Answer[Ticket], error) {
	return call[Ticket](ctx, c, post("ask for a socket ticket", at("socket-ticket"), nil))
}

// Accept uses up an invitation: its user has this password from then on.
func (c *Client) Accept(ctx context.Context, token, name, password string) error {
	in := map[string]string{"token": token, "password": password}
	if name != "" {
		in["name"] = name
	}
	_, err := c.do(ctx, post("accept the invitation", at("accept-invitation"), in))
	return err
}

// SignIn starts a session: what is asked from then on, this user asks.
func (c *Client) SignIn(ctx context.Context, user, password string) error {
	_, err := c.do(ctx, post("sign in as "+user, at("sessions"), map[string]string{"user": user, "password": password}))
	return err
}

// SignOut ends the session.
func (c *Client) SignOut(ctx context.Context) error {
	_, err := c.do(ctx, request{doing: "sign out", method: http.MethodDelete, path: at("sessions", "current")})
	return err
}

// WhoAmI says who is signed in.
func (c *Client) WhoAmI(ctx context.Context) (*Answer[Principal], error) {
	return call[Principal](ctx, c, get("ask who is signed in", at("sessions", "current"), nil))
}

// CreateUser makes a user with a password.
func (c *Client) CreateUser(ctx context.Context, u User, password string) error {
	in := map[string]any{"id": u.ID, "name": u.Name, "roles": u.Roles, "teams": u.Teams, "password": password}
	_, err := c.do(ctx, post("make user "+u.ID, at("users"), in))
	return err
}
