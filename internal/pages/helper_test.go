package pages_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pages"
)

const goodToken = "setup-token-0123456789abcdef"

// desk is a desk behind the pages: it takes submissions, knows matters and can be told to fail.
type desk struct {
	mu      sync.Mutex
	now     msg.Time
	ids     int
	taken   []form.Submission
	clients []string
	refuse  error
	view    pages.FormView
	matters map[string]pages.StatusView
	setup   string
	choice  *pages.SetupChoice
	weak    string
}

func (d *desk) Submit(_ context.Context, account string, s form.Submission, client string) (pages.Accepted, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return pages.Accepted{}, d.refuse
	}
	d.taken, d.clients = append(d.taken, s), append(d.clients, client)
	return pages.Accepted{Reference: "R-2041", StatusToken: "status-" + s.EventID()}, nil
}

func (d *desk) Form(_ context.Context, account string) (pages.FormView, error) {
	if account != "main" {
		return pages.FormView{}, fault.Newf(fault.Missing, "account", "there is no form %q", account)
	}
	return d.view, nil
}

func (d *desk) Status(_ context.Context, token string) (pages.StatusView, error) {
	view, ok := d.matters[token]
	if !ok {
		return pages.StatusView{}, fault.Newf(fault.Missing, "token", "no matter has this token")
	}
	return view, nil
}

func (d *desk) Check(_ context.Context, token string) error {
	if d.setup == "" || token != d.setup {
		return fault.Newf(fault.Missing, "token", "the set-up link was used")
	}
	return nil
}

func (d *desk) Complete(ctx context.Context, token string, c pages.SetupChoice) error {
	if err := d.Check(ctx, token); err != nil {
		return err
	}
	if c.Password == d.weak {
		return fault.Field("password", "is on a list of stolen ones")
	}
	d.setup, d.choice = "", &c
	return nil
}

func (d *desk) tick(by time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = d.now.Add(by)
}

// setup serves the pages over real HTTP. settings are the account's.
func setup(t *testing.T, settings map[string]string) (*desk, *browser) {
	t.Helper()
	d := &desk{now: 1795348800000, setup: goodToken, matters: map[string]pages.StatusView{}}
	read, err := form.ReadSettings(settings)
	if err != nil {
		t.Fatal(err)
	}
	d.view = pages.FormView{Form: read, AnswerWithin: 24 * time.Hour, WorkingTime: true}
	helsinki := time.FixedZone("EET", 2*3600)
	handler, err := pages.New(pages.Deps{
		Intake: d, Forms: d, Status: d, Setup: d, Key: []byte(strings.Repeat("k", 32)), Location: helsinki,
		Now: func() msg.Time { d.mu.Lock(); defer d.mu.Unlock(); return d.now },
		NewID: func() string {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.ids++
			return fmt.Sprintf("id-%020d", d.ids)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return d, &browser{t: t, base: server.URL, client: client}
}

// browser asks for pages and reads them.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
}

// answer is a response, read and, where it is HTML, parsed.
type answer struct {
	*http.Response
	body string
	root *html.Node
}

func (b *browser) do(method, path, contentType, body string, headers ...string) answer {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a := answer{Response: response, body: string(raw)}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		if a.root, err = html.Parse(strings.NewReader(a.body)); err != nil {
			b.t.Fatal(err)
		}
	}
	return a
}

func (b *browser) get(path string, headers ...string) answer {
	b.t.Helper()
	return b.do(http.MethodGet, path, "", "", headers...)
}

const urlencoded = "application/x-www-form-urlencoded"

func (b *browser) post(path string, values url.Values, headers ...string) answer {
	b.t.Helper()
	return b.do(http.MethodPost, path, urlencoded, values.Encode(), headers...)
}

// inputs are a form's values, as a browser would send them, with some changed.
func (a answer) inputs(changed ...string) url.Values {
	values := url.Values{}
	for n := range a.root.Descendants() {
		switch {
		case n.Data == "input" && (attr(n, "type") == "checkbox" || attr(n, "type") == "radio"):
			if has(n, "checked") {
				values.Add(attr(n, "name"), attr(n, "value"))
			}
		case n.Data == "input" && attr(n, "type") != "file":
			values.Add(attr(n, "name"), attr(n, "value"))
		case n.Data == "textarea":
			values.Add(attr(n, "name"), text(n))
		case n.Data == "option" && has(n, "selected"):
			values.Add(attr(n.Parent, "name"), attr(n, "value"))
		}
	}
	for i := 0; i+1 < len(changed); i += 2 {
		values.Set(changed[i], changed[i+1])
	}
	return values
}

func (a answer) all(tag string) []*html.Node {
	var found []*html.Node
	for n := range a.root.Descendants() {
		if n.Type == html.ElementNode && n.Data == tag {
			found = append(found, n)
		}
	}
	return found
}

func (a answer) byID(id string) *html.Node {
	for n := range a.root.Descendants() {
		if n.Type == html.ElementNode && attr(n, "id") == id {
			return n
		}
	}
	return nil
}

func attr(n *html.Node, name string) string {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
	if i < 0 {
		return ""
	}
	return n.Attr[i].Val
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}
