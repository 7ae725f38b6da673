package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"
)

// maxEvent bounds one message of the socket, in bytes: an entry is at most 100 KB in the table.
const maxEvent = 1 << 20

// ErrCursor says that the server does not take the cursor any more: read everything again and start without one.
var ErrCursor = errors.New("the cursor is not valid any more")

// Follow opens the socket with a ticket and hands every event to each until ctx ends, the connection breaks or each fails.
// cursor resumes behind an earlier event; events may repeat from 30 s before it, so each drops what it knows.
func (c *Client) Follow(ctx context.Context, ticket, cursor string, each func(*Event) error) error {
	at := *c.base
	at.Scheme = strings.Replace(at.Scheme, "http", "ws", 1)
	at.Path += "/socket"
	q := url.Values{"ticket": {ticket}}
	set(q, "cursor", cursor)
	at.RawQuery = q.Encode()
	follower := *c.http
	follower.Timeout = 0                                                                                   // a socket lives as long as it is followed
	conn, response, err := websocket.Dial(ctx, at.String(), &websocket.DialOptions{HTTPClient: &follower}) //nolint:bodyclose // Dial has read it
	if err != nil {
		if response != nil && response.StatusCode != http.StatusSwitchingProtocols && response.StatusCode < 500 {
			return &Problem{Doing: "follow", Status: response.StatusCode, Detail: fmt.Sprintf("the socket was refused with status %d", response.StatusCode)}
		}
		return &Unreachable{Server: c.Server(), Doing: "follow", Err: errors.New("the socket could not be opened")} // the address holds the ticket
	}
	defer func() { _ = conn.CloseNow() }() // whatever ended it, nothing more is wanted
	conn.SetReadLimit(maxEvent)
	for {
		_, body, err := conn.Read(ctx)
		if err != nil {
			if websocket.CloseStatus(err) == websocket.StatusPolicyViolation {
				return ErrCursor
			}
			return &Unreachable{Server: c.Server(), Doing: "follow", Err: err}
		}
		var e Event
		if err := json.Unmarshal(body, &e); err != nil {
			return fmt.Errorf("follow: the server sent what cannot be read: %w", err)
		}
		if err := each(&e); err != nil {
			return err
		}
	}
}
