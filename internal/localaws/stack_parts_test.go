//go:build parts

package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/coder/websocket"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/queue"
)

// desk is the stack with a provider and somebody who is signed in.
type desk struct {
	*Stack
	t        *testing.T
	provider *fake.Provider
	token    string
}

const token = "local-token-0123456789abcdef"

// TestTheDeployedShapeWorksInContainers builds the functions with sam, runs them with sam local and walks one message of each
// kind through all of them.
func TestTheDeployedShapeWorksInContainers(t *testing.T) {
	d := open(t)
	t.Run("AWhatsAppWebhookBecomesACase", d.whatsApp)
	t.Run("AMailInTheBucketBecomesACase", d.mail)
	t.Run("AnAnswerReachesTheProviderAndItsReceiptTheEntry", d.answer)
	t.Run("ASocketIsToldAndAGoneOneForgotten", d.socket)
	t.Run("AFormIsShown", d.form)
	t.Run("APoisonedRecordFailsAloneAndComesBackFromTheDeadLetters", d.poison)
	t.Run("TheCheckFindsNothing", d.check)
}

func open(t *testing.T) *desk {
	t.Helper()
	// /tmp, because the engine's socket lies below and its path may have 107 bytes.
	dir, err := os.MkdirTemp("", "aikajana-aws-*")
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	stack, err := Start(t.Context(), Options{Root: "../..", Dir: dir, Log: out, Visibility: 3 * time.Second})
	if err != nil {
		body, _ := os.ReadFile(out.Name()) // what is there helps
		t.Fatalf("%v\n%s", err, tail(string(body)))
	}
	bridge := stack.engine.bridge
	t.Cleanup(func() {
		if err := stack.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			body, _ := os.ReadFile(out.Name()) // what is there helps
			t.Logf("%s", body)
		}
		leavesNothing(t, dir, bridge)
	})
	d := &desk{Stack: stack, t: t, token: token}
	d.connect()
	return d
}

// leavesNothing looks for what a stack could leave: its folder, a bridge of its engine, processes that know the folder.
func leavesNothing(t *testing.T, dir string, bridge *bridge) {
	t.Helper()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder %s is still there: %v", dir, err)
	}
	if bridge != nil {
		if err := bridge.gone(); err != nil {
			t.Error(err)
		}
	}
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if line, err := os.ReadFile(p); err == nil && bytes.Contains(line, []byte(dir)) {
			t.Errorf("still running: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
	}
}

func (d *desk) connect() {
	d.t.Helper()
	ctx := d.t.Context()
	d.provider = fake.New(fake.Options{AppSecret: "app-secret", VerifyToken: "verify", AccessToken: "access", Webhook: d.BaseURL + "/hooks/whatsapp/main",
		Statuses: []string{"sent", "delivered"}, Client: &http.Client{Timeout: time.Minute}})
	graph := httptest.NewServer(d.provider)
	d.t.Cleanup(graph.Close)
	base, err := d.Inside(graph.URL)
	if err != nil {
		d.t.Fatal(err)
	}
	c := &app.Config{Accounts: []app.AccountConfig{
		{Channel: "whatsapp", Account: "main", Settings: map[string]string{"phone_number_id": "1055", "api_base": base},
			Secrets: map[string]string{"app_secret": "literal:app-secret", "verify_token": "literal:verify", "access_token": "literal:access"}},
		{Channel: "email", Account: "help", Settings: map[string]string{"address": "help@desk.example"}},
		{Channel: "form", Account: "contact"},
	}}
	if err := d.System.Declare(ctx, c, d.System.Secrets, app.SystemLookup()); err != nil {
		d.t.Fatal(err)
	}
	staff, err := people.New(d.System.App, people.Options{BaseURL: d.BaseURL, Log: d.System.Log})
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := staff.Auth.Bootstrap(ctx, "a password of some length", d.token); err != nil {
		d.t.Fatal(err)
	}
}

// ask calls the API as it is deployed.
func (d *desk) ask(method, path string, body any) (int, map[string]any) {
	d.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			d.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(d.t.Context(), method, d.BaseURL+path, in)
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "k-"+path[max(0, len(path)-40):])
	}
	response, err := client.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			d.t.Fatalf("%s %s answered %d: %s", method, path, response.StatusCode, text)
		}
	}
	return response.StatusCode, out
}

// eventually waits for something that containers do in their own time.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); !f(); time.Sleep(300 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// caseWith finds the case whose work list line holds the text.
func (d *desk) caseWith(t *testing.T, text string) string {
	t.Helper()
	found := ""
	eventually(t, "the work list holds "+text, func() bool {
		_, list := d.ask(http.MethodGet, "/api/v1/cases?team=support", nil)
		items, _ := list["items"].([]any)
		for _, i := range items {
			one, _ := i.(map[string]any)
			id, _ := one["case"].(string)
			if id == "" {
				id, _ = one["id"].(string)
			}
			if line, _ := json.Marshal(i); strings.Contains(string(line), text) { // it was JSON a moment ago
				found = id
				return true
			}
		}
		return false
	})
	return found
}

func (d *desk) timeline(t *testing.T, id string) string {
	t.Helper()
	_, c := d.ask(http.MethodGet, "/api/v1/cases/"+id, nil)
	customer, _ := c["customer"].(string)
	_, line := d.ask(http.MethodGet, "/api/v1/customers/"+customer+"/timeline", nil)
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var maija = fake.Person{Phone: "358401234567", Name: "Maija"}

func (d *desk) whatsApp(t *testing.T) {
	if err := d.provider.Handshake(t.Context()); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	if err := d.provider.MustPost(t.Context(), d.provider.Text(maija, "Hei, se on rikki").ID("wamid.1")); err != nil {
		t.Fatal(err)
	}
	id := d.caseWith(t, "Maija")
	if text := d.timeline(t, id); !strings.Contains(text, "Hei, se on rikki") {
		t.Errorf("the timeline is %s", text)
	}
	response, err := http.Post(d.BaseURL+"/hooks/whatsapp/main", "application/json", strings.NewReader(`{"object":"forged"}`)) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode/100 != 4 {
		t.Errorf("a forged webhook was answered %d", response.StatusCode)
	}
}

func (d *desk) mail(t *testing.T) {
	raw := "Received: from mail.example.net (mail.example.net [192.0.2.1])\r\n by inbound-smtp.eu-north-1.amazonaws.com with SMTP id m1\r\n for help@desk.example;\r\n Sun, 22 Nov 2026 08:00:00 +0000 (UTC)\r\n" +
		"From: Pekka Puro <pekka@example.net>\r\nTo: help@desk.example\r\nSubject: Lasku\r\nMessage-ID: <m1@example.net>\r\nDate: Sun, 22 Nov 2026 08:00:00 +0000\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nMissä laskuni on?\r\n"
	if _, err := d.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(name), Key: aws.String("ses/m1"), Body: strings.NewReader(raw)}); err != nil {
		t.Fatal(err)
	}
	notice, err := json.Marshal(map[string]any{
		"notificationType": "Received",
		"mail":             map[string]any{"timestamp": "2026-11-22T08:00:00.000Z", "source": "pekka@example.net", "messageId": "m1", "destination": []string{"help@desk.example"}, "headers": []any{}},
		"receipt": map[string]any{"recipients": []string{"help@desk.example"}, "spamVerdict": verdict, "virusVerdict": verdict, "spfVerdict": verdict, "dkimVerdict": verdict, "dmarcVerdict": verdict,
			"action": map[string]any{"type": "S3", "bucketName": name, "objectKey": "ses/m1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	event, err := SQSEvent("mail", []queue.Message{{ID: "m1", Handle: "h", Body: notice, Attempt: 1, SentAt: d.System.Store.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.invokeOnce(t, "MailFunction", event)
	if err != nil || len(failures(t, answer)) != 0 {
		t.Fatalf("sam local invoke answered %s, %v", answer, err)
	}
	if text := d.timeline(t, d.caseWith(t, "Pekka Puro")); !strings.Contains(text, "Missä laskuni on?") {
		t.Errorf("the timeline is %s", text)
	}
}

// failures are the records that an answer reports.
func failures(t *testing.T, answer string) []string {
	t.Helper()
	var said struct {
		Failures *[]struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal([]byte(answer), &said); err != nil || said.Failures == nil {
		t.Fatalf("the function answered %s, %v", answer, err)
	}
	var all []string
	for _, f := range *said.Failures {
		all = append(all, f.ID)
	}
	return all
}

var verdict = map[string]string{"status": "PASS"}

// invokeOnce is sam local invoke: a container of its own, gone afterwards.
func (d *desk) invokeOnce(t *testing.T, function string, event []byte) (string, error) {
	t.Helper()
	bin, err := sam()
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(t.Context(), bin, "local", "invoke", function, "--template", d.template(), "--parameter-overrides", "Architecture=x86_64",
		"--skip-pull-image", "--add-host", inside+":host-gateway", "--event", "-", "--region", "eu-north-1")
	cmd.Env = append(samEnvironment(d.o.Dir), d.engine.environment()...)
	cmd.Stdin = bytes.NewReader(event)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said.String())
	}
	return string(out), nil
}

func (d *desk) answer(t *testing.T) {
	id := d.caseWith(t, "Maija")
	status, made := d.ask(http.MethodPost, "/api/v1/cases/"+id+"/replies", map[string]any{"text": "Katson heti."})
	if status/100 != 2 {
		t.Fatalf("the reply was answered %d %v", status, made)
	}
	eventually(t, "the provider has the answer", func() bool { return len(d.provider.Sent()) > 0 })
	if sent := d.provider.Sent(); len(sent) != 1 || sent[0].Text != "Katson heti." {
		t.Errorf("the provider was sent %+v", sent)
	}
	eventually(t, "the receipt is in the timeline", func() bool { return strings.Contains(d.timeline(t, id), `"state":"delivered"`) })
}

func (d *desk) socket(t *testing.T) {
	status, ticket := d.ask(http.MethodPost, "/api/v1/socket-ticket", map[string]any{})
	address, _ := ticket["url"].(string)
	if status != http.StatusCreated || !strings.HasPrefix(address, d.SocketURL) {
		t.Fatalf("the ticket is %d %v", status, ticket)
	}
	c, _, err := websocket.Dial(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	if _, _, err := websocket.Dial(t.Context(), address, nil); err == nil {
		t.Error("a ticket opened two sockets")
	}
	if err := c.Write(t.Context(), websocket.MessageText, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	if _, said, err := c.Read(within); err != nil || !strings.Contains(string(said), "pong") {
		t.Fatalf("heard %s, %v", said, err)
	}
	if err := d.provider.MustPost(t.Context(), d.provider.Text(maija, "Entä nyt?").ID("wamid.2")); err != nil {
		t.Fatal(err)
	}
	for {
		_, said, err := c.Read(within)
		if err != nil {
			t.Fatalf("the socket heard nothing of the message: %v", err)
		}
		if strings.Contains(string(said), "Entä nyt?") {
			return
		}
	}
}

func (d *desk) form(t *testing.T) {
	response, err := http.Get(d.BaseURL + "/forms/contact") //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	page, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !bytes.Contains(page, []byte("<form")) {
		t.Errorf("the form is %d, %v: %.200s", response.StatusCode, err, page)
	}
}

// poison sends an envelope whose body cannot be read yet beside a good one.
func (d *desk) poison(t *testing.T) {
	head := func(id, blob string) string {
		return fmt.Sprintf(`{"id":%q,"channel":"whatsapp","account":"main","received_at":"2026-11-22T08:00:00.000Z","blob":%q}`, id, blob) + "\n"
	}
	good := d.provider.Body(d.provider.Text(fake.Person{Phone: "358407654321", Name: "Ville"}, "Toimiiko?").ID("wamid.3"))
	batch := []queue.Message{
		{ID: "poisoned", Handle: "h1", Body: []byte(head("poisoned", "raw/20261122/late")), Attempt: 1, SentAt: d.System.Store.Now()},
		{ID: "good", Handle: "h2", Body: append([]byte(head("good", "")), good...), Attempt: 1, SentAt: d.System.Store.Now()},
	}
	event, err := SQSEvent("inbound", batch)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.Invoke(t.Context(), "ProcessFunction", event)
	if err != nil || !slices.Equal(failures(t, string(answer)), []string{"poisoned"}) {
		t.Fatalf("the batch was answered %s, %v", answer, err)
	}
	d.caseWith(t, "Ville")

	inbound := d.System.Queues["inbound"]
	if err := inbound.Send(t.Context(), queue.Outgoing{Body: batch[0].Body, Group: "whatsapp/main"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is in the dead-letter queue", func() bool {
		depth, err := inbound.Depth(t.Context())
		return err == nil && depth.Dead == 1
	})
	late := d.provider.Body(d.provider.Text(fake.Person{Phone: "358400000001", Name: "Liisa"}, "Myöhässä").ID("wamid.4"))
	if _, err := d.S3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(name), Key: aws.String("raw/20261122/late"), Body: bytes.NewReader(late)}); err != nil {
		t.Fatal(err)
	}
	if status, said := d.ask(http.MethodPost, "/api/v1/queues/inbound/redrive", map[string]any{}); status != http.StatusAccepted {
		t.Fatalf("the redrive was answered %d %v", status, said)
	}
	d.caseWith(t, "Liisa")
	eventually(t, "nothing is left", func() bool {
		depth, err := inbound.Depth(t.Context())
		return err == nil && depth == (queue.Depth{})
	})
}

func (d *desk) check(t *testing.T) {
	report, err := check.Run(t.Context(), check.Input{Table: d.System.Table, Unfollowed: -1})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Error(p)
	}
	if report.Cases < 4 {
		t.Errorf("%d cases", report.Cases)
	}
}
