package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aikajana/aikajana/internal/app/local"
	mailfake "github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/smtprelay"
)

const token = "a-token-for-tests-0123456789"

// desk is the whole program in this process, with the outside world around it.
type desk struct {
	t     *testing.T
	data  string
	base  string
	smtp  string
	graph *fake.Provider
	world *mailfake.World
	end   func()
}

// makings are what differs between desks: their secrets, how far WhatsApp tells of answers, the accounts beside WhatsApp's
// (JSON), and who hears the log.
type makings struct {
	appSecret, verifyToken, accessToken, password string

	statuses []string
	accounts string
	log      slog.Handler
}

func open(t *testing.T) *desk {
	t.Helper()
	return openWith(t, makings{
		appSecret: "secret", verifyToken: "verify", accessToken: "token", password: "correct-horse-battery", statuses: []string{"sent", "delivered", "read"},
		accounts: `{"channel":"email","account":"main","settings":{"address":"help@desk.example"}},{"channel":"form","account":"main"}`, log: slog.DiscardHandler,
	})
}

func openWith(t *testing.T, m makings) *desk {
	t.Helper()
	d := &desk{t: t, data: filepath.Join(t.TempDir(), "data")}
	d.graph = fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: m.appSecret, VerifyToken: m.verifyToken, AccessToken: m.accessToken, Statuses: m.statuses})
	graph := httptest.NewServer(d.graph)
	t.Cleanup(graph.Close)
	var err error
	if d.world, err = mailfake.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.world.Close(); err != nil {
			t.Error(err)
		}
	})
	relay, err := smtprelay.New(smtprelay.Options{Addr: d.world.Addr(), Security: smtprelay.None})
	if err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "accounts.json")
	body := fmt.Sprintf(`{"accounts":[
		{"channel":"whatsapp","account":"main","settings":{"phone_number_id":"1055","api_base":%q},
		 "secrets":{"app_secret":"literal:%s","verify_token":"literal:%s","access_token":"literal:%s"}},
		%s]}`, graph.URL, m.appSecret, m.verifyToken, m.accessToken, m.accounts)
	if err := os.WriteFile(conf, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(local.Options{
		Data: d.data, HTTP: "127.0.0.1:0", SMTP: "127.0.0.1:0", Config: conf, AllowPrivate: true, Token: token, AdminPassword: m.password,
		Mailer: relay, Log: slog.New(m.log),
	})
	if err != nil {
		t.Fatal(err)
	}
	d.base, d.smtp = "http://"+s.HTTPAddr(), s.SMTPAddr()
	d.world.SetDesk(d.smtp)
	d.graph.SetWebhook(d.base + "/hooks/whatsapp/main")
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	d.end = func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("it did not end in order: %v", err)
		}
		d.end = func() {}
	}
	t.Cleanup(func() { d.end() })
	return d
}

// call makes an API call that must succeed and decodes its answer.
func (d *desk) call(method, path string, body, into any) {
	d.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			d.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.base+path, in)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		d.t.Fatal(err)
	}
	if resp.StatusCode >= 300 {
		d.t.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, b)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			d.t.Fatalf("%s %s: %v in %s", method, path, err, b)
		}
	}
}

type caseView struct {
	Case, Customer, Channel, State string
}

// cases waits until the work list holds n open cases.
func (d *desk) cases(n int) map[string]caseView {
	d.t.Helper()
	byChannel := map[string]caseView{}
	d.until(fmt.Sprintf("%d open cases", n), func() bool {
		var list struct{ Items []caseView }
		d.call(http.MethodGet, "/api/v1/cases?state=open", nil, &list)
		for _, c := range list.Items {
			byChannel[c.Channel] = c
		}
		return len(list.Items) == n
	})
	return byChannel
}

func (d *desk) until(what string, done func() bool) {
	d.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if done() {
			return
		}
	}
	d.t.Fatalf("waited in vain for %s", what)
}

// lines is the customer's timeline: channel, direction, state and text.
func (d *desk) lines(customer string) []string {
	d.t.Helper()
	var page struct {
		Items []struct {
			Channel, Direction, State string
			Message                   struct{ Text string }
		}
	}
	d.call(http.MethodGet, "/api/v1/customers/"+customer+"/timeline", nil, &page)
	var lines []string
	for _, e := range page.Items {
		lines = append(lines, fmt.Sprintf("%s %s %s %s", e.Channel, e.Direction, e.State, strings.TrimSpace(e.Message.Text)))
	}
	return lines
}

func TestOnePersonOnThreeChannelsBecomesOneTimelineAndHearsBackOnEach(t *testing.T) {
	d := open(t)
	var made struct{ Ticket, URL string }
	d.call(http.MethodPost, "/api/v1/socket-ticket", map[string]string{}, &made)
	socket, resp, err := websocket.Dial(t.Context(), d.base+"/socket?ticket="+url.QueryEscape(made.Ticket), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body != nil {
		_ = resp.Body.Close()
	}
	defer func() { _ = socket.CloseNow() }()

	maija := fake.Person{Phone: "358401234567", Name: "Maija"}
	if err := d.graph.MustPost(t.Context(), d.graph.Text(maija, "Lamppu on rikki").ID("w1")); err != nil {
		t.Fatal(err)
	}
	err = mailfake.Send(t.Context(), d.smtp, mailfake.Letter{
		From: "maija@mail.example", Name: "Maija", To: []string{"help@desk.example"}, Subject: "Lamppu", Text: "Sama asia postilla.", MessageID: "a@mail.example", Date: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	form, err := http.PostForm(d.base+"/forms/main", url.Values{"name": {"Maija"}, "email": {"maija@lomake.example"}, "message": {"Ja vielä lomakkeella."}})
	if err != nil {
		t.Fatal(err)
	}
	_ = form.Body.Close()
	if form.StatusCode != http.StatusOK {
		t.Fatalf("form: %d", form.StatusCode)
	}
	cases := d.cases(3)
	pushed := map[string]bool{}
	for len(pushed) < 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, b, err := socket.Read(ctx)
		cancel()
		if err != nil {
			t.Fatalf("the socket told of %v only: %v", pushed, err)
		}
		var m struct {
			Type  string
			Entry struct{ Channel string }
		}
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		if m.Type == "entry" {
			pushed[m.Entry.Channel] = true
		}
	}

	for channel, text := range map[string]string{"whatsapp": "Vastaus WhatsAppissa", "email": "Vastaus postilla", "form": "Vastaus lomakkeelle"} {
		d.call(http.MethodPost, "/api/v1/cases/"+cases[channel].Case+"/replies", map[string]string{"text": text}, nil)
	}
	var merge struct{ Merge string }
	d.call(http.MethodPost, "/api/v1/merges", map[string]any{"customers": []string{cases["whatsapp"].Customer, cases["email"].Customer}}, nil)
	d.call(http.MethodPost, "/api/v1/merges", map[string]any{"customers": []string{cases["email"].Customer, cases["form"].Customer}}, &merge)

	// Mail answers are held back for ten seconds, so that the agent can take them back.
	d.until("two mails", func() bool { return len(d.world.Received()) == 2 })
	answered, byMail := mailfake.Mail{}, map[string]bool{}
	for _, m := range d.world.Received() {
		byMail[m.Recipients[0]] = true
		if m.Recipients[0] == "maija@mail.example" {
			answered = m
		}
	}
	if !byMail["maija@mail.example"] || !byMail["maija@lomake.example"] {
		t.Errorf("answers by mail went to %v", byMail)
	}
	reply := mailfake.Reply(answered, "maija@mail.example", "b@mail.example", "Kiitos!", time.Now())
	if err := mailfake.Send(t.Context(), d.smtp, *reply); err != nil {
		t.Fatal(err)
	}
	var lines []string
	d.until("the customer's thanks", func() bool {
		lines = d.lines(cases["form"].Customer)
		return len(lines) == 7
	})
	whole := strings.Join(lines, "\n")
	for _, want := range []string{
		"whatsapp in received Lamppu on rikki", "email in received Sama asia postilla.", "form in received Ja vielä lomakkeella.",
		"whatsapp out read Vastaus WhatsAppissa", "email out accepted Vastaus postilla", "email out accepted Vastaus lomakkeelle", "email in received Kiitos!",
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("the timeline lacks %q:\n%s", want, whole)
		}
	}
	var c caseView
	d.call(http.MethodGet, "/api/v1/cases/"+cases["email"].Case, nil, &c)
	if c.State != "open" {
		t.Errorf("the customer's answer by mail did not come back to its case: %+v", c)
	}
	d.call(http.MethodDelete, "/api/v1/merges/"+merge.Merge, nil, nil)
	if got := d.lines(cases["form"].Customer); len(got) != 2 {
		t.Errorf("after taking a merge back: %q", got)
	}
	d.end()
	report, err := local.Check(context.Background(), d.data)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Error(p)
	}
}
