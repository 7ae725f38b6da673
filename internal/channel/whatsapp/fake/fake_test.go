package fake_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/whatsapp"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/msg"
)

var maija = fake.Person{Phone: "358401234567", UserID: "FI.1348", Name: "Maija", Username: "maijam"}

// The fake shares no type with the adapter, so this is where both are held against each other.
func TestTheAdapterUnderstandsEverythingTheFakeSends(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	p := fake.New(fake.Options{Now: func() time.Time { return at }})
	media := p.AddMedia("image/jpeg", []byte("x"))
	hidden := fake.Person{UserID: "FI.77", Name: "Onni", Username: "onni"}
	for what, c := range map[string]struct {
		update fake.Update
		kind   msg.Kind
		part   msg.PartKind
	}{
		"text":            {p.Text(maija, "Hei"), msg.KindMessage, ""},
		"hidden number":   {p.Text(hidden, "Hei"), msg.KindMessage, ""},
		"quote":           {p.Text(maija, "Hei").ReplyTo("wamid.Q"), msg.KindMessage, ""},
		"forwarded":       {p.Text(maija, "Hei").Forwarded(), msg.KindMessage, ""},
		"group":           {p.Text(maija, "Hei").Group("Y2FwaQ=="), msg.KindMessage, ""},
		"image":           {p.Image(maija, media, "kuva"), msg.KindMessage, msg.PartImage},
		"video":           {p.Video(maija, media, ""), msg.KindMessage, msg.PartVideo},
		"voice":           {p.Voice(maija, media), msg.KindMessage, msg.PartVoice},
		"audio":           {p.Audio(maija, media), msg.KindMessage, msg.PartAudio},
		"document":        {p.Document(maija, media, "a.pdf", ""), msg.KindMessage, msg.PartFile},
		"sticker":         {p.Sticker(maija, media), msg.KindMessage, msg.PartSticker},
		"location":        {p.Location(maija, 60.1, 24.9, "Kauppa", ""), msg.KindMessage, msg.PartLocation},
		"contact":         {p.Contact(maija, "Lauri", "+358 50 1"), msg.KindMessage, msg.PartContact},
		"order":           {p.Order(maija, "kuksa", 2, 30, ""), msg.KindMessage, msg.PartOrder},
		"button":          {p.Button(maija, "Peru", "PERU"), msg.KindMessage, msg.PartChoice},
		"choice":          {p.Choice(maija, "1", "Kyllä"), msg.KindMessage, msg.PartChoice},
		"list":            {p.ListChoice(maija, "1", "Nouto", "tänään"), msg.KindMessage, msg.PartChoice},
		"form":            {p.Form(maija, `{"a":"b"}`), msg.KindMessage, msg.PartForm},
		"advertisement":   {p.Advertisement(maija, "Hei", "Syksy", "https://x.example"), msg.KindMessage, msg.PartLink},
		"unsupported":     {p.Unsupported(maija), msg.KindMessage, msg.PartRaw},
		"unknown":         {p.Unknown(maija, "hologram", "x"), msg.KindMessage, msg.PartRaw},
		"reaction":        {p.Reaction(maija, "wamid.R", "👍"), msg.KindReaction, ""},
		"reaction back":   {p.Reaction(maija, "wamid.R", ""), msg.KindReaction, ""},
		"edit":            {p.Edit(maija, "wamid.R", "Hei!"), msg.KindEdit, ""},
		"revoke":          {p.Revoke(maija, "wamid.R"), msg.KindRemoval, ""},
		"number changed":  {p.Changed(maija, fake.Person{Phone: "358409", UserID: "FI.2"}), msg.KindIdentity, ""},
		"user ID changed": {p.Changed(hidden, fake.Person{UserID: "FI.78"}), msg.KindIdentity, ""},
		"echo":            {p.Echo(maija, "Vastaus"), msg.KindMessage, ""},
		"status":          {p.Status(fake.Sent{ID: "wamid.O", To: "358401234567"}, "read"), msg.KindReceipt, ""},
		"failed":          {p.Failed(fake.Sent{ID: "wamid.O", Recipient: "FI.1348"}, 131047), msg.KindReceipt, ""},
	} {
		events, err := whatsapp.Adapter{}.Parse(channel.Envelope{Channel: "whatsapp", Account: "main", Body: p.Body(c.update)})
		if err != nil || len(events) != 1 {
			t.Errorf("%s: want one event, got %d, %v", what, len(events), err)
			continue
		}
		e := events[0]
		if e.Kind != c.kind || e.Time != msg.TimeOf(at) || e.Scope != "1055" || e.Thread == "" {
			t.Errorf("%s: want a %s at %s, got %+v", what, c.kind, at, e)
		}
		if c.part != "" && (e.Message == nil || len(e.Message.Parts) != 1 || e.Message.Parts[0].Kind != c.part || e.Message.Parts[0].Text == "" && e.Message.Parts[0].Media == nil) {
			t.Errorf("%s: want a part %s, got %+v", what, c.part, e.Message)
		}
	}
}

func TestTheFakeShakesHandsAndRepeatsUntilItIsHeard(t *testing.T) {
	t.Parallel()
	refusals := 2
	p := fake.New(fake.Options{AppSecret: "s", VerifyToken: "v"})
	account := &channel.Account{ID: "main", Secrets: map[string][]string{"app_secret": {"s"}, "verify_token": {"v"}}}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		reply, err := whatsapp.Adapter{}.Verify(&channel.Request{Account: account, Method: r.Method, URL: r.URL, Header: r.Header, Body: body})
		switch {
		case err != nil:
			w.WriteHeader(http.StatusForbidden)
		case reply != nil:
			_, _ = w.Write(reply.Body)
		case refusals > 0:
			refusals--
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer hook.Close()
	p.SetWebhook(hook.URL)
	if err := p.Handshake(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.MustPost(t.Context(), p.Text(maija, "ÄÖ")); err != nil || refusals != 0 {
		t.Errorf("want the delivery repeated until it is taken, got %v with %d refusals left", err, refusals)
	}
	account.Secrets["verify_token"] = []string{"other"}
	if err := p.Handshake(t.Context()); err == nil {
		t.Error("a handshake with another token succeeds")
	}
	account.Secrets["app_secret"] = []string{"other"}
	if status, err := p.Post(t.Context(), p.Text(maija, "ÄÖ")); err != nil || status != http.StatusForbidden {
		t.Errorf("a delivery with another secret: got %d, %v", status, err)
	}
}

func TestTheFakeKeepsTheProvidersLimits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	p := fake.New(fake.Options{AppSecret: "s", AccessToken: "t", Burst: 2, Window: true, Now: func() time.Time { return now }})
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer hook.Close()
	p.SetWebhook(hook.URL)
	send := func(body string) (int, string) {
		r := httptest.NewRequest(http.MethodPost, "/v25.0/1055/messages", bytes.NewBufferString(body))
		r.Header.Set("Authorization", "Bearer t")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	const good = `{"messaging_product":"whatsapp","recipient_type":"individual","to":"358401234567","type":"text","text":{"body":"x"}}`
	if status, body := send(good); status != 400 || !strings.Contains(body, "131047") {
		t.Errorf("before the customer wrote: got %d %s", status, body)
	}
	if _, err := p.Post(t.Context(), p.Text(maija, "Hei")); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{200, 200, 400} {
		if status, body := send(good); status != want || want == 400 && !strings.Contains(body, "131056") {
			t.Errorf("answer %d in a burst of 2: want %d, got %d %s", i, want, status, body)
		}
	}
	now = now.Add(6 * time.Second)
	if status, body := send(good); status != 200 {
		t.Errorf("after 6 s: got %d %s", status, body)
	}
	now = now.Add(25 * time.Hour)
	if status, body := send(good); status != 400 || !strings.Contains(body, "131047") {
		t.Errorf("after 25 hours: got %d %s", status, body)
	}
	if status, _ := send(strings.Replace(good, `"to":"358401234567",`, "", 1)); status != 400 {
		t.Errorf("to nobody: got %d", status)
	}
}

func TestEveryAddressThatTheFakeGivesOfAFileIsGoodForItsFiveMinutes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 30, 10, 0, 0, 0, time.UTC)
	p := fake.New(fake.Options{AccessToken: "t", Now: func() time.Time { return now }})
	id := p.AddMedia("image/jpeg", []byte("jpeg bytes"))
	get := func(at string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, at, http.NoBody)
		r.Header.Set("Authorization", "Bearer t")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	var addresses []string
	for range 2 { // two workers that fetch the same file
		var found struct{ URL string }
		if _, answer := get("/v25.0/" + id); json.Unmarshal([]byte(answer), &found) != nil || found.URL == "" {
			t.Fatalf("the look-up answers %q", answer)
		}
		addresses = append(addresses, found.URL)
	}
	for _, want := range []int{http.StatusOK, http.StatusNotFound} {
		for _, address := range addresses {
			if status, _ := get(address); status != want {
				t.Errorf("at %s: want status %d, got %d", now, want, status)
			}
		}
		now = now.Add(5 * time.Minute)
	}
	if status, _ := get("/files/" + id + "?hash=guessed"); status != http.StatusNotFound {
		t.Errorf("an address that was never given: got status %d", status)
	}
}
