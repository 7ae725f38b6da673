package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// maxEvent bounds one message of the socket, in bytes: an entry is at most 100 KB in the table.
const maxEvent = 1 << 20

// ErrCursor says that the server does not take the cursor any more: read everything again and start without one.
var ErrCursor = errors.New("the cursor is not valid any more")

// pingEvery keeps a socket open that lies behind API Gateway, which closes one that is silent for ten minutes ("Amazon API
// Gateway quotas and important notes", read on 2026-11-22).
const pingEvery = 5 * time.Minute

// Follow opens the socket with a ticket and hands every event to each, one after the other, until ctx ends, the connection
// breaks or each fails. cursor resumes behind an earlier event; events may repeat from 30 s before it, so each drops what it
// knows.
func (c *Client) Follow(ctx context.Context, ticket *Ticket, cursor string, each func(*Event) error) error {
	at, err := c.SocketAt(ticket, cursor)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	follower := *c.http
	follower.Timeout = 0                                                                          // a socket lives as long as it is followed
	conn, response, err := websocket.Dial(ctx, at, &websocket.DialOptions{HTTPClient: &follower}) //nolint:bodyclose // Dial has read it
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols && response.StatusCode < 500 {
			return &Problem{Doing: "follow", Status: response.StatusCode, Detail: fmt.Sprintf("the socket was refused with status %d", response.StatusCode)}
		}
		return &Unreachable{Server: c.Server(), Doing: "follow", Err: errors.New("the socket could not be opened")} // the address holds the ticket
	}
	defer func() { _ = conn.CloseNow() }() // whatever ended it, nothing more is wanted
	conn.SetReadLimit(maxEvent)
	go ping(ctx, conn)
	for {
		_, body, err := conn.Read(ctx)
		if err != nil {
			if websocket.CloseStatus(err) == websocket.StatusPolicyViolation {
				return ErrCursor
			}
			return &Unreachable{Server: c.Server(), Doing: "follow", Err: err}
		}
		events, err := eventsOf(body)
		if err != nil {
			return fmt.Errorf("follow: the server sent what cannot be read: %w", err)
		}
		for i := range events {
			if events[i].Type == "pong" {
				continue
			}
			if err := each(&events[i]); err != nil {
				return err
			}
		}
	}
}

// eventsOf reads a frame: one event, or several in an array, which the client has said it takes.
func eventsOf(frame []byte) ([]Event, error) {
	if bytes.HasPrefix(frame, []byte("[")) {
		var all []Event
		err := json.Unmarshal(frame, &all)
		return all, err
	}
	one := make([]Event, 1)
	err := json.Unmarshal(frame, &one[0])
	return one, err
}

// SocketAt is where the socket is opened: where the ticket says, which on AWS is a name of its own, else below the server. The
// address holds the ticket: it belongs into no message.
func (c *Client) SocketAt(ticket *Ticket, cursor string) (string, error) {
	at, err := url.Parse(ticket.URL)
	if err != nil {
		return "", errors.New("follow: the server named no address for the socket") // not the error: it holds the ticket
	}
	if !at.IsAbs() {
		path := at.Path
		at = new(*c.base)
		at.Scheme, at.Path = strings.Replace(at.Scheme, "http", "ws", 1), at.Path+path
	}
	if at.Scheme != "wss" && (at.Scheme != "ws" || c.base.Scheme == "https") {
		return "", fmt.Errorf("follow: %s would have the socket opened by %s, and its ticket travel in the clear", c.Server(), at.Scheme)
	}
	q := url.Values{"ticket": {ticket.Ticket}, "batch": {"yes"}}
	set(q, "cursor", cursor)
	at.RawQuery = q.Encode()
	return at.String(), nil
}

// ping says something at once and every now and then. The first word is what a gateway answers with what was missed: nothing
// can be sent through it while the socket opens.
func ping(ctx context.Context, conn *websocket.Conn) {
	every := time.NewTicker(pingEvery)
	defer every.Stop()
	for {
		if err := conn.Write(ctx, websocket.MessageText, []byte(`{"type":"ping"}`)); err != nil {
			return // whoever reads hears of it
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}
