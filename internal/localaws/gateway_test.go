package localaws

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// TestAConnectionThatIsDroppedIsGoneAndNobodyIsTold opens two connections; one is dropped, one is closed in order.
func TestAConnectionThatIsDroppedIsGoneAndNobodyIsTold(t *testing.T) {
	t.Parallel()
	told := make(chan [2]string, 10) // kind, connection
	g, err := openGateway(func(_ context.Context, _ string, event []byte) ([]byte, error) {
		var e struct {
			RequestContext struct{ EventType, ConnectionID string }
		}
		if err := json.Unmarshal(event, &e); err != nil {
			return nil, err
		}
		told <- [2]string{e.RequestContext.EventType, e.RequestContext.ConnectionID}
		return []byte(`{"statusCode":200}`), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.close() }) // the test is over
	open := func() (*websocket.Conn, string) {
		c, _, err := websocket.Dial(t.Context(), "ws://"+g.addr()+"/socket", nil)
		if err != nil {
			t.Fatal(err)
		}
		said := <-told
		if err := c.Write(t.Context(), websocket.MessageText, []byte("ready")); err != nil {
			t.Fatal(err)
		}
		if kind := <-told; said[0] != "CONNECT" || kind != [2]string{"MESSAGE", said[1]} {
			t.Fatalf("told of %q, %q", said, kind)
		}
		return c, said[1]
	}
	post := func(id string) int {
		response, err := http.Post("http://"+g.addr()+"/@connections/"+id, "", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		return statusOf(t, response)
	}
	first, dropped := open()
	second, closed := open()
	if got := post(dropped); got != http.StatusOK {
		t.Errorf("an open connection was answered %d", got)
	}
	g.drop(dropped)
	if got := post(dropped); got != http.StatusGone {
		t.Errorf("a dropped connection was answered %d", got)
	}
	if _, _, err := first.Read(t.Context()); err != nil {
		t.Errorf("what was sent before is lost: %v", err)
	}
	if _, _, err := first.Read(t.Context()); err == nil {
		t.Error("a dropped connection is still open")
	}
	if err := second.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	if said := <-told; said != [2]string{"DISCONNECT", closed} {
		t.Errorf("told of %q", said)
	}
	g.drop("never there")
}

func statusOf(t *testing.T, response *http.Response) int {
	t.Helper()
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}
