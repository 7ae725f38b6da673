package awslambda

import (
	"context"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"

	"github.com/aws/aws-lambda-go/events"
)

// Sockets is what happens on a WebSocket API. Connections are named by API Gateway; what they are told goes through its
// management API, never through the answer.
type Sockets interface {
	// Connect decides whether a connection may open, by the request that asks for it, and returns an HTTP status: 200 opens
	// it. Nothing can be sent to the connection before that.
	Connect(ctx context.Context, connection string, r *http.Request) int
	// Message takes one frame. An error is logged by Lambda and closes nothing.
	Message(ctx context.Context, connection string, frame []byte) error
	// Disconnect hears that a connection closed; at best effort, so it may never be called.
	Disconnect(ctx context.Context, connection string) error
}

// WebSocket makes a handler of the routes $connect, $default and $disconnect
// (docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-mapping-template-reference.html and
// "Manage connected users and client apps", read on 2026-11-22).
func WebSocket(s Sockets) func(context.Context, events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
	return func(ctx context.Context, e events.APIGatewayWebsocketProxyRequest) (events.APIGatewayProxyResponse, error) {
		id := e.RequestContext.ConnectionID
		ok := events.APIGatewayProxyResponse{StatusCode: http.StatusOK}
		switch e.RequestContext.EventType {
		case "CONNECT":
			r, err := handshake(ctx, &e)
			if err != nil {
				return events.APIGatewayProxyResponse{StatusCode: http.StatusBadRequest}, nil //nolint:nilerr // the client is told
			}
			return events.APIGatewayProxyResponse{StatusCode: s.Connect(ctx, id, r)}, nil
		case "DISCONNECT":
			return ok, s.Disconnect(ctx, id)
		}
		frame := []byte(e.Body)
		if e.IsBase64Encoded {
			var err error
			if frame, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
				frame = nil // answered like any frame that says nothing
			}
		}
		return ok, s.Message(ctx, id, frame)
	}
}

// handshake is the request that opens the connection. Its path is lost: API Gateway has one for all.
func handshake(ctx context.Context, e *events.APIGatewayWebsocketProxyRequest) (*http.Request, error) {
	query := url.Values{}
	for name, value := range e.QueryStringParameters {
		query.Set(name, value)
	}
	for name, values := range e.MultiValueQueryStringParameters {
		query[name] = values
	}
	u := url.URL{Path: "/socket", RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	for name, value := range e.Headers {
		r.Header.Set(name, value)
	}
	for name, values := range e.MultiValueHeaders {
		r.Header.Del(name)
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
	r.Host = e.RequestContext.DomainName
	r.Header.Del("Host")
	r.RequestURI = u.RequestURI()
	r.RemoteAddr = net.JoinHostPort(e.RequestContext.Identity.SourceIP, "0")
	return r, nil
}
