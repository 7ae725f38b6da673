//go:build parts

package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/queue"
)

// desk is the deployed shape: the functions built with sam and run by sam local in containers, with a provider and somebody who
// is signed in.
type desk struct {
	*Stack
	provider *fake.Provider
	graph    *httptest.Server
	token    string
	calls    *calls
	log      *os.File
}

const token = "local-token-0123456789abcdef"

// shared is package state, against the rule: a stack takes half a minute to start, so that the tests of this file share one, and
// a test that bears the number of a fault must be one of its own. TestMain stops it.
var shared struct {
	sync.Once
	*desk
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.desk != nil {
		if err := shared.close(); err != nil {
			fmt.Println("FAIL:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// open is the shared desk. After a test the same check as "aikajana-aws check" finds nothing.
func open(t *testing.T) *desk {
	t.Helper()
	shared.Do(func() { shared.desk, shared.err = openDesk() })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	d := shared.desk
	t.Cleanup(func() {
		if !t.Failed() {
			d.check(t)
		}
		if body, err := os.ReadFile(d.log.Name()); t.Failed() && err == nil {
			t.Logf("%s", tail(string(body)))
		}
	})
	return d
}

func openDesk() (*desk, error) {
	// The folder for temporary files, because the engine's socket lies below and its path may have 107 bytes.
	dir, err := os.MkdirTemp("", "aikajana-aws-*")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(dir + ".log")
	if err != nil {
		return nil, err
	}
	d := &desk{token: token, calls: &calls{}, log: log}
	if d.Stack, err = Start(context.Background(), Options{Root: "../..", Dir: dir, Log: log, Visibility: time.Second, called: d.calls.add}); err != nil {
		body, _ := os.ReadFile(log.Name()) // what is there helps
		return nil, fmt.Errorf("%w\n%s", errors.Join(err, os.Remove(log.Name())), tail(string(body)))
	}
	if err := d.connect(context.Background()); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *desk) close() error {
	bridge := d.engine.bridge
	err := d.Stop()
	if d.graph != nil {
		d.graph.Close()
	}
	return errors.Join(err, left(d.o.Dir, bridge), d.log.Close(), os.Remove(d.log.Name()))
}

// left looks for what a stack could leave: its folder, a bridge of its engine, processes that know the folder.
func left(dir string, bridge *bridge) error {
	var errs []error
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		errs = append(errs, fmt.Errorf("the folder %s is still there", dir))
	}
	if bridge != nil {
		errs = append(errs, bridge.gone())
	}
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	errs = append(errs, err)
	for _, p := range all {
		if line, err := os.ReadFile(p); err == nil && bytes.Contains(line, []byte(dir)) {
			errs = append(errs, fmt.Errorf("still running: %s", bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return errors.Join(errs...)
}

func (d *desk) connect(ctx context.Context) error {
	d.provider = fake.New(fake.Options{AppSecret: "app-secret", VerifyToken: "verify", AccessToken: "access", Webhook: d.BaseURL + "/hooks/whatsapp/main",
		Statuses: []string{"sent", "delivered"}, Client: &http.Client{Timeout: time.Minute}})
	d.graph = httptest.NewServer(d.provider)
	base, err := d.Inside(d.graph.URL)
	if err != nil {
		return err
	}
	c := &app.Config{Accounts: []app.AccountConfig{
		{Channel: "whatsapp", Account: "main", Settings: map[string]string{"phone_number_id": "1055", "api_base": base},
			Secrets: map[string]string{"app_secret": "literal:app-secret", "verify_token": "literal:verify", "access_token": "literal:access"}},
		{Channel: "email", Account: "help", Settings: map[string]string{"address": "help@desk.example"}},
		{Channel: "form", Account: "contact"},
	}}
	if err := d.System.Declare(ctx, c, d.System.Secrets, app.SystemLookup()); err != nil {
		return err
	}
	staff, err := people.New(d.System.App, people.Options{BaseURL: d.BaseURL, Log: d.System.Log})
	if err != nil {
		return err
	}
	_, err = staff.Auth.Bootstrap(ctx, "a password of some length", d.token)
	return err
}

// calls are those that event sources and the WebSocket API made.
type calls struct {
	mu  sync.Mutex
	all []call
}

type call struct {
	function      string
	event, answer []byte
	err           error
}

func (c *calls) add(function string, event, answer []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, call{function, event, answer, err})
}

// of are the calls of a function so far.
func (c *calls) of(function string) []call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.all), func(one call) bool { return one.function != function })
}

// hold waits until the sources are still, and keeps them so until release is called: what comes meanwhile is taken as one batch.
func hold(t *testing.T, sources *sync.RWMutex) (release func()) {
	t.Helper()
	sources.Lock()
	release = sync.OnceFunc(sources.Unlock)
	t.Cleanup(release)
	return release
}

// ask calls the API as it is deployed.
func (d *desk) ask(t *testing.T, method, path string, body any) (int, map[string]any) {
	t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, d.BaseURL+path, in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+d.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "k-"+path[max(0, len(path)-40):])
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			t.Fatalf("%s %s answered %d: %s", method, path, response.StatusCode, text)
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
		_, list := d.ask(t, http.MethodGet, "/api/v1/cases?team=support", nil)
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
	_, c := d.ask(t, http.MethodGet, "/api/v1/cases/"+id, nil)
	customer, _ := c["customer"].(string)
	_, line := d.ask(t, http.MethodGet, "/api/v1/customers/"+customer+"/timeline", nil)
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// check holds the table to every invariant. What is found while something is being written may be half of it: it is looked for again
// while everything is still.
func (d *desk) check(t *testing.T) {
	t.Helper()
	problems := d.problems(t)
	if len(problems) > 0 {
		defer hold(t, &d.polling)()
		defer hold(t, &d.reading)()
		problems = d.problems(t)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

func (d *desk) problems(t *testing.T) []string {
	t.Helper()
	report, err := check.Run(context.Background(), check.Input{Table: d.System.Table, Unfollowed: -1})
	if err != nil {
		t.Fatal(err)
	}
	return report.Problems
}

func (d *desk) writes(t *testing.T, who fake.Person, text, id string) {
	t.Helper()
	if err := d.provider.MustPost(t.Context(), d.provider.Text(who, text).ID(id)); err != nil {
		t.Fatal(err)
	}
}

func TestAWhatsAppWebhookBecomesACaseAndAForgedOneIsRefused(t *testing.T) {
	d := open(t)
	if err := d.provider.Handshake(t.Context()); err != nil {
		t.Fatalf("handshake: %v", err)
	}
	d.writes(t, fake.Person{Phone: "358401234567", Name: "Maija"}, "Hei, se on rikki", "wamid.hook")
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

func TestAMailInTheBucketBecomesACase(t *testing.T) {
	d := open(t)
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
	event, err := sqsEvent("mail", []queue.Message{{ID: "m1", Handle: "h", Body: notice, Attempt: 1, SentAt: d.System.Store.Now()}})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := d.invokeOnce(t, "MailFunction", event)
	if err != nil || len(failed(t, []byte(answer))) != 0 {
		t.Fatalf("sam local invoke answered %s, %v", answer, err)
	}
	if text := d.timeline(t, d.caseWith(t, "Pekka Puro")); !strings.Contains(text, "Missä laskuni on?") {
		t.Errorf("the timeline is %s", text)
	}
}

// failed are the records that an answer reports.
func failed(t *testing.T, answer []byte) []string {
	t.Helper()
	var said struct {
		Failures *[]struct {
			ID string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if err := json.Unmarshal(answer, &said); err != nil || said.Failures == nil {
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

func TestAnAnswerReachesTheProviderAndItsReceiptTheEntry(t *testing.T) {
	d := open(t)
	d.writes(t, fake.Person{Phone: "358401234568", Name: "Aili"}, "Onko auki?", "wamid.answer")
	id := d.caseWith(t, "Aili")
	status, made := d.ask(t, http.MethodPost, "/api/v1/cases/"+id+"/replies", map[string]any{"text": "Katson heti."})
	if status/100 != 2 {
		t.Fatalf("the reply was answered %d %v", status, made)
	}
	eventually(t, "the provider has the answer", func() bool { return len(d.provider.Sent()) > 0 })
	if sent := d.provider.Sent(); len(sent) != 1 || sent[0].Text != "Katson heti." {
		t.Errorf("the provider was sent %+v", sent)
	}
	eventually(t, "the receipt is in the timeline", func() bool { return strings.Contains(d.timeline(t, id), `"state":"delivered"`) })
}

func TestAFormIsShown(t *testing.T) {
	d := open(t)
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
