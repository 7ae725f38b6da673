package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aikajana/aikajana/internal/client"
)

// socket opens the staff socket twice: without a ticket, which must be refused, and with the one that told where it is.
func (e *examination) socket(ctx context.Context) {
	ticket, err := e.desk.Ticket(ctx)
	var refused *client.Problem
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusForbidden:
		e.find("socket", e.base.Host, Unknown, short(err), "give a token that may read cases (an agent's or more)")
		return
	case err != nil:
		e.find("socket", e.base.Host, Problem, short(err), "see that /api/ reaches the function or process that serves it, and that the token is right")
		return
	}
	at, err := e.desk.SocketAt(&ticket.Value, "")
	if err != nil {
		e.find("socket", e.base.Host, Problem, short(err), "on AWS see AIKAJANA_SOCKET_URL of the Api function: it must be the wss:// address of the WebSocket API")
		return
	}
	at = strings.Replace(at, "ws", "http", 1) // both begin as HTTP (RFC 6455 section 4.1)
	where, _, _ := strings.Cut(at, "?")       // without the ticket, which nobody is to read here
	subject := where
	if u, err := url.Parse(where); err == nil {
		subject = u.Host + u.Path
		if e.region == "" { // sockets keep API Gateway's name where the rest has one of its own
			e.region = region(u.Hostname())
		}
	}
	switch answer, err := e.ask(ctx, http.MethodGet, where, upgrade()); {
	case err != nil:
		e.find("socket", subject, Problem, short(err), "agents hear of nothing: see that this address can be reached from outside")
		return
	case answer.status == http.StatusSwitchingProtocols:
		e.find("socket", subject, Problem, "it opens for a stranger without a ticket", "whatever answers there must be taken down: see which program it is")
	case !turnedAway(answer):
		e.find("socket", subject, Problem, said(answer)+" to a stranger without a ticket, instead of 401", missing)
	default:
		e.find("socket", subject, OK, "a connection without a ticket is refused", "")
	}
	switch answer, err := e.ask(ctx, http.MethodGet, at, upgrade()); {
	case err != nil:
		e.find("socket", subject, Problem, short(err), "agents hear of nothing: see that this address can be reached from outside")
	case answer.status != http.StatusSwitchingProtocols:
		e.find("socket", subject, Problem, said(answer)+fmt.Sprintf(" to a fresh ticket, instead of %d", http.StatusSwitchingProtocols), missing)
	default:
		e.find("socket", subject, OK, "it opens with a ticket", "")
	}
}

const missing = "agents hear of nothing: see that the socket's address reaches the function or process that serves it, and that a proxy in between lets " +
	"\"Upgrade: websocket\" through"

// upgrade asks for a socket (RFC 6455 section 4.1; the key is that of its example).
func upgrade() http.Header {
	return http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
}

// turnedAway says that the answer is a refusal of whoever asked.
func turnedAway(answer *reply) bool {
	return answer.status == http.StatusUnauthorized || answer.status == http.StatusForbidden
}
