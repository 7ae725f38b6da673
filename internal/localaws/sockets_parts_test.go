//go:build parts

package localaws

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// socket is an open staff socket.
type socket struct {
	*websocket.Conn
	heard []string
}

// dial opens a socket with a fresh ticket, to go on from the cursor where there is one, and hears of its first ping.
func (d *desk) dial(t *testing.T, cursor string) *socket {
	t.Helper()
	status, ticket := d.ask(t, http.MethodPost, "/api/v1/socket-ticket", map[string]any{})
	address, _ := ticket["url"].(string)
	if status != http.StatusCreated || !strings.HasPrefix(address, d.SocketURL) {
		t.Fatalf("the ticket is %d %v", status, ticket)
	}
	if cursor != "" {
		address += "&cursor=" + url.QueryEscape(cursor)
	}
	c, _, err := websocket.Dial(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	if _, _, err := websocket.Dial(t.Context(), address, nil); err == nil {
		t.Error("a ticket opened two sockets")
	}
	s := &socket{Conn: c}
	if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	s.until(t, "the pong", func(said string) bool { return strings.Contains(said, "pong") })
	return s
}

// until reads until a message is the one.
func (s *socket) until(t *testing.T, what string, is func(said string) bool) string {
	t.Helper()
	within, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for {
		_, said, err := s.Read(within)
		if err != nil {
			t.Fatalf("the socket did not hear %s, but %q: %v", what, s.heard, err)
		}
		s.heard = append(s.heard, string(said))
		if is(string(said)) {
			return string(said)
		}
	}
}

func cursorOf(t *testing.T, said string) string {
	t.Helper()
	var m struct{ Cursor string }
	if err := json.Unmarshal([]byte(said), &m); err != nil || m.Cursor == "" {
		t.Fatalf("no cursor in %s: %v", said, err)
	}
	return m.Cursor
}

// connections are the items of open sockets.
func (d *desk) connections(t *testing.T) []table.Item {
	t.Helper()
	items, err := d.System.Table.Query(t.Context(), table.Query{PK: "W#sockets"})
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// age has a connection opened a minute ago: one that is younger than half of that may answer 410 because its handshake is not over.
func (d *desk) age(t *testing.T, item table.Item) {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(item.Body, &c); err != nil || c["opened_at"] == nil {
		t.Fatalf("a connection is %s, %v", item.Body, err)
	}
	c["opened_at"] = msg.TimeOf(time.Now().Add(-time.Minute))
	var err error
	if item.Body, err = json.Marshal(c); err != nil {
		t.Fatal(err)
	}
	if err := d.System.Table.Write(t.Context(), table.Put(item, table.Any)); err != nil {
		t.Fatal(err)
	}
}

// disconnects are the connections whose end the function was told of.
func (d *desk) disconnects(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, one := range d.calls.of("SocketFunction") {
		var e struct {
			RequestContext struct{ EventType, ConnectionID string }
		}
		if err := json.Unmarshal(one.event, &e); err != nil {
			t.Fatal(err)
		}
		if e.RequestContext.EventType == "DISCONNECT" {
			all = append(all, e.RequestContext.ConnectionID)
		}
	}
	return all
}

// TestFault65_AConnectionThatIsGoneIsForgottenAndItsClientMissesNothing has a connection end without a $disconnect, while two
// customers write.
func TestFault65_AConnectionThatIsGoneIsForgottenAndItsClientMissesNothing(t *testing.T) {
	d := open(t)
	sanni := fake.Person{Phone: "358401234569", Name: "Sanni"}
	eventually(t, "nobody else is connected", func() bool { return len(d.connections(t)) == 0 })
	first := d.dial(t, "")
	d.writes(t, sanni, "Entä nyt?", "wamid.socket.1")
	last := cursorOf(t, first.until(t, "the message", func(said string) bool { return strings.Contains(said, "Entä nyt?") }))
	open := d.connections(t)
	if len(open) != 1 {
		t.Fatalf("%d connections are stored", len(open))
	}
	id := open[0].SK
	d.age(t, open[0])
	d.sockets.drop(id)
	if _, _, err := first.Read(t.Context()); err == nil {
		t.Fatal("the connection is still open")
	}
	response, err := http.Post("http://"+d.sockets.addr()+"/@connections/"+id, "", strings.NewReader("{}")) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusGone {
		t.Errorf("a connection that is gone was answered %d", response.StatusCode)
	}
	if now := d.connections(t); len(now) != 1 || now[0].SK != id {
		t.Fatalf("the connection was forgotten before anything was sent to it: %v", now)
	}

	d.writes(t, sanni, "Vieläkö olette siellä?", "wamid.socket.2")
	d.writes(t, fake.Person{Phone: "358401234570", Name: "Topi"}, "Huomenta", "wamid.socket.3")
	eventually(t, "the connection is forgotten", func() bool { return len(d.connections(t)) == 0 })
	if slices.Contains(d.disconnects(t), id) {
		t.Error("the function was told of its end, so that nothing had to find out")
	}
	place, ok := live.Place(last)
	if !ok {
		t.Fatalf("%q is no cursor", last)
	}
	var missed []string // every cursor since
	eventually(t, "both messages would have been told of", func() bool {
		told, err := d.System.Store.Notifications(t.Context(), "support", place, 100)
		if err != nil {
			t.Fatal(err)
		}
		missed = nil
		for _, n := range told {
			missed = append(missed, live.Cursor(n.Cursor))
		}
		return len(missed) == 2
	})

	second := d.dial(t, last)
	for len(missed) > 0 {
		said := second.until(t, "all that it missed", func(said string) bool { return slices.Contains(missed, cursorOf(t, said)) })
		missed = slices.DeleteFunc(missed, func(cursor string) bool { return cursor == cursorOf(t, said) })
	}
	for _, text := range []string{"Vieläkö olette siellä?", "Huomenta"} {
		if n := strings.Count(strings.Join(second.heard, "\n"), `"text":"`+text+`"`); n != 1 {
			t.Errorf("%q was heard %d times: %q", text, n, second.heard)
		}
	}
	d.writes(t, sanni, "Kiitos", "wamid.socket.4")
	second.until(t, "what comes now", func(said string) bool { return strings.Contains(said, "Kiitos") })
	open = d.connections(t)
	if err := second.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	eventually(t, "a connection that was closed in order is forgotten", func() bool { return len(d.connections(t)) == 0 })
	eventually(t, "the function was told of its end", func() bool { return len(open) == 1 && slices.Contains(d.disconnects(t), open[0].SK) })
}
