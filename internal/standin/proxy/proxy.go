// Package proxy stands between a program's AWS clients and a stand-in, and makes the trouble that AWS and the network make: it
// refuses, loses answers, delivers twice, takes half of what it is given. The stand-ins do none of it.
//
// The program is the real one with the SDK's own clients: whatever it makes of trouble it makes of bytes on a connection. What
// is to become of a call the proxy's [Decide] says, when the call arrives. A client only says in a header who is calling
// ([Named]); the proxy takes the header away.
//
// Bodies that the proxy changes no longer fit their signature. No stand-in looks at signatures.
package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Call is one request of a client, as it arrived.
type Call struct {
	// Action is what is asked for ("PutItem", "SendMessageBatch"); the HTTP method for services that have no more to say (S3).
	Action string
	Path   string
	Body   []byte
	// Caller is who calls, in the words of the client's [Named]; "" when it says nothing.
	Caller string
	// Invocation is the same for all attempts of the SDK at one call; Attempt counts them from 1.
	Invocation string
	Attempt    int
}

// Trouble is what becomes of a call. It answers the exchange, or cuts it.
type Trouble func(*Exchange)

// Decide says what is to become of a call; nil lets it pass. It is called for each attempt, from several goroutines.
type Decide func(*Call) Trouble

// Proxy is a reverse proxy in front of one stand-in, on a free port of 127.0.0.1.
type Proxy struct {
	// URL is where the clients are to go.
	URL string

	target *url.URL
	decide Decide
	server *http.Server
	way    *http.Transport
}

// Open stands a proxy in front of the stand-in at target ("http://127.0.0.1:34567"). Close it.
func Open(target string, decide Decide) (*Proxy, error) {
	at, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("open a proxy for %q: %w", target, err)
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a proxy for %s: %w", target, err)
	}
	p := &Proxy{
		URL: "http://" + l.Addr().String(), target: at, decide: decide,
		// As many connections as there are callers: a stand-in takes as long for a new one as for its work.
		way: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 200, IdleConnTimeout: time.Minute},
	}
	p.server = &http.Server{Handler: http.HandlerFunc(p.serve), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(l) }() // it ends when it is closed
	return p, nil
}

// Close closes the proxy and every connection through it.
func (p *Proxy) Close() error {
	err := p.server.Close()
	p.way.CloseIdleConnections()
	return err
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // whoever asked is gone
	}
	x := &Exchange{Call: callOf(r, body), w: w, r: r, p: p}
	if trouble := p.decide(x.Call); trouble != nil {
		trouble(x)
		return
	}
	if answer := x.Forward(body); answer != nil {
		x.Answer(answer)
	}
}

func callOf(r *http.Request, body []byte) *Call {
	c := &Call{Action: r.Method, Path: r.URL.Path, Body: body, Caller: r.Header.Get(callerHeader), Invocation: r.Header.Get("Amz-Sdk-Invocation-Id"), Attempt: 1}
	if _, action, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		c.Action = action
	}
	// "attempt=2; max=3"
	for part := range strings.SplitSeq(r.Header.Get("Amz-Sdk-Request"), ";") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(part), "attempt="); ok {
			c.Attempt, _ = strconv.Atoi(n) // the SDK writes a number
		}
	}
	return c
}

// Exchange is a call and the connection that it came on. One of its methods ends it.
type Exchange struct {
	*Call
	w http.ResponseWriter
	r *http.Request
	p *Proxy
}

// Answer is what a stand-in said, or what stands in for it.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Forward has the stand-in carry the call out, with that body, and returns what it says. Nil means that it said nothing: the
// connection is cut.
func (x *Exchange) Forward(body []byte) *Answer {
	out := x.r.Clone(context.WithoutCancel(x.r.Context())) // what has been asked for is carried out, whoever hangs up
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = x.p.target.Scheme, x.p.target.Host, "", ""
	for _, name := range []string{callerHeader, "Connection", "Expect"} {
		out.Header.Del(name)
	}
	out.Body, out.ContentLength, out.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
	response, err := x.p.way.RoundTrip(out)
	if err != nil {
		x.Cut()
		return nil
	}
	said, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		x.Cut()
		return nil
	}
	return &Answer{response.StatusCode, response.Header, said}
}

// Answer sends an answer to whoever asked.
func (x *Exchange) Answer(a *Answer) {
	for name, values := range a.Header {
		if !slices.Contains([]string{"Connection", "Transfer-Encoding"}, name) {
			x.w.Header()[name] = values
		}
	}
	if x.r.Method != http.MethodHead { // whose length is that of what was not sent
		x.w.Header().Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	x.w.WriteHeader(a.Status)
	_, _ = x.w.Write(a.Body) // whoever asked may be gone
}

// Cut resets the connection: whoever asked never hears what became of the call.
func (x *Exchange) Cut() {
	c, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // which cuts it as well
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // unsent is unsent; without it the other side sees an orderly end
	}
	_ = c.Close() // it is cut, whatever this says
}

// callerHeader says who calls. It goes no further than the proxy.
const callerHeader = "X-Standin-Caller"

// Named gives a configuration whose clients say who calls, as it stands in the context of a call.
func Named(c aws.Config, caller func(context.Context) string) aws.Config {
	c.APIOptions = append(slices.Clone(c.APIOptions), func(stack *middleware.Stack) error {
		return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("StandinCaller", func( // after the signature, which is not to hold it
			ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
		) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if r, ok := in.Request.(*smithyhttp.Request); ok && caller(ctx) != "" {
				r.Header.Set(callerHeader, caller(ctx))
			}
			return next.HandleFinalize(ctx, in)
		}), middleware.After)
	})
	return c
}
