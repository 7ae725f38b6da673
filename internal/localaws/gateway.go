package localaws

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// gateway plays a WebSocket API and its management API, strictly: what was never open, or is not any more, is 410.
type gateway struct {
	invoke   func(ctx context.Context, function string, event []byte) ([]byte, error)
	listener net.Listener
	server   *http.Server

	mu   sync.Mutex
	open map[string]*websocket.Conn
}

// OpenWebSocketAPI plays a WebSocket API and its management API for whoever plays Lambda as well: invoke is called with the events of
// connections, function is "SocketFunction". Sockets are opened at ws://addr/socket, the management API is at http://addr.
func OpenWebSocketAPI(invoke func(ctx context.Context, function string, event []byte) ([]byte, error)) (addr string, stop func() error, err error) {
	g, err := openGateway(invoke)
	if err != nil {
		return "", nil, err
	}
	return g.addr(), g.close, nil
}

func openGateway(invoke func(context.Context, string, []byte) ([]byte, error)) (*gateway, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the WebSocket API: %w", err)
	}
	g := &gateway{invoke: invoke, listener: l, open: map[string]*websocket.Conn{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /socket", g.connect)
	mux.HandleFunc("POST /@connections/{id}", g.post)
	mux.HandleFunc("DELETE /@connections/{id}", g.hangUp)
	g.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = g.server.Serve(l) }() // it ends when it is closed
	return g, nil
}

func (g *gateway) addr() string { return g.listener.Addr().String() }

func (g *gateway) close() error {
	g.mu.Lock()
	for _, c := range g.open {
		_ = c.CloseNow() // the other side may be gone
	}
	g.mu.Unlock()
	return g.server.Close()
}

// event is what API Gateway tells of a connection.
func event(kind, route, id string, r *http.Request, body string) ([]byte, error) {
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = "127.0.0.1"
	}
	e := map[string]any{
		"requestContext": map[string]any{
			"routeKey": route, "eventType": kind, "connectionId": id, "stage": "live", "apiId": "local", "domainName": r.Host, "messageDirection": "IN",
			"identity": map[string]string{"sourceIp": client, "userAgent": r.UserAgent()},
		},
		"body": body, "isBase64Encoded": false,
	}
	if kind == "CONNECT" {
		query := map[string]string{}
		for name := range r.URL.Query() {
			query[name] = r.URL.Query().Get(name)
		}
		headers := map[string]string{}
		for name, values := range r.Header {
			headers[name] = strings.Join(values, ",")
		}
		e["queryStringParameters"], e["headers"] = query, headers
	}
	return json.Marshal(e)
}

func (g *gateway) call(ctx context.Context, kind, route, id string, r *http.Request, body string) (int, error) {
	e, err := event(kind, route, id, r, body)
	if err != nil {
		return 0, err
	}
	answer, err := g.invoke(ctx, "SocketFunction", e)
	if err != nil {
		return 0, err
	}
	var out struct {
		StatusCode int `json:"statusCode"`
	}
	err = json.Unmarshal(answer, &out)
	return out.StatusCode, err
}

func (g *gateway) connect(w http.ResponseWriter, r *http.Request) {
	id := rand.Text()
	status, err := g.call(r.Context(), "CONNECT", "$connect", id, r, "")
	if err != nil {
		status = http.StatusBadGateway
	}
	if status != http.StatusOK {
		http.Error(w, http.StatusText(status), status)
		return
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // the function has checked the origin
	if err != nil {
		return // Accept has answered
	}
	g.mu.Lock()
	g.open[id] = c
	g.mu.Unlock()
	ctx := context.WithoutCancel(r.Context())
	for {
		kind, frame, err := c.Read(ctx)
		if err != nil {
			break
		}
		if kind == websocket.MessageText {
			_, _ = g.call(ctx, "MESSAGE", "$default", id, r, string(frame)) // a frame that fails closes nothing
		}
	}
	g.mu.Lock()
	_, tell := g.open[id]
	delete(g.open, id)
	g.mu.Unlock()
	if tell {
		_, _ = g.call(ctx, "DISCONNECT", "$disconnect", id, r, "") // at best effort, as with AWS
	}
}

// drop ends a connection without a $disconnect, which API Gateway promises at best effort only ("Manage connected users and client
// apps: $connect and $disconnect routes" in the API Gateway Developer Guide, read on 2026-11-30).
func (g *gateway) drop(id string) {
	g.mu.Lock()
	c := g.open[id]
	delete(g.open, id)
	g.mu.Unlock()
	if c != nil {
		_ = c.CloseNow() // the other side may be gone
	}
}

func (g *gateway) connection(w http.ResponseWriter, r *http.Request) *websocket.Conn {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.open[r.PathValue("id")]
	if c == nil {
		w.Header().Set("X-Amzn-ErrorType", "GoneException")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusGone)
		_, _ = io.WriteString(w, "{}") // the caller may have gone
	}
	return c
}

func (g *gateway) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 128<<10))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		w.Header().Set("X-Amzn-ErrorType", "PayloadTooLargeException")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	c := g.connection(w, r)
	if c == nil {
		return
	}
	if err == nil {
		err = c.Write(r.Context(), websocket.MessageText, body)
	}
	if err != nil {
		w.Header().Set("X-Amzn-ErrorType", "GoneException")
		w.WriteHeader(http.StatusGone)
	}
}

func (g *gateway) hangUp(w http.ResponseWriter, r *http.Request) {
	if c := g.connection(w, r); c != nil {
		_ = c.Close(websocket.StatusGoingAway, "Going away") // the other side may be gone
		w.WriteHeader(http.StatusNoContent)
	}
}
