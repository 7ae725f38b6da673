package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/live"
)

// SocketTicket implements POST /api/v1/socket-ticket.
func (h handlers) SocketTicket(ctx context.Context, _ SocketTicketRequestObject) (SocketTicketResponseObject, error) {
	secret, expires, err := h.Auth.Ticket(ctx, callOf(ctx).principal)
	if err != nil {
		return nil, err
	}
	return SocketTicket201JSONResponse{
		Ticket: secret, ExpiresAt: expires, Url: h.Config.SocketURL + "?ticket=" + url.QueryEscape(secret), Cursor: h.Live.Now(),
	}, nil
}

// Socket serves GET /socket?ticket=…[&cursor=…][&batch=yes].
func (a *API) Socket() http.Handler {
	return a.Live.Socket(a.openSocket, a.fail)
}

// openSocket says who opens a socket, and what they want. The ticket is used up whatever happens next, and is never logged.
func (a *API) openSocket(r *http.Request) (p auth.Principal, wants live.Opening, err error) {
	if r.Method != http.MethodGet {
		return p, wants, &fault.Error{Kind: fault.Invalid, Code: "method", Err: errors.New("a socket is opened by GET")}
	}
	if err := a.Auth.SameOriginSocket(r); err != nil {
		return p, wants, err
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return p, wants, fault.Field("query", "it is not a valid query string")
	}
	p, err = a.Auth.Redeem(r.Context(), query.Get("ticket"))
	if err != nil {
		if !a.clients.allow(a.Auth.Client(r)) {
			return p, wants, tooMany()
		}
		return p, wants, err
	}
	if !p.May(auth.ReadCases) {
		return p, wants, notAllowed(auth.ReadCases)
	}
	return p, live.OpeningOf(query), nil
}
