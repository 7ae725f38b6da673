package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/coder/websocket"

	"github.com/aikajana/aikajana/internal/client"
)

func dial(t *testing.T, h http.HandlerFunc) *client.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := client.New(client.Options{Server: server.URL + "/", Token: "t0ken"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRefusalsSayWhatToDoNext(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		400: "read case X: limit: too large", 401: "AIKAJANA_TOKEN", 403: "administrator", 404: "not found; check the spelling", 409: "read case X: limit: too large",
		429: "try again in a while", 500: "read case X: limit: too large", 503: "try again in a while",
	} {
		c := dial(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"type":"about:blank","title":"T","status":999,"code":"c","field":"limit","detail":"limit: too large"}`)
		})
		_, err := c.Case(t.Context(), "X")
		var p *client.Problem
		if !errors.As(err, &p) || p.Status != status || p.Field != "limit" || !strings.Contains(err.Error(), want) {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestAnswersOfSomethingElseAreToldFromAnswersOfADesk(t *testing.T) {
	t.Parallel()
	for status, body := range map[int]string{200: "<html>Welcome</html>", 502: "<html>Bad gateway</html>", 302: ""} {
		c := dial(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		if _, err := c.Cases(t.Context(), client.CaseQuery{}); err == nil || !strings.Contains(err.Error(), "is it an Aikajana server") {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

func TestTheTokenFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	c := dial(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
	})
	if _, err := c.Users(t.Context(), "", 0); err == nil {
		t.Error("a redirect was taken for an answer")
	}
	if asked.Load() != 0 {
		t.Error("somebody else was asked")
	}
}

func TestNobodyListeningIsUnreachableAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	c, err := client.New(client.Options{Server: "http://127.0.0.1:1", Token: "t0ken"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Health(t.Context())
	var away *client.Unreachable
	if !errors.As(err, &away) || !strings.Contains(err.Error(), `start it with "aikajana serve"`) {
		t.Errorf("%v", err)
	}
	if strings.Contains(err.Error(), "t0ken") {
		t.Errorf("the error tells the token: %v", err)
	}
}

func TestIDsCannotLeaveTheirPlaceInThePath(t *testing.T) {
	t.Parallel()
	var path atomic.Pointer[string]
	c := dial(t, func(w http.ResponseWriter, r *http.Request) {
		got := r.URL.EscapedPath()
		path.Store(&got)
		_, _ = io.WriteString(w, "{}")
	})
	if _, err := c.Case(t.Context(), "../users?x=1#y"); err != nil {
		t.Fatal(err)
	}
	if got := *path.Load(); got != "/api/v1/cases/..%2Fusers%3Fx=1%23y" {
		t.Errorf("it asked for %s", got)
	}
}

func TestWrongAddressesOfServersAreRefused(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"desk.example", "ftp://desk.example", "https://", "https://user:pass@desk.example", "https://desk.example/?q=1", "::"} {
		if _, err := client.New(client.Options{Server: server}); err == nil {
			t.Errorf("%q was taken", server)
		}
	}
	if c, err := client.New(client.Options{}); err != nil || c.Server() != client.DefaultServer {
		t.Errorf("without an address: %v, %v", c, err)
	}
}

func TestFollowHandsEventsOverAndSaysHowTheSocketEnded(t *testing.T) {
	t.Parallel()
	for code, want := range map[websocket.StatusCode]func(error) bool{
		websocket.StatusPolicyViolation: func(err error) bool { return errors.Is(err, client.ErrCursor) },
		websocket.StatusGoingAway:       func(err error) bool { var away *client.Unreachable; return errors.As(err, &away) },
	} {
		c := dial(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("ticket") != "secret" || r.URL.Query().Get("cursor") != "c1" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			conn, err := websocket.Accept(w, r, nil)
			if err != nil {
				return
			}
			_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"cursor":"c2","type":"entry","customer":"a","entry":{"entry":"e1"}}`))
			if r.URL.Query().Get("batch") == "yes" {
				_ = conn.Write(r.Context(), websocket.MessageText, []byte(`[{"cursor":"c3","type":"entry","entry":{"entry":"e2"}},{"type":"pong"},{"cursor":"c4","type":"entry","entry":{"entry":"e3"}}]`))
			}
			_ = conn.Close(code, "")
		})
		var got []string
		each := func(e *client.Event) error { got = append(got, e.Cursor+" "+e.Entry.Entry); return nil }
		if err := c.Follow(t.Context(), &client.Ticket{Ticket: "secret", URL: "/socket?ticket=secret"}, "c1", each); !want(err) {
			t.Errorf("closed with %d: %v", code, err)
		}
		if want := []string{"c2 e1", "c3 e2", "c4 e3"}; !slices.Equal(got, want) {
			t.Errorf("events: %q, want %q", got, want)
		}
		err := c.Follow(context.Background(), &client.Ticket{Ticket: "wrong", URL: "/socket?ticket=wrong"}, "c1", each)
		var p *client.Problem
		if !errors.As(err, &p) || strings.Contains(err.Error(), "wrong") {
			t.Errorf("a ticket that is refused: %v", err)
		}
	}
}

// TestFollowSpeaksFirstWhereTheTicketSaysTheSocketIs plays API Gateway: the socket has a name of its own, and nothing is sent
// before the client has spoken.
func TestFollowSpeaksFirstWhereTheTicketSaysTheSocketIs(t *testing.T) {
	t.Parallel()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/live" || r.URL.Query().Get("ticket") != "secret" || r.URL.Query().Get("cursor") != "c1" || r.Header.Get("Authorization") != "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		_, said, err := conn.Read(r.Context())
		if err != nil || string(said) != `{"type":"ping"}` {
			t.Errorf("it said %q, %v", said, err)
		}
		for _, event := range []string{`{"type":"pong"}`, `{"cursor":"c2","type":"entry"}`} {
			_ = conn.Write(r.Context(), websocket.MessageText, []byte(event))
		}
		_ = conn.Close(websocket.StatusGoingAway, "")
	}))
	t.Cleanup(gateway.Close)
	c := dial(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	var got []string
	err := c.Follow(t.Context(), &client.Ticket{Ticket: "secret", URL: strings.Replace(gateway.URL, "http", "ws", 1) + "/live?ticket=secret"}, "c1",
		func(e *client.Event) error { got = append(got, e.Type+" "+e.Cursor); return nil })
	var away *client.Unreachable
	if !errors.As(err, &away) || len(got) != 1 || got[0] != "entry c2" {
		t.Errorf("events %q, then %v", got, err)
	}
}

func TestTicketTravelsOnlyWhereItIsSafe(t *testing.T) {
	t.Parallel()
	c, err := client.New(client.Options{Server: "https://desk.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"ws://desk.example/socket", "http://evil.example/", "ftp://x", "::"} {
		err := c.Follow(t.Context(), &client.Ticket{Ticket: "secret", URL: at}, "", func(*client.Event) error { return nil })
		if err == nil || strings.Contains(err.Error(), "secret") || !strings.HasPrefix(err.Error(), "follow: ") || errors.As(err, new(*client.Unreachable)) {
			t.Errorf("%s: %v", at, err)
		}
	}
}
