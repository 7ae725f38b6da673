// Package client is a typed client of the HTTP API that openapi.yaml writes down, as far as the command line needs it. It
// works against either shape of the program.
//
// Every answer comes twice: decoded, and as the server said it, so that a command can print it verbatim.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"
)

// DefaultServer is where "aikajana serve" listens unless told otherwise.
const DefaultServer = "http://127.0.0.1:8080"

// maxAnswer bounds what is read of an answer, in bytes. A page of a timeline is far below; an export may be large.
const maxAnswer = 256 << 20

// Options say how to reach a server.
type Options struct {
	// Server is the base address, like https://desk.example; DefaultServer when empty.
	Server string
	// Token is an API token; without one, and without Session or SignIn, only Health and Accept work.
	Token string
	// Session goes on with a session that an earlier client began: what its Session said.
	Session string
	// Timeout bounds one request; a minute when zero.
	Timeout time.Duration
	// Transport is the way out; http.DefaultTransport when nil.
	Transport http.RoundTripper
}

// Client calls one server. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// New makes a client; it calls nobody. The error says what is wrong with the address.
func New(o Options) (*Client, error) {
	if o.Server == "" {
		o.Server = DefaultServer
	}
	base, err := url.Parse(strings.TrimRight(o.Server, "/"))
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" || base.RawQuery != "" || base.User != nil {
		return nil, fmt.Errorf("--server %q is not an address like %s", o.Server, DefaultServer)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("keep cookies: %w", err)
	}
	if name, value, ok := strings.Cut(o.Session, "="); ok {
		jar.SetCookies(base, []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: base.Scheme == "https"}}) //nolint:gosec // it goes back to the server that set it; no browser sees it
	}
	return &Client{base: base, token: o.Token, http: &http.Client{
		Transport: o.Transport, Timeout: o.Timeout, Jar: jar,
		// No route of the API that is called here redirects: somebody else answers, who must not be given the token.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Server is the base address.
func (c *Client) Server() string { return c.base.String() }

// Session is the session of this client, as a secret for Options.Session; empty when there is none.
func (c *Client) Session() string {
	for _, cookie := range c.http.Jar.Cookies(c.base) {
		return cookie.Name + "=" + cookie.Value
	}
	return ""
}

// Answer is what the server said: decoded, and verbatim.
type Answer[T any] struct {
	Value T
	Raw   []byte
}

// Problem is a refusal by the server (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Field  string `json:"field"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	// Doing is what was asked for, in words; Raw the answer verbatim.
	Doing string `json:"-"`
	Raw   []byte `json:"-"`
}

// Error says what was refused, why, and what to do.
func (p *Problem) Error() string {
	why := p.Detail
	if why == "" {
		why = p.Title
	}
	if why == "" {
		why = fmt.Sprintf("the server answered with status %d", p.Status)
	}
	switch p.Status {
	case http.StatusUnauthorized:
		if p.Code == "credentials" {
			break
		}
		return fmt.Sprintf("%s: %s; sign in with \"aikajana login\", or give an API token with --token or AIKAJANA_TOKEN", p.Doing, why)
	case http.StatusForbidden:
		return fmt.Sprintf("%s: %s; you have not the right to; ask an administrator, or sign in as one", p.Doing, why)
	case http.StatusNotFound:
		return fmt.Sprintf("%s: not found; check the spelling, and that the token may see it", p.Doing)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return fmt.Sprintf("%s: %s; try again in a while", p.Doing, why)
	}
	return p.Doing + ": " + why
}

// Unreachable says that no answer came.
type Unreachable struct {
	Server string
	Doing  string
	Err    error
}

// Error says what to do.
func (u *Unreachable) Error() string {
	why := u.Err
	var e *url.Error
	if errors.As(why, &e) {
		why = e.Err
	}
	return fmt.Sprintf("%s: cannot reach %s (%v); start it with \"aikajana serve\", or name another server with --server or AIKAJANA_SERVER", u.Doing, u.Server, why)
}

// Unwrap gives the cause.
func (u *Unreachable) Unwrap() error { return u.Err }

// request is one call; in becomes its JSON body.
type request struct {
	doing, method, path string
	query               url.Values
	header              http.Header
	in                  any
}

// call makes a request and decodes the answer. Errors are *Unreachable and *Problem.
func call[T any](ctx context.Context, c *Client, r request) (*Answer[T], error) {
	raw, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	a := &Answer[T]{Raw: raw}
	if len(raw) == 0 {
		return a, nil
	}
	if err := json.Unmarshal(raw, &a.Value); err != nil {
		return nil, fmt.Errorf("%s: the answer of %s cannot be read (%w); is it an Aikajana server of this version?", r.doing, c.Server(), err)
	}
	return a, nil
}

func (c *Client) do(ctx context.Context, r request) ([]byte, error) {
	response, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end, or given up
	raw, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, &Unreachable{Server: c.Server(), Doing: r.doing, Err: err}
	}
	if len(raw) > maxAnswer {
		return nil, fmt.Errorf("%s: the answer is larger than %d MB", r.doing, maxAnswer>>20)
	}
	if response.StatusCode >= 200 && response.StatusCode < 300 {
		return raw, nil
	}
	p := &Problem{Doing: r.doing, Raw: raw}
	if err := json.Unmarshal(raw, p); err != nil {
		p.Detail = fmt.Sprintf("%s answered with status %d and no explanation; is it an Aikajana server?", c.Server(), response.StatusCode)
	}
	p.Status = response.StatusCode
	return nil, p
}

func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	var body io.Reader
	if r.in != nil {
		b, err := json.Marshal(r.in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.doing, err)
		}
		body = bytes.NewReader(b)
	}
	at := c.base.String() + r.path
	if len(r.query) > 0 {
		at += "?" + r.query.Encode()
	}
	q, err := http.NewRequestWithContext(ctx, r.method, at, body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", r.doing, err)
	}
	for name, values := range r.header {
		q.Header[name] = values
	}
	q.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		q.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(q)
	if err != nil {
		return nil, &Unreachable{Server: c.Server(), Doing: r.doing, Err: err}
	}
	return response, nil
}

// page makes the query of a list.
func page(after string, limit int) url.Values {
	q := url.Values{}
	set(q, "after", after)
	if limit > 0 {
		q.Set("limit", fmt.Sprint(limit))
	}
	return q
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}
