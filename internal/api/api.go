// Package api is the HTTP API of the desk, as openapi.yaml writes it down: the routes of CONTRACT for people and programs,
// and the staff socket.
//
// A request goes through the same steps whatever the route: find the operation; who is asking (package auth); may they do
// such a thing at all (the operation's x-action); how often; does the request match the document; and only then the handler,
// which decides whether it is theirs to see. What is not theirs looks missing.
//
// openapi.gen.go is made from openapi.yaml and never edited.
package api

//go:generate go run github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2 -config oapi-codegen.yaml openapi.yaml

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Route is a way to reach the customer of a case.
type Route struct {
	Channel, Account string
	To               msg.Address
	// MessageID is the Message-ID for a mail that goes this way, empty elsewhere.
	MessageID string
	Info      channel.Info
}

// Pipeline is what the API asks of the path of messages.
type Pipeline interface {
	// Route finds the way for an answer: by the channel and account asked for, else where the customer last wrote (last, may
	// be nil), else by a fallback. fault.Invalid names the field that cannot be.
	Route(ctx context.Context, c *timeline.Case, last *timeline.Entry, channel, account string) (*Route, error)
	// Promise is the service level that applies to a case.
	Promise(ctx context.Context, c *timeline.Case) (timeline.Promise, error)
	// Replay hands a quarantined input to the pipeline again.
	Replay(ctx context.Context, id string) error
	// ReplayReact makes up for effects of changes since a time that did not happen, and says over how many changes it went.
	ReplayReact(ctx context.Context, since msg.Time) (int, error)
	// Raw gives a quarantined input as it came.
	Raw(ctx context.Context, q *store.Quarantined) ([]byte, error)
	// Erase erases a person: table, files, and the ledger of erasures.
	Erase(ctx context.Context, customer, by string) (*store.Erasure, error)
	// Reconcile balances the ledgers of every account, sorted by channel and account.
	Reconcile(ctx context.Context) ([]Ledger, error)
	// ForgetAccounts makes the pipeline read the accounts anew.
	ForgetAccounts()
}

// Deps is everything that the API reaches outside itself. All but Log must be given.
type Deps struct {
	Store    *store.Store
	Auth     *auth.Service
	Channels *channel.Registry
	// CommonSettings are the settings that every account may have beside its channel's own.
	CommonSettings []channel.Setting
	Secrets        secret.Store
	Blobs          blob.Store
	Pipeline       Pipeline
	// Queues are inbound, mail, media and wake.
	Queues map[string]queue.Queue
	// Healthy says whether the store takes writes.
	Healthy func(context.Context) error
	// Live is what the socket tells.
	Live   *live.Events
	Log    *slog.Logger
	Config Config
}

// Config are the settings of a deployment that the API needs.
type Config struct {
	// BaseURL is where the outside reaches this deployment, without a slash at the end.
	BaseURL string
	// SocketURL is where sockets are opened, when that is not /socket below BaseURL: on AWS, where they have a name of their own.
	SocketURL string
	// Team is who gets cases of accounts that name no team, and users that are made without one.
	Team string
	// Limits bound how often one may ask; zero values mean DefaultLimits.
	Limits Limits
}

// API serves openapi.yaml. It is safe for concurrent use. Its only state is the rate limits of this process.
type API struct {
	Deps
	document func() (*document, error)
	serve    func() (http.Handler, error)
	people   *limiter // by principal
	clients  *limiter // by client address, for whoever is not signed in
}

// New makes the API. Reading the document takes 10 to 20 ms and waits until the first request, or [API.Warm].
func New(d Deps) (*API, error) {
	switch {
	case d.Store == nil, d.Auth == nil, d.Channels == nil, d.Secrets == nil, d.Blobs == nil, d.Pipeline == nil:
		return nil, errors.New("start api: store, auth, channels, secrets, blobs and pipeline must be given")
	case d.Healthy == nil, d.Live == nil:
		return nil, errors.New("start api: events and health check must be given")
	}
	if d.Log == nil {
		d.Log = slog.Default()
	}
	if d.Config.Team == "" {
		d.Config.Team = "support"
	}
	if d.Config.SocketURL == "" {
		d.Config.SocketURL = "/socket"
	}
	d.Config.Limits = d.Config.Limits.orDefault()
	a := &API{Deps: d}
	a.people = newLimiter(d.Config.Limits.PerPrincipal, d.Config.Limits.PrincipalBurst, d.Store.Now)
	a.clients = newLimiter(d.Config.Limits.PerClient, d.Config.Limits.ClientBurst, d.Store.Now)
	a.document = sync.OnceValues(readDocument)
	a.serve = sync.OnceValues(a.routes)
	return a, nil
}

// Warm reads the document now, so that the first request need not wait.
func (a *API) Warm() error {
	_, err := a.serve()
	return err
}

// ServeHTTP serves /api/v1/… and /healthz.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, err := a.serve()
	if err != nil {
		a.fail(w, r, err)
		return
	}
	h.ServeHTTP(w, r)
}

// routes puts the steps before every operation of the document.
func (a *API) routes() (http.Handler, error) {
	doc, err := a.document()
	if err != nil {
		return nil, err
	}
	operations := http.NewServeMux()
	HandlerWithOptions(NewStrictHandlerWithOptions(handlers{a}, nil, StrictHTTPServerOptions{
		RequestErrorHandlerFunc:  a.badRequest,
		ResponseErrorHandlerFunc: a.fail,
	}), StdHTTPServerOptions{BaseRouter: operations, ErrorHandlerFunc: a.badRequest})

	mux := http.NewServeMux()
	for _, op := range doc.operations {
		mux.Handle(op.method+" "+op.path, a.gate(op, operations))
	}
	return &notFound{mux: mux, api: a}, nil
}

// gate is everything that happens before an operation's handler.
func (a *API) gate(op *operation, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secureHeaders(w.Header())
		call := &call{request: r, operation: op, client: a.Auth.Client(r)}
		if err := a.admit(call); err != nil {
			a.fail(w, r, err)
			return
		}
		r, err := op.validate(r)
		if err != nil {
			a.fail(w, r, err)
			return
		}
		call.request = r
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, call)))
	})
}

// admit says who is asking and whether they may, in that order, so that a stranger learns nothing of what a request should
// look like.
func (a *API) admit(c *call) error {
	if c.operation.public {
		if !a.clients.allow(c.client) {
			return tooMany()
		}
		return a.Auth.SameOrigin(c.request)
	}
	p, err := a.Auth.Authenticate(c.request)
	if err != nil {
		if !a.clients.allow(c.client) {
			return tooMany()
		}
		return err
	}
	c.principal = p
	if !a.people.allow(p.ID) {
		return tooMany()
	}
	if c.operation.action == actionSession || p.May(c.operation.action) {
		return nil
	}
	if c.operation.named {
		return nothingHere()
	}
	return notAllowed(c.operation.action)
}

// secureHeaders keep what is answered out of caches, frames and other pages.
func secureHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// call is one request on its way through.
type call struct {
	request   *http.Request
	operation *operation
	client    string
	principal auth.Principal
}

type callKey struct{}

// callOf is the request that ctx belongs to. Every handler runs behind gate.
func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	if c == nil {
		c = &call{}
	}
	return c
}

// notFound answers what no operation is for: 405 where the path is one, 404 elsewhere.
type notFound struct {
	mux *http.ServeMux
	api *API
}

// methods that operations have.
var methods = [...]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

func (n *notFound) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := n.mux.Handler(r); pattern != "" {
		n.mux.ServeHTTP(w, r)
		return
	}
	secureHeaders(w.Header())
	for _, method := range methods {
		try := r.Clone(r.Context())
		try.Method = method
		if _, pattern := n.mux.Handler(try); pattern != "" {
			w.Header().Add("Allow", method)
		}
	}
	if w.Header().Get("Allow") != "" {
		writeProblem(w, Problem{Status: http.StatusMethodNotAllowed, Code: "method", Detail: "the route is there, but not for this method"})
		return
	}
	writeProblem(w, Problem{Status: http.StatusNotFound, Code: "missing", Detail: "there is no such route"})
}

// handlers are the operations of the document; each is in the file of its subject.
type handlers struct{ *API }

var _ StrictServerInterface = handlers{}
