package awslambda

import (
	"context"
	"encoding/base64"
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// heard is a Sockets that remembers what it was told.
type heard struct {
	connection string
	request    *http.Request
	frame      []byte
	closed     bool
}

func (h *heard) Connect(_ context.Context, id string, r *http.Request) int {
	h.connection, h.request = id, r
	return http.StatusUnauthorized
}

func (h *heard) Message(_ context.Context, id string, frame []byte) error {
	h.connection, h.frame = id, frame
	return nil
}

func (h *heard) Disconnect(_ context.Context, id string) error {
	h.connection, h.closed = id, true
	return nil
}

const connectionID = "BqVvXcC1IAMCKtA="

func TestConnectHandsOverTheHandshakeAndItsStatusDecides(t *testing.T) {
	t.Parallel()
	h := &heard{}
	response, err := WebSocket(h)(t.Context(), sample[events.APIGatewayWebsocketProxyRequest](t, "socket-connect"))
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Fatalf("got %+v, %v", response, err)
	}
	r := h.request
	if h.connection != connectionID || r.URL.Query().Get("ticket") != "one-time" || r.URL.Query().Get("cursor") != "place" {
		t.Errorf("connection %q, query %q", h.connection, r.URL.RawQuery)
	}
	if r.Header.Get("Origin") != "https://desk.example" || len(r.Header.Values("Origin")) != 1 || r.RemoteAddr != "203.0.113.9:0" {
		t.Errorf("origin %v, client %q", r.Header.Values("Origin"), r.RemoteAddr)
	}
	if r.Host != "ws1.execute-api.eu-north-1.amazonaws.com" {
		t.Errorf("host %q", r.Host)
	}
}

func TestFramesAndTheEndReachTheirConnection(t *testing.T) {
	t.Parallel()
	h := &heard{}
	e := sample[events.APIGatewayWebsocketProxyRequest](t, "socket-message")
	if response, err := WebSocket(h)(t.Context(), e); err != nil || response.StatusCode != http.StatusOK || string(h.frame) != `{"type":"ping"}` || h.connection != connectionID {
		t.Errorf("got %+v, %v; heard %+v", response, err, h)
	}
	e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte{0xff, 0}), true
	if _, err := WebSocket(h)(t.Context(), e); err != nil || string(h.frame) != "\xff\x00" {
		t.Errorf("a binary frame became %q, %v", h.frame, err)
	}
	if _, err := WebSocket(h)(t.Context(), sample[events.APIGatewayWebsocketProxyRequest](t, "socket-disconnect")); err != nil || !h.closed {
		t.Errorf("the end was not heard: %v", err)
	}
}

func TestFault45_FrameThatIsNotBase64IsAnsweredLikeAnyBadFrame(t *testing.T) {
	t.Parallel()
	h := &heard{frame: []byte("before")}
	e := sample[events.APIGatewayWebsocketProxyRequest](t, "socket-message")
	e.Body, e.IsBase64Encoded = "*", true
	if response, err := WebSocket(h)(t.Context(), e); err != nil || response.StatusCode != http.StatusOK || len(h.frame) != 0 {
		t.Errorf("got %+v, %v; frame %q", response, err, h.frame)
	}
}
