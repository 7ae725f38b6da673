package guard

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
)

// Do makes one call and types what went wrong:
//
//	fault.Permanent  the address is not allowed (code "private_address"), or the request cannot be made as it is
//	fault.Retry      nothing was written, or the request only reads (GET, HEAD): it can safely be made again
//	fault.Uncertain  the request, or a part of it, was written and no answer came: it may have been carried out
//
// Errors name the method and the host, never the path or query, because some providers put tokens there. Every status is
// an answer, not an error. The caller closes the body. client is one of a [Guard].
func Do(client *http.Client, req *http.Request) (*http.Response, error) {
	var written atomic.Bool
	safe := req.Method == "" || req.Method == http.MethodGet || req.Method == http.MethodHead
	// The transport itself makes a call again on a fresh connection only when the old one took nothing, except for requests
	// that it holds to be repeatable: those carry this header.
	repeatable := req.Header.Get("Idempotency-Key") != "" || req.Header.Get("X-Idempotency-Key") != ""
	trace := &httptrace.ClientTrace{
		GetConn: func(string) {
			if !repeatable {
				written.Store(false)
			}
		},
		// The first field, not the end of the headers: long headers leave the buffer before they are complete.
		WroteHeaderField: func(string, []string) { written.Store(true) },
		WroteHeaders:     func() { written.Store(true) },
	}
	resp, err := client.Do(req.WithContext(httptrace.WithClientTrace(req.Context(), trace))) //nolint:gosec // where it may go is checked when it dials
	if err == nil {
		return resp, nil
	}
	if resp != nil {
		_ = resp.Body.Close() // a redirect that was refused: closed already, by http.Client's promise
	}
	return nil, classify(req, err, safe, written.Load())
}

func classify(req *http.Request, err error, safe, written bool) error {
	if typed, ok := errors.AsType[*fault.Error](err); ok {
		return typed // of the guard itself
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the url.Error's own text holds the whole URL
	}
	method := req.Method
	if method == "" {
		method = http.MethodGet
	}
	reason, code := reasonOf(err)
	kind := fault.Retry
	if written && !safe {
		kind = fault.Uncertain
	}
	cause := &callError{text: method + " " + req.URL.Host + ": " + reason, err: err}
	if kind == fault.Uncertain {
		cause.text += " after the request was written, so it may have been carried out"
	}
	return &fault.Error{Kind: kind, Code: code, Err: cause}
}

// reasonOf puts into words of our own what failed: texts of other packages may quote a Location or a URL.
func reasonOf(err error) (reason, code string) {
	var dns *net.DNSError
	var timeout net.Error
	var operation *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return "cancelled", "cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timed out", "timeout"
	case errors.As(err, &dns):
		return "look up " + dns.Name + ": " + dns.Err, "dns"
	case errors.As(err, &operation) && operation.Op == "dial":
		return "no connection: " + operation.Error(), "unreachable"
	case isTLS(err):
		return "TLS: " + err.Error(), "tls"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &operation):
		return "the connection broke", "broken"
	}
	return "the call failed", "failed"
}

// callError has a text without secrets; what it wraps is for errors.Is only.
type callError struct {
	text string
	err  error
}

func (e *callError) Error() string { return e.text }
func (e *callError) Unwrap() error { return e.err }

// Cap reads at most n bytes of r. One byte more is an error of kind fault.Permanent with code "too_large"; closing closes r.
func Cap(r io.ReadCloser, n int64) io.ReadCloser { return &capped{r: r, left: n, limit: n} }

type capped struct {
	r           io.ReadCloser
	left, limit int64
}

func (c *capped) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if c.left < 0 {
		return 0, c.tooLarge()
	}
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1] // one more than allowed, to tell "exactly n" from "more"
	}
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return n - 1, c.tooLarge()
	}
	return n, err
}

func (c *capped) tooLarge() error {
	return fault.Newf(fault.Permanent, "too_large", "read: it is larger than the %d bytes allowed", c.limit)
}

func (c *capped) Close() error { return c.r.Close() }

// After is how long the header Retry-After (RFC 9110 section 10.2.3) asks to wait, seen at now; 0 when it does not say or is not
// understood, and never more than a day.
func After(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if value == "" {
		return 0
	}
	const most = 24 * 60 * 60
	if seconds, err := strconv.ParseUint(value, 10, 63); err == nil {
		return time.Duration(min(seconds, most)) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), most*time.Second)
}
