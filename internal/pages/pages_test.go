package pages_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pages"
)

// everyField is a form with each type of field.
const everyField = `[{"name":"order","label":{"fi":"Tilausnumero","sv":"Ordernummer","en":"Order number"},"help":{"fi":"Löydät sen kuitista.","sv":"Den finns på kvittot.","en":"It is on the receipt."},"max":20},
	{"name":"topic","label":{"fi":"Aihe","sv":"Ämne","en":"Topic"},"type":"radio","required":true,"options":[{"value":"a","label":{"fi":"Toimitus","sv":"Leverans","en":"Delivery"}},"b"]},
	{"name":"size","label":"Size","type":"select","options":["S","M","L"]},{"name":"many","label":"Many","type":"checkboxes","options":["x","y"]},
	{"name":"news","label":"News","type":"checkbox"},{"name":"when","label":"When","type":"date"},{"name":"amount","label":"Amount","type":"number"},
	{"name":"link","label":"Link","type":"url"},{"name":"story","label":"Story","type":"textarea"}]`

// everyPage opens each page in a language.
func everyPage(t *testing.T, language string) map[string]answer {
	t.Helper()
	d, b := setup(t, map[string]string{"fields": everyField, "consent_fi": "Hyväksyn.", "ask_urgent": "yes", "privacy_url": "https://desk.example/privacy",
		"intro_fi": "Kerro meille.\n\nAutamme.", "accent": "#ffcc00", "allowed_origins": "https://shop.example"})
	d.matters["matter-token-0123456789"] = pages.StatusView{Reference: "R-2041", State: pages.StateWaiting, AnswerBy: d.now, Expires: d.now.Add(90 * 24 * time.Hour),
		Steps:    []pages.Step{{Time: d.now, Kind: pages.StepReceived}, {Time: d.now.Add(time.Hour), Kind: pages.StepAnswered}},
		Messages: []pages.StatusMessage{{Time: d.now, Text: "Hei,\n\nmissä?", Files: []string{"kuva.jpg"}}, {Time: d.now.Add(time.Hour), FromUs: true, Text: "Tulossa."}}}
	q := "?lang=" + language
	return map[string]answer{
		"form": b.get("/forms/main" + q), "form with errors": b.post("/forms/main"+q, url.Values{"email": {"x"}, "language": {language}}),
		"thanks": b.get("/forms/main/thanks" + q + "&s=status-0123456789abcdef"), "status": b.get("/s/matter-token-0123456789" + q),
		"setup": b.get("/setup/" + goodToken + q), "setup with errors": b.post("/setup/"+goodToken+q, url.Values{"password": {"short"}}),
		"setup done": b.get("/setup/done" + q), "nothing": b.get("/nothing" + q), "no matter": b.get("/s/unknown" + q),
		"no form": b.get("/forms/none" + q), "used link": b.get("/setup/other" + q), "wrong method": b.do(http.MethodDelete, "/s/x"+q, "", ""),
	}
}

func TestEveryPageIsAccessibleInEveryLanguage(t *testing.T) {
	t.Parallel()
	for _, language := range form.Languages() {
		for name, page := range everyPage(t, language) {
			t.Run(language+" "+name, func(t *testing.T) {
				t.Parallel()
				if got := attr(page.all("html")[0], "lang"); got != language || page.Header.Get("Content-Language") != language {
					t.Errorf("the page says it is in %q", got)
				}
				accessible(t, page)
				harmless(t, page)
				headers(t, page)
			})
		}
	}
}

// accessible checks what can be checked of WCAG 2.2 AA in the mark-up.
func accessible(t *testing.T, a answer) {
	t.Helper()
	ids := map[string]bool{}
	labelled := map[string]bool{}
	for n := range a.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("the ID %q is there twice", id)
			}
			ids[id] = true
		}
		if n.Data == "label" && strings.TrimSpace(text(n)) != "" {
			labelled[attr(n, "for")] = true
		}
	}
	h1 := a.all("h1")
	if len(h1) != 1 || strings.TrimSpace(text(h1[0])) == "" || len(a.all("main")) != 1 || !strings.Contains(text(a.all("title")[0]), text(h1[0])) {
		t.Error("the page needs one h1, one main, and a title that holds the heading")
	}
	level := 0
	for n := range a.root.Descendants() {
		if n.Type == html.ElementNode && len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' {
			if now := int(n.Data[1] - '0'); now > level+1 {
				t.Errorf("heading %q leaves a level out", text(n))
			} else {
				level = now
			}
		}
	}
	for n := range a.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if (n.Data == "input" && attr(n, "type") != "hidden" || n.Data == "select" || n.Data == "textarea") && !labelled[attr(n, "id")] {
			t.Errorf("input %q has no label", attr(n, "name"))
		}
		if n.Data == "fieldset" && (n.FirstChild == nil || !strings.Contains(text(n), "")) {
			t.Error("a fieldset is empty")
		}
		for id := range strings.FieldsSeq(attr(n, "aria-describedby")) {
			if !ids[id] {
				t.Errorf("aria-describedby names %q, which is not there", id)
			}
		}
		if target, ok := strings.CutPrefix(attr(n, "href"), "#"); ok && !ids[target] {
			t.Errorf("a link leads to #%s, which is not there", target)
		}
		if (n.Data == "a" || n.Data == "button") && strings.TrimSpace(text(n)) == "" {
			t.Errorf("a %s says nothing", n.Data)
		}
		if attr(n, "tabindex") != "" && attr(n, "tabindex") != "-1" {
			t.Error("tabindex changes the order")
		}
	}
	for _, meta := range a.all("meta") {
		if attr(meta, "name") == "viewport" && (strings.Contains(attr(meta, "content"), "maximum-scale") || strings.Contains(attr(meta, "content"), "user-scalable")) {
			t.Error("the page cannot be zoomed")
		}
	}
}

// harmless checks that nothing on the page runs or loads.
func harmless(t *testing.T, a answer) {
	t.Helper()
	for n := range a.root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		switch n.Data {
		case "script", "img", "iframe", "object", "embed", "link", "base":
			t.Errorf("there is a <%s> on the page", n.Data)
		}
		for _, at := range n.Attr {
			if strings.HasPrefix(at.Key, "on") || at.Key == "style" || (at.Key == "href" || at.Key == "action") && strings.HasPrefix(strings.ToLower(at.Val), "javascript:") {
				t.Errorf("<%s %s=%q> could run or is refused by the policy", n.Data, at.Key, at.Val)
			}
		}
	}
}

func headers(t *testing.T, a answer) {
	t.Helper()
	style := text(a.all("style")[0])
	sum := sha256.Sum256([]byte(style))
	policy := a.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'", "form-action 'self'", "base-uri 'none'", "frame-ancestors"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy lacks %s: %s", part, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Set-Cookie") != "" {
		t.Errorf("headers: %v", a.Header)
	}
	if r := a.Header.Get("Referrer-Policy"); r != "no-referrer" && r != "same-origin" {
		t.Errorf("Referrer-Policy %q", r)
	}
	if !strings.Contains(style, "prefers-color-scheme:dark") {
		t.Error("there is no dark mode")
	}
}

func TestFirstViewIsSmall(t *testing.T) {
	t.Parallel()
	for name, page := range everyPage(t, "fi") {
		var counted counter
		z := gzip.NewWriter(&counted)
		if _, err := io.WriteString(z, page.body); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if counted > 15_000 {
			t.Errorf("%s: %d bytes compressed", name, counted)
		}
		t.Logf("%s: %d bytes, %d compressed", name, len(page.body), counted)
	}
}

type counter int

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

func TestLanguageIsTheOneAskedForThenTheBrowsersThenTheAccounts(t *testing.T) {
	t.Parallel()
	_, b := setup(t, map[string]string{"language": "sv"})
	for _, c := range []struct{ query, header, want string }{
		{"?lang=en", "fi", "en"}, {"", "fi-FI,fi;q=0.9,en;q=0.8", "fi"}, {"", "de,en;q=0.5,fi;q=0.7", "fi"}, {"", "de", "sv"}, {"", "", "sv"},
		{"?lang=xx", "", "sv"}, {"", "fi;q=0, en", "en"}, {"", ";;;,q=", "sv"}, {"?lang=<script>", "", "sv"},
	} {
		page := b.get("/forms/main"+c.query, "Accept-Language", c.header)
		if got := attr(page.all("html")[0], "lang"); got != c.want {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

func TestOperatorsTextInAnotherLanguageIsMarkedAndOursIsUsedForTheHeading(t *testing.T) {
	t.Parallel()
	_, b := setup(t, map[string]string{"title_fi": "Kerro meille", "intro_fi": "Autamme."})
	page := b.get("/forms/main?lang=sv")
	if got := text(page.all("h1")[0]); got != "Kontakta oss" {
		t.Errorf("heading %q", got)
	}
	if p := page.all("p")[0]; text(p) != "Autamme." || attr(p, "lang") != "fi" {
		t.Errorf("the Finnish text on the Swedish page: %q, lang %q", text(p), attr(p, "lang"))
	}
	if own := b.get("/forms/main?lang=fi"); text(own.all("h1")[0]) != "Kerro meille" || has(own.all("p")[0], "lang") {
		t.Error("the Finnish page")
	}
}

func TestStatusPageShowsStatesInTheDesksTimeAndChangesNothing(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	const token = "matter-token-0123456789"
	d.matters[token] = pages.StatusView{Language: "fi", Reference: "R-2041", State: pages.StateOpen, AnswerBy: d.now.Add(2 * time.Hour),
		Steps:    []pages.Step{{Time: d.now, Kind: pages.StepReceived}, {Time: d.now, Kind: "secret step"}},
		Messages: []pages.StatusMessage{{Time: d.now, Text: `<script>alert(1)</script> "quoted"`, Files: []string{"<b>.png"}}}}
	page := b.get("/s/" + token)
	for _, want := range []string{"Asiasi R-2041", "hoidamme asiaasi", "22.11.2026 klo 16.00", "Viestisi saapui", `datetime="2026-11-22T12:00:00.000Z"`} {
		if !strings.Contains(page.body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	harmless(t, page)
	if strings.Contains(page.body, "vastaa sähköpostiimme") {
		t.Error("nobody wrote to them yet: there is no mail to reply to")
	}
	if strings.Contains(page.body, "secret step") || page.Header.Get("Referrer-Policy") != "no-referrer" || page.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", page.Header)
	}
	if len(d.taken) != 0 || page.body != b.get("/s/"+token).body {
		t.Error("looking at the page changed something")
	}
	if head := b.do(http.MethodHead, "/s/"+token, "", ""); head.StatusCode != http.StatusOK || head.body != "" {
		t.Errorf("HEAD: %d", head.StatusCode)
	}
	if post := b.post("/s/"+token, nil); post.StatusCode != http.StatusMethodNotAllowed || post.Header.Get("Allow") == "" {
		t.Errorf("POST: %d", post.StatusCode)
	}
	unknown, malformed := b.get("/s/unknown-token-0123456789"), b.get("/s/%00%3Cscript%3E")
	if unknown.StatusCode != http.StatusNotFound || malformed.StatusCode != http.StatusNotFound || unknown.body != malformed.body {
		t.Error("unknown and malformed tokens must look alike")
	}
}

func TestSetupLinkWorksOnceAndThePasswordIsNeverShown(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	d.weak = "password password"
	const good = "oikea hevonen paristo"
	path := "/setup/" + goodToken + "?lang=en"
	for password, again := range map[string]string{"short": "short", good: "another one here", d.weak: d.weak, strings.Repeat("x", 201): strings.Repeat("x", 201), "": ""} {
		got := b.post(path, url.Values{"password": {password}, "again": {again}, "demo": {"yes"}})
		if got.StatusCode != http.StatusBadRequest || d.choice != nil || len(got.byID("errors").Attr) == 0 || !has(got.byID("demo"), "checked") {
			t.Errorf("%q, %q: got %d", password, again, got.StatusCode)
		}
		if password != "" && strings.Contains(got.body, `value="`+password) {
			t.Errorf("the page holds the password %q", password)
		}
	}
	if got := b.post("/setup/wrong-token", url.Values{"password": {"short"}}); got.StatusCode != http.StatusNotFound {
		t.Errorf("a wrong link learns the rules of passwords: %d", got.StatusCode)
	}
	if got := b.post("/setup/wrong-token", url.Values{"password": {good}, "again": {good}}); got.StatusCode != http.StatusNotFound || d.choice != nil {
		t.Errorf("a wrong link: %d", got.StatusCode)
	}
	done := b.post(path, url.Values{"password": {good}, "again": {good}, "demo": {"yes"}})
	if done.StatusCode != http.StatusSeeOther || !strings.HasPrefix(done.Header.Get("Location"), "/setup/done") || d.choice == nil || !d.choice.Demo || d.choice.Password != good {
		t.Fatalf("want it done, got %d %+v", done.StatusCode, d.choice)
	}
	if page := b.get(done.Header.Get("Location")); page.StatusCode != http.StatusOK || !strings.Contains(page.body, `href="/"`) {
		t.Errorf("the last page: %d", page.StatusCode)
	}
	if used := b.get(path); used.StatusCode != http.StatusNotFound || !strings.Contains(used.body, "works no more") {
		t.Errorf("a used link: %d", used.StatusCode)
	}
}

func TestMissingDependencyIsNamedAtTheStart(t *testing.T) {
	t.Parallel()
	if _, err := pages.New(pages.Deps{}); err == nil || !strings.Contains(err.Error(), "Intake") {
		t.Errorf("got %v", err)
	}
	d := &desk{}
	if _, err := pages.New(pages.Deps{Intake: d, Forms: d, Status: d, Now: func() (none msg.Time) { return }, NewID: func() string { return "" }, Key: []byte("short")}); err == nil {
		t.Error("a short key passed")
	}
}
