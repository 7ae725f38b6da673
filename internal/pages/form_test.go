package pages_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/fault"
)

func TestFormIsFilledInSentAndThankedFor(t *testing.T) {
	t.Parallel()
	d, b := setup(t, map[string]string{"fields": everyField})
	page := b.get("/forms/main?lang=fi", "Referer", "https://shop.example/tilaukset")
	d.tick(5 * time.Second)
	sent := b.post(attr(page.all("form")[0], "action"), page.inputs("name", "Maija", "email", "maija@posti.example", "message", "Missä tilaukseni on?",
		"topic", "b", "order", "1055", "callback", "yes", "phone", "040 123 4567"))
	if sent.StatusCode != http.StatusSeeOther {
		t.Fatalf("want 303, got %d: %s", sent.StatusCode, sent.body)
	}
	if len(d.taken) != 1 {
		t.Fatalf("want one submission, got %+v", d.taken)
	}
	s := d.taken[0]
	if s.Name != "Maija" || s.Message != "Missä tilaukseni on?" || s.Language != "fi" || s.Proof != "token" || s.Suspect != "" || !s.Callback ||
		s.Page != "https://shop.example/tilaukset" || s.ID == "" || len(s.Fields) != 2 || s.Fields[0].Name != "order" {
		t.Errorf("the submission is not what was typed: %+v", s)
	}
	thanks := b.get(sent.Header.Get("Location"))
	if thanks.StatusCode != http.StatusOK || !strings.Contains(thanks.body, "perillä") || !strings.Contains(thanks.body, "/s/status-form-") {
		t.Errorf("thank-you page: %d %s", thanks.StatusCode, thanks.body)
	}
}

func TestDoubleClickAndRefreshGiveOneEntry(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	page := b.get("/forms/main")
	d.tick(5 * time.Second)
	values := page.inputs("email", "maija@posti.example", "message", "Hei")
	var locations []string
	for range 3 {
		locations = append(locations, b.post("/forms/main", values).Header.Get("Location"))
		d.tick(time.Minute)
	}
	ids := map[string]bool{}
	for _, s := range d.taken {
		ids[s.EventID()] = true
	}
	if len(d.taken) != 3 || len(ids) != 1 || len(slices.Compact(locations)) != 1 {
		t.Errorf("want one EventID and one address, got %v and %v", ids, locations)
	}
	again := b.get("/forms/main")
	d.tick(5 * time.Second)
	b.post("/forms/main", again.inputs("email", "maija@posti.example", "message", "Hei"))
	if ids[d.taken[3].EventID()] {
		t.Error("the same words on a newly opened form are a new message")
	}
}

func TestErrorsAreListedOnTopAndBesideTheirInputAndNothingTypedIsLost(t *testing.T) {
	t.Parallel()
	for language, prefix := range map[string]string{"fi": "Virhe: ", "sv": "Fel: ", "en": "Error: "} {
		d, b := setup(t, map[string]string{"fields": everyField, "consent_fi": "Hyväksyn", "consent_sv": "Jag samtycker", "consent_en": "I agree"})
		page := b.get("/forms/main?lang=" + language)
		d.tick(5 * time.Second)
		values := page.inputs("name", "Maija", "email", "not an address", "message", strings.Repeat("å", form.MaxMessage+1), "when", "tomorrow", "order", "1055")
		refused := b.post("/forms/main?lang="+language, values)
		if refused.StatusCode != http.StatusBadRequest || len(d.taken) > 0 {
			t.Fatalf("want 400 and nothing taken, got %d", refused.StatusCode)
		}
		if title := text(refused.all("title")[0]); !strings.HasPrefix(title, prefix) {
			t.Errorf("title %q does not begin with %q", title, prefix)
		}
		for _, id := range []string{"email", "message", "field-when", "field-topic-1", "consent"} {
			if !strings.Contains(refused.body, `href="#`+id+`"`) {
				t.Errorf("%s: the summary has no link to %s", language, id)
			}
			if refused.byID(id) == nil {
				t.Errorf("%s: there is no input %s", language, id)
			}
		}
		for _, id := range []string{"email", "message", "field-when"} {
			if n := refused.byID(id); attr(n, "aria-invalid") != "true" || !strings.Contains(attr(n, "aria-describedby"), id+"-wrong") || refused.byID(id+"-wrong") == nil {
				t.Errorf("%s: input %s does not say what is wrong with it", language, id)
			}
		}
		kept := refused.inputs()
		for name := range values {
			if kept.Get(name) != values.Get(name) {
				t.Errorf("%s: %s was lost", language, name)
			}
		}
		accessible(t, refused)
		values.Set("email", "maija@posti.example")
		values.Set("message", "Hei")
		values.Set("when", "2026-11-24")
		values.Set("topic", "a")
		values.Set("consent", "yes")
		if mended := b.post("/forms/main?lang="+language, values); mended.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: the mended form was refused: %d %s", language, mended.StatusCode, mended.body)
		}
	}
}

func TestTokenOfAFormIsSignedOfItsAccountAndNeitherYoungNorOld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wait   time.Duration
		change func(string) string
		proof  string
		want   int
	}{
		"good":               {5 * time.Second, nil, "required", http.StatusSeeOther},
		"at once":            {time.Second, nil, "required", http.StatusBadRequest},
		"a day later":        {25 * time.Hour, nil, "required", http.StatusBadRequest},
		"altered":            {5 * time.Second, func(s string) string { return s[:len(s)-1] + "!" }, "optional", http.StatusBadRequest},
		"other time":         {5 * time.Second, func(s string) string { return "1" + s }, "optional", http.StatusBadRequest},
		"junk":               {5 * time.Second, func(string) string { return "x.y.z" }, "optional", http.StatusBadRequest},
		"none, not required": {5 * time.Second, func(string) string { return "" }, "optional", http.StatusSeeOther},
		"none, required":     {5 * time.Second, func(string) string { return "" }, "required", http.StatusBadRequest},
	} {
		d, b := setup(t, map[string]string{"proof": c.proof})
		page := b.get("/forms/main?lang=en")
		values := page.inputs("email", "maija@posti.example", "message", "My words")
		if c.change != nil {
			values.Set("_token", c.change(values.Get("_token")))
		}
		d.tick(c.wait)
		got := b.post("/forms/main?lang=en", values)
		if got.StatusCode != c.want {
			t.Errorf("%s: want %d, got %d", name, c.want, got.StatusCode)
			continue
		}
		if got.StatusCode == http.StatusSeeOther {
			continue
		}
		// Whoever was refused is one press away from sending it.
		if text(got.byID("message")) != "My words" {
			t.Errorf("%s: the words were lost", name)
		}
		d.tick(5 * time.Second)
		if again := b.post("/forms/main?lang=en", got.inputs()); again.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: sending it again gives %d", name, again.StatusCode)
		}
	}
}

func TestTrapMarksARobotWithoutTellingIt(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	page := b.get("/forms/main")
	d.tick(5 * time.Second)
	got := b.post("/forms/main", page.inputs("email", "seo@offers.example", "message", "Buy", "website", "https://offers.example"))
	if got.StatusCode != http.StatusSeeOther || len(d.taken) != 1 || d.taken[0].Suspect != "trap" {
		t.Errorf("want 303 and a suspect submission, got %d %+v", got.StatusCode, d.taken)
	}
	trap := page.byID("website")
	if attr(trap, "tabindex") != "-1" || attr(trap, "autocomplete") != "off" || attr(trap.Parent, "aria-hidden") != "true" {
		t.Error("people could walk into the trap")
	}
}

func TestFilesComeAlongAndAreAskedForAgainAfterAnError(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	page := b.get("/forms/main?lang=en")
	if !strings.Contains(page.body, "At most 5 files, together 4 MB") {
		t.Error("the form does not say how much may be sent")
	}
	d.tick(5 * time.Second)
	send := func(email string, size int) answer {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		for name, values := range page.inputs("email", email, "message", "See the picture") {
			if err := w.WriteField(name, values[0]); err != nil {
				t.Fatal(err)
			}
		}
		part, err := w.CreateFormFile("files", `..\kuva.jpg`)
		if err != nil {
			t.Fatal(err)
		}
		_, err = part.Write(make([]byte, size))
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		return b.do(http.MethodPost, "/forms/main?lang=en", w.FormDataContentType(), body.String())
	}
	if got := send("wrong", 10); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, "Please choose your files again") {
		t.Errorf("after an error: %d", got.StatusCode)
	}
	if got := send("a@b.example", form.MaxFilesSize+1); got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, "larger than 4 MB") {
		t.Errorf("too large: %d", got.StatusCode)
	}
	if got := send("a@b.example", form.MaxBody); got.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(got.body, "4 MB") {
		t.Errorf("much too large: %d", got.StatusCode)
	}
	if got := send("a@b.example", 10); got.StatusCode != http.StatusSeeOther {
		t.Fatalf("good: %d %s", got.StatusCode, got.body)
	}
	if f := d.taken[0].Files; len(f) != 1 || f[0].Name != "kuva.jpg" || len(f[0].Data) != 10 {
		t.Errorf("files: %+v", f)
	}
}

func TestWhatCannotBeTakenJustNowComesBackFilledIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse error
		want   int
		after  string
	}{
		"outage":   {errors.New("disk full: /dev/sda1"), http.StatusInternalServerError, ""},
		"busy":     {fault.RetryAfter(1500*time.Millisecond, "full", "the disk is full"), http.StatusServiceUnavailable, "2"},
		"too many": {fault.RetryAfter(time.Minute, "rate_limited", "too many"), http.StatusTooManyRequests, "60"},
	} {
		d, b := setup(t, nil)
		page := b.get("/forms/main?lang=en")
		d.tick(5 * time.Second)
		d.refuse = c.refuse
		got := b.post("/forms/main?lang=en", page.inputs("email", "a@b.example", "message", "My words"))
		if got.StatusCode != c.want || got.Header.Get("Retry-After") != c.after || text(got.byID("message")) != "My words" {
			t.Errorf("%s: %d, Retry-After %q, %s", name, got.StatusCode, got.Header.Get("Retry-After"), got.body)
		}
		if strings.Contains(got.body, "disk") {
			t.Errorf("%s: an inner detail came out", name)
		}
		d.refuse = nil
		if again := b.post("/forms/main?lang=en", got.inputs()); again.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: sending it again gives %d", name, again.StatusCode)
		}
		d.refuse = c.refuse
		if j := b.do(http.MethodPost, "/forms/main", "application/json", `{"email":"a@b.example","message":"x"}`); j.StatusCode != c.want ||
			j.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(j.body, "disk") {
			t.Errorf("%s: JSON got %d %s", name, j.StatusCode, j.body)
		}
	}
}

func TestProgramsPostJSONAndAreToldWhichFieldIsWrong(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	const good = `{"name":"Maija","email":"maija@posti.example","message":"Hei","fields":{"z":"1","a":2}}`
	for range 2 {
		got := b.do(http.MethodPost, "/forms/main", "application/json", good, "Idempotency-Key", "order-1055")
		var answer struct {
			ID        string `json:"id"`
			Reference string `json:"reference"`
			StatusURL string `json:"status_url"`
		}
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.StatusCode != http.StatusAccepted {
			t.Fatalf("%d %s %v", got.StatusCode, got.body, err)
		}
		if answer.ID == "" || answer.Reference != "R-2041" || !strings.HasPrefix(answer.StatusURL, "/s/status-") || got.Header.Get("Location") != answer.StatusURL {
			t.Errorf("answer %+v", answer)
		}
	}
	if d.taken[0].EventID() != d.taken[1].EventID() || d.taken[0].ID != "order-1055" || d.taken[0].Fields[0].Name != "z" {
		t.Errorf("the same key twice: %+v", d.taken)
	}
	for body, want := range map[string]string{
		`{"email":"maija","message":"x"}`:                         "email",
		`{"email":"a@b.example"}`:                                 "message",
		`{"message":"x"}`:                                         "email",
		`{"email":"a@b.example","message":"x","owner":"me"}`:      "owner",
		`{"email":"a@b.example","message":7}`:                     "message",
		`{"email":"a@b.example","message":"x","language":"de"}`:   "language",
		`{"email":"a@b.example","message":"x","files":[{"a":1}]}`: "files[0]",
		`{"email":"a@b.example","message":"x","phone":"call me"}`: "phone",
		`[]`:    "body",
		`{"a":`: "body",
	} {
		got := b.do(http.MethodPost, "/forms/main", "application/json", body)
		var p struct {
			Type, Title, Detail string
			Status              int
			Errors              []struct{ Field, Code, Detail string }
		}
		if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.StatusCode != http.StatusBadRequest || got.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", body, got.StatusCode, got.body)
			continue
		}
		if p.Status != 400 || p.Title != "Bad Request" || len(p.Errors) == 0 || p.Errors[0].Field != want || p.Errors[0].Detail == "" || p.Detail == "" {
			t.Errorf("%s: want a problem about %s, got %s", body, want, got.body)
		}
	}
	if got := b.do(http.MethodPost, "/forms/main", "text/plain", "x"); got.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("text/plain: %d", got.StatusCode)
	}
	if got := b.do(http.MethodPost, "/forms/other", "application/json", good); got.StatusCode != http.StatusNotFound || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("an unknown account: %d %s", got.StatusCode, got.body)
	}
	if got := b.do(http.MethodPost, "/forms/main", "application/json", `{"message":"`+strings.Repeat("x", form.MaxBody)+`"}`); got.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a huge body: %d", got.StatusCode)
	}
}

func TestOtherSitesMayPostOnlyWhenAllowed(t *testing.T) {
	t.Parallel()
	d, b := setup(t, map[string]string{"allowed_origins": "https://shop.example"})
	const good = `{"email":"maija@posti.example","message":"Hei"}`
	for origin, want := range map[string]int{"": 202, "https://shop.example": 202, "https://evil.example": 403, "null": 403, b.base: 202} {
		got := b.do(http.MethodPost, "/forms/main", "application/json", good, "Origin", origin)
		if got.StatusCode != want {
			t.Errorf("origin %q: want %d, got %d", origin, want, got.StatusCode)
		}
		if cors := got.Header.Get("Access-Control-Allow-Origin"); (cors != "") != (origin == "https://shop.example") || cors == "*" {
			t.Errorf("origin %q: Access-Control-Allow-Origin %q", origin, cors)
		}
	}
	if got := b.do(http.MethodPost, "/forms/main", "application/json", good, "Sec-Fetch-Site", "cross-site"); got.StatusCode != 403 {
		t.Errorf("cross-site without an origin: %d", got.StatusCode)
	}
	before := len(d.taken)
	if got := b.post("/forms/main", url.Values{"email": {"a@b.example"}, "message": {"x"}}, "Origin", "https://evil.example"); got.StatusCode != 403 || len(d.taken) != before {
		t.Errorf("a stranger's form: %d", got.StatusCode)
	}
	if got := b.do(http.MethodOptions, "/forms/main", "", "", "Origin", "https://shop.example"); got.Header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("preflight: %v", got.Header)
	}
	if got := b.do(http.MethodOptions, "/forms/main", "", "", "Origin", "https://evil.example"); got.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a stranger's preflight: %v", got.Header)
	}
}

func TestFault10_AcknowledgementNeverRepeatsWhatWasTyped(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	page := b.get("/forms/main?lang=en")
	d.tick(5 * time.Second)
	sent := b.post("/forms/main?lang=en", page.inputs("name", "Attacker-name", "email", "victim@posti.example", "subject", "Attacker-subject", "message", "Attacker-message https://evil.example"))
	thanks := b.get(sent.Header.Get("Location"))
	for _, words := range []string{"Attacker", "evil.example", "victim"} {
		if strings.Contains(sent.body+sent.Header.Get("Location")+thanks.body, words) {
			t.Errorf("the acknowledgement repeats %q", words)
		}
	}
	// Nor can a link made by a stranger put words on it.
	made := b.get("/forms/main/thanks?lang=en&s=" + url.QueryEscape(`x"><b>Attacker</b>`) + "&title=Attacker&page=https://Attacker.example")
	if made.StatusCode != http.StatusOK || strings.Contains(made.body, "<b>") || strings.Contains(made.body, `href="/s/`) {
		t.Errorf("a made-up link shows on the page: %s", made.body)
	}
}

func TestFault33_ScriptInTypedTextIsInert(t *testing.T) {
	t.Parallel()
	d, b := setup(t, map[string]string{"fields": everyField})
	page := b.get("/forms/main?lang=en&page=javascript:alert(1)", "Referer", "javascript:alert(1)")
	if strings.Contains(page.body, "javascript:") {
		t.Error("a javascript: address came into the page")
	}
	d.tick(5 * time.Second)
	const probe = `"><script>alert(1)</script><img src=x onerror=alert(1)></textarea><a href="javascript:alert(1)">x</a>`
	got := b.post("/forms/main?lang=en", page.inputs("name", probe, "email", probe, "phone", probe, "subject", probe, "message", probe, "order", probe, "page", "javascript:alert(1)", "topic", probe, "language", probe))
	if got.StatusCode != http.StatusBadRequest {
		t.Fatalf("want 400, got %d", got.StatusCode)
	}
	harmless(t, got)
	if got.inputs().Get("subject") != probe {
		t.Error("the text was changed instead of escaped")
	}
}

func TestFault52_NoParameterLeadsToAnotherSite(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	for _, query := range []string{"next=//evil.example", "next=https://evil.example", "return_to=/%5Cevil.example", "lang=//evil.example", "s=//evil.example"} {
		page := b.get("/forms/main?" + query)
		d.tick(5 * time.Second)
		got := b.post("/forms/main?"+query, page.inputs("email", "a@b.example", "message", "x"))
		if location := got.Header.Get("Location"); !strings.HasPrefix(location, "/forms/main/thanks?") || strings.Contains(location, "evil") {
			t.Errorf("%s leads to %q", query, location)
		}
		for _, a := range page.all("a") {
			if strings.Contains(attr(a, "href"), "evil") {
				t.Errorf("%s: the page links to %q", query, attr(a, "href"))
			}
		}
	}
}

func TestFault53_HeadersDoNotSayWhoTheClientIs(t *testing.T) {
	t.Parallel()
	d, b := setup(t, nil)
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip"} {
		b.do(http.MethodPost, "/forms/main", "application/json", `{"email":"a@b.example","message":"x"}`, header, "203.0.113.9")
	}
	if len(d.clients) != 6 || len(slices.Compact(slices.Clone(d.clients))) != 1 || d.clients[0] != "127.0.0.1" {
		t.Errorf("clients were told apart by headers: %v", d.clients)
	}
}

func TestDocumentedJSONExampleIsAccepted(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/channels/form.md")
	if err != nil {
		t.Fatal(err)
	}
	body := regexp.MustCompile(`-d '(\{[^']*\})'`).FindSubmatch(page)
	if body == nil {
		t.Fatal("docs/channels/form.md has no curl example with -d")
	}
	d, b := setup(t, nil)
	if got := b.do(http.MethodPost, "/forms/main", "application/json", string(body[1]), "Idempotency-Key", "order-1055-question-1"); got.StatusCode != http.StatusAccepted || len(d.taken) != 1 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	posted := url.Values{}
	for _, pair := range regexp.MustCompile(`--data-urlencode '([a-z]+)=([^']*)'`).FindAllSubmatch(page, -1) {
		posted.Set(string(pair[1]), string(pair[2]))
	}
	if got := b.post("/forms/main", posted); len(posted) == 0 || got.StatusCode != http.StatusSeeOther {
		t.Errorf("the form example: %d %v", got.StatusCode, posted)
	}
}
