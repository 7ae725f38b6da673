package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3filter"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/app/apptest"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

const password = "correct horse battery"

// desk is the whole program behind a server.
type desk struct {
	*apptest.Desk
	t      *testing.T
	server *httptest.Server
	token  string // an administrator's
}

func setup(t *testing.T) *desk { return setupWith(t, api.Limits{}) }

func setupWith(t *testing.T, limits api.Limits) *desk {
	t.Helper()
	d := &desk{Desk: apptest.New(t, apptest.Options{Limits: limits}), t: t}
	mux := http.NewServeMux()
	mux.Handle("/", d.API)
	mux.Handle("/socket", d.API.Socket())
	d.server = httptest.NewServer(mux)
	t.Cleanup(d.server.Close)
	t.Cleanup(d.Hub.Close) // sockets go first: they would keep the server waiting
	d.token = d.Token("test", auth.Administrator)
	return d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// user makes a user of a team and signs in: the client carries the cookie.
func (d *desk) user(id string, role auth.Role, teams ...string) *client {
	d.t.Helper()
	_, err := d.Auth.CreateUser(d.t.Context(), "test", auth.User{ID: id, Name: id + " Virtanen", Roles: []auth.Role{role}, Teams: teams}, password)
	must(d.t, err)
	c := d.anonymous()
	c.do("POST", "/api/v1/sessions", map[string]any{"user": id, "password": password}).want(201)
	return c
}

func (d *desk) anonymous() *client {
	jar, err := cookiejar.New(nil)
	must(d.t, err)
	return &client{d: d, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// admin holds the administrator's token.
func (d *desk) admin() *client {
	c := d.anonymous()
	c.token = d.token
	return c
}

// client is somebody who asks. Every answer is held to openapi.yaml.
type client struct {
	d     *desk
	http  *http.Client
	token string
}

// answer is what came back.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (c *client) do(method, path string, body any, header ...string) *answer {
	c.d.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(b)
		must(c.d.t, err)
	}
	r, err := http.NewRequestWithContext(c.d.t.Context(), method, c.d.server.URL+path, bytes.NewReader(text))
	must(c.d.t, err)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	resp, err := c.http.Do(r)
	must(c.d.t, err)
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	must(c.d.t, err)
	a := &answer{t: c.d.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header, raw: raw}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			c.d.t.Fatalf("%s: the answer is no JSON object: %s", a.what, raw)
		}
	}
	c.d.conforms(r, a)
	return a
}

// conforms holds an answer to the document.
func (d *desk) conforms(r *http.Request, a *answer) {
	d.t.Helper()
	operations, err := d.API.Operations()
	must(d.t, err)
	for _, o := range operations {
		parameters, ok := match(o.Path, r.URL.Path)
		if !ok || o.Method != r.Method {
			continue
		}
		err := openapi3filter.ValidateResponse(d.t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: o.Route},
			Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(a.raw)),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		})
		if err != nil {
			d.t.Errorf("%s answers %d against openapi.yaml: %v\n%s", a.what, a.status, err, a.raw)
		}
		return
	}
}

// match says whether a path is one of the template's.
func match(template, path string) (map[string]string, bool) {
	want, have := strings.Split(template, "/"), strings.Split(path, "/")
	if len(want) != len(have) {
		return nil, false
	}
	parameters := map[string]string{}
	for n := range want {
		switch {
		case strings.HasPrefix(want[n], "{"):
			parameters[strings.Trim(want[n], "{}")] = have[n]
		case want[n] != have[n]:
			return nil, false
		}
	}
	return parameters, true
}

func (a *answer) want(status int) *answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: got %d, want %d\n%s", a.what, a.status, status, a.raw)
	}
	return a
}

func (a *answer) wantProblem(status int, code, field string) {
	a.t.Helper()
	a.want(status)
	if got, _ := a.body["field"].(string); a.body["code"] != code || got != field {
		a.t.Fatalf("%s: got code %v and field %q, want %q and %q\n%s", a.what, a.body["code"], got, code, field, a.raw)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		a.t.Fatalf("%s: Content-Type %q", a.what, ct)
	}
}

// at follows a path of field names and indexes ("items.0.case").
func (a *answer) at(path string) any {
	a.t.Helper()
	var v any = a.body
	for _, step := range strings.Split(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			v = x[step]
		case []any:
			n := 0
			if _, err := fmt.Sscan(step, &n); err != nil || n >= len(x) {
				a.t.Fatalf("%s: there is no %s in\n%s", a.what, path, a.raw)
			}
			v = x[n]
		default:
			a.t.Fatalf("%s: there is no %s in\n%s", a.what, path, a.raw)
		}
	}
	return v
}

func (a *answer) text(path string) string {
	a.t.Helper()
	s, ok := a.at(path).(string)
	if !ok {
		a.t.Fatalf("%s: %s is no text in\n%s", a.what, path, a.raw)
	}
	return s
}

func (a *answer) items() []any {
	a.t.Helper()
	all, ok := a.body["items"].([]any)
	if !ok {
		a.t.Fatalf("%s: there are no items in\n%s", a.what, a.raw)
	}
	return all
}

func q(values ...string) string {
	v := url.Values{}
	for n := 0; n < len(values); n += 2 {
		v.Set(values[n], values[n+1])
	}
	return "?" + v.Encode()
}

// quarantine puts something there.
func (d *desk) quarantine(cause string) string {
	d.t.Helper()
	e := `{"id":"env1","channel":"whatsapp","account":"main","received_at":"2026-11-23T08:00:00.000Z"}` + "\n" + `{"object":"nonsense"}`
	id, err := d.Store.Quarantine(d.t.Context(), store.Quarantined{
		Channel: "whatsapp", Account: "main", Cause: cause, Detail: "entry: it is missing", Envelope: "env1", ReceivedAt: d.Store.Now(),
		Size: 21, Raw: []byte(e),
	}, 0)
	must(d.t, err)
	d.React()
	return id
}

// damage makes a case unreadable.
func (d *desk) damage(caseID string) {
	d.t.Helper()
	customer := store.CustomerOf(caseID)
	must(d.t, d.Table.Write(d.t.Context(), table.Put(table.Item{
		Key: table.Key{PK: "C#" + customer, SK: "K#" + caseID[len(customer)+1:]}, Rev: 1, Body: []byte("{"),
	}, table.Any)))
}

// files serves what links point at.
func (d *desk) files() string {
	server := httptest.NewServer(d.Blobs.Handler())
	d.t.Cleanup(server.Close)
	return server.URL
}
