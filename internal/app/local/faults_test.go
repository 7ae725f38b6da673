package local_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	mailfake "github.com/aikajana/aikajana/internal/channel/email/fake"
	hooks "github.com/aikajana/aikajana/internal/channel/webhook/fake"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
)

// Words that occur nowhere by themselves. What is secret may be kept in the file of secrets alone; what is personal may be
// kept, and may not be told to anybody who only runs the machine.
var (
	secretCanaries = map[string]string{
		"app secret": "kanari-app-secret-4711", "verify token": "kanari-verify-4711", "access token": "kanari-access-4711",
		"signing secret": "kanari-signing-secret-4711", "password": "kanari-password-4711", "api token": "kanari-api-token-4711-0123456789",
	}
	personalCanaries = map[string]string{
		"phone": "358409998877", "name": "Kanaria", "address": "salainen.henkilo", "text": "kanarianlaulu", "file name": "kanarian-lasku", "subject": "kanarianaihe",
	}
)

// buffer is a log that several goroutines write to.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// openLogged is the whole program with canaries for its secrets, logging everything.
func openLogged(t *testing.T, log io.Writer) *desk {
	t.Helper()
	return openWith(t, makings{
		appSecret: secretCanaries["app secret"], verifyToken: secretCanaries["verify token"], accessToken: secretCanaries["access token"],
		password: secretCanaries["password"], statuses: []string{"sent", "delivered"},
		accounts: fmt.Sprintf(`{"channel":"webhook","account":"main","secrets":{"signing_secret":"literal:%s"}},
			{"channel":"email","account":"main","settings":{"address":"help@desk.example","acknowledge":"yes"}},
			{"channel":"form","account":"main","settings":{"acknowledge":"yes"}}`, secretCanaries["signing secret"]),
		log: slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}),
	})
}

// ask makes a request that may be refused, and returns what it was told.
func (d *desk) ask(method, path, body string, header ...string) (int, string) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	told, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, string(told)
}

func without(t *testing.T, where, text string, canaries map[string]string) {
	t.Helper()
	for what, canary := range canaries {
		for at := strings.Index(text, canary); at >= 0; at = -1 {
			t.Errorf("%s holds the %s: …%s…", where, what, text[max(0, at-200):min(len(text), at+100)])
		}
	}
}

func TestFault56_CanariesStayOutOfLogsErrorsMetricsKeysAndSecretsOutOfTheStore(t *testing.T) {
	log := &buffer{}
	d := openLogged(t, log)
	errors := d.sing()
	status, metrics := d.ask(http.MethodGet, "/metrics", "")
	if status != http.StatusOK || !strings.Contains(metrics, "aikajana_events_total") {
		t.Fatalf("metrics: %d %s", status, metrics)
	}
	d.end()

	for _, canaries := range []map[string]string{secretCanaries, personalCanaries} {
		without(t, "the log", log.String(), canaries)
		without(t, "the metrics", metrics, canaries)
		without(t, "an error", errors, canaries)
	}
	if !strings.Contains(log.String(), `"level":"WARN"`) {
		t.Error("nothing was logged that could hold anything")
	}
	d.searchStore(t)
	blobs := 0
	err := filepath.WalkDir(filepath.Join(d.data, "blobs"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		blobs++
		without(t, "the name of a blob", path, personalCanaries)
		b, err := os.ReadFile(path)
		without(t, "blob "+path, string(b), secretCanaries)
		return err
	})
	if err != nil || blobs == 0 {
		t.Errorf("%d blobs, %v", blobs, err)
	}
	kept, err := os.ReadFile(filepath.Join(d.data, "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	without(t, "the file of secrets", string(kept), secretCanaries)
}

// sing sends canaries down every path, wanted and unwanted, and returns all errors that were told to the outside.
func (d *desk) sing() string {
	d.t.Helper()
	t, ctx := d.t, d.t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	who := fake.Person{Phone: personalCanaries["phone"], Name: personalCanaries["name"]}
	text := personalCanaries["text"]
	lost := d.graph.AddMedia("application/pdf", []byte("%PDF-1.4"))
	d.graph.ForgetMedia(lost)
	must(d.graph.MustPost(ctx,
		d.graph.Text(who, text).ID("w1"), d.graph.Document(who, lost, personalCanaries["file name"]+".pdf", text).ID("w2"),
		d.graph.Unknown(who, "hologram", map[string]string{"of": text}).ID("w3")))
	broken := bytes.Replace(d.graph.Body(d.graph.Text(who, text).ID("w4")), []byte(`"messages":[`), []byte(`"messages":[{"from":7,"text":"`+text+`"},`), 1)
	_, err := d.graph.PostBody(ctx, broken)
	must(err)
	_, err = d.graph.PostBody(ctx, []byte(`{"object":"`+text+`","entry":7}`))
	must(err)
	forger := fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: "wrong", Webhook: d.base + "/hooks/whatsapp/main"})
	_, err = forger.Post(ctx, forger.Text(who, text).ID("w5"))
	must(err)

	address := personalCanaries["address"] + "@kanari.example"
	d.world.Rule(mailfake.Rule{To: "*", Code: 550, Text: "5.1.1 no such user " + address}) // refuses the acknowledgements
	letter := mailfake.Letter{
		From: address, Name: personalCanaries["name"], To: []string{"help@desk.example"}, Subject: personalCanaries["subject"], Text: text,
		MessageID: "a@kanari.example", Date: time.Now(),
	}
	must(mailfake.Send(ctx, d.smtp, letter))
	letter.Raw = []byte("From: " + address + "\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain; charset=nonsense\r\n\r\n" + text + "\r\n")
	must(mailfake.Send(ctx, d.smtp, letter))
	letter.To = []string{"nobody@desk.example"}
	if err := mailfake.Send(ctx, d.smtp, letter); err == nil {
		t.Error("mail to an unknown address was taken")
	}
	form := url.Values{"name": {personalCanaries["name"]}, "email": {address}, "message": {text}, "subject": {personalCanaries["subject"]}}
	resp, err := http.PostForm(d.base+"/forms/main", form)
	must(err)
	must(resp.Body.Close())
	sender := &hooks.Sender{URL: d.base + "/hooks/webhook/main", Secret: secretCanaries["signing secret"], Source: "//shop.example", Now: time.Now}
	status, err := sender.Message(ctx, "e1", hooks.Message{From: hooks.Person{Kind: "shop.customer", Value: personalCanaries["address"], Name: personalCanaries["name"]}, Text: text})
	must(err)
	if status/100 != 2 {
		t.Fatalf("webhook: %d", status)
	}
	d.until("everything is worked in", func() bool {
		_, list := d.ask(http.MethodGet, "/api/v1/cases?state=open&limit=50", "", "Authorization", "Bearer "+token)
		return strings.Count(list, `"case":`) >= 4
	})

	// An answer that is refused for a moment and one that is refused for good, beside the acknowledgements.
	d.graph.Next(fake.Refuse(http.StatusTooManyRequests, 130429), fake.Refuse(http.StatusBadRequest, 131026))
	var list struct{ Items []caseView }
	d.call(http.MethodGet, "/api/v1/cases?state=open&limit=50", nil, &list)
	for _, c := range list.Items {
		if c.Channel == "whatsapp" { // mails are held back for a while, so that the agent can take them back
			d.call(http.MethodPost, "/api/v1/cases/"+c.Case+"/replies", map[string]string{"text": text}, nil)
			d.call(http.MethodPost, "/api/v1/cases/"+c.Case+"/replies", map[string]string{"text": text}, nil)
		}
	}
	d.until("two answers failed", func() bool {
		failed := 0
		for _, c := range list.Items {
			failed += strings.Count(strings.Join(d.lines(c.Customer), "\n"), " out failed ")
		}
		return failed >= 2
	})
	return d.blunder(text, address)
}

// blunder makes calls that must be refused, and returns what was told.
func (d *desk) blunder(text, address string) string {
	d.t.Helper()
	var told strings.Builder
	bearer := []string{"Authorization", "Bearer " + token}
	for _, call := range []struct {
		method, path, body string
		header             []string
	}{
		{http.MethodGet, "/hooks/whatsapp/main?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", "", nil},
		{http.MethodPost, "/hooks/whatsapp/main", `{"text":"` + text + `"}`, []string{"X-Hub-Signature-256", "sha256=00"}},
		{http.MethodPost, "/hooks/webhook/main", `{"text":"` + text + `"}`, nil},
		{http.MethodPost, "/api/v1/sessions", `{"user":"admin","password":"` + secretCanaries["password"] + `x"}`, nil},
		{http.MethodPost, "/api/v1/sessions", `{"user":7,"password":"` + secretCanaries["password"] + `"`, nil},
		{http.MethodGet, "/api/v1/cases", "", []string{"Authorization", "Bearer " + secretCanaries["api token"]}},
		{http.MethodGet, "/socket?ticket=" + secretCanaries["api token"], "", nil},
		{http.MethodPost, "/api/v1/merges", `{"customers":["` + text + `"]}`, bearer},
		{http.MethodPut, "/api/v1/accounts/whatsapp/main", `{"secrets":{"app_secret":7,"x":"` + secretCanaries["app secret"] + `"}}`, bearer},
		{http.MethodPost, "/forms/main", `{"nonsense":"` + text + `","email":"` + address + `"}`, nil},
		{http.MethodGet, "/s/" + secretCanaries["api token"], "", nil},
		{http.MethodGet, "/setup/" + secretCanaries["api token"], "", nil},
	} {
		status, body := d.ask(call.method, call.path, call.body, call.header...)
		if status < 400 {
			d.t.Errorf("%s %s was answered %d", call.method, call.path, status)
		}
		told.WriteString(body)
	}
	return told.String()
}

// searchStore looks for secrets in everything that the store holds, queues included, and for people in its keys.
func (d *desk) searchStore(t *testing.T) {
	t.Helper()
	db, err := engine.Open(filepath.Join(d.data, "store"), engine.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	seen := 0
	err = db.Scan(nil, []byte{0xff}, false, func(key, value []byte) bool {
		seen++
		without(t, fmt.Sprintf("the value at %q", key), string(value), secretCanaries)
		return true
	})
	if err != nil || seen < 50 {
		t.Fatalf("%d records were looked at, %v", seen, err)
	}
	items, err := pebble.New(db, func() msg.Time { return 0 })
	if err != nil {
		t.Fatal(err)
	}
	all, err := items.Scan(t.Context(), table.Key{}, 10000)
	if err != nil || len(all) < 20 {
		t.Fatalf("%d items, %v", len(all), err)
	}
	for _, i := range all {
		without(t, "a key", i.PK+" "+i.SK, personalCanaries)
	}
}

func TestFault19_BelowHooksThereIsNothingButVerifiedWebhooks(t *testing.T) {
	log := &buffer{}
	d := openLogged(t, log)
	for _, path := range []string{
		"/hooks", "/hooks/", "/hooks/whatsapp", "/hooks/whatsapp/", "/hooks/whatsapp/main", "/hooks/whatsapp/main/", "/hooks/whatsapp/main/more", "/hooks/whatsapp/nobody",
		"/hooks/email/main", "/hooks/form/main", "/hooks/webhook/main", "/hooks/nonsense/main", "/hooks/whatsapp%2Fmain", "/hooks//main", "/hooks/../hooks/whatsapp/main",
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			if status, told := d.ask(method, path, `{"object":"whatsapp_business_account","entry":[]}`); status < 400 {
				t.Errorf("%s %s: %d %s", method, path, status, told)
			}
		}
	}
	var ledger struct {
		Items []struct {
			Channel   string
			Envelopes struct{ Accepted int }
		}
	}
	d.call(http.MethodGet, "/api/v1/reconciliation", nil, &ledger)
	for _, b := range ledger.Items {
		if b.Envelopes.Accepted != 0 {
			t.Errorf("%s accepted %d", b.Channel, b.Envelopes.Accepted)
		}
	}
}
