package awslambda

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// sample reads a sample event; what the program does not read of it may be there, but the JSON must be the event's.
func sample[E any](t *testing.T, name string) E {
	t.Helper()
	return decoded[E](t, filepath.Join("..", "..", "infra", "events", name+".json"))
}

func decoded[E any](t *testing.T, file string) E {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e E
	if err := json.Unmarshal(body, &e); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return e
}

// served gives an event to a handler and returns the request that it saw, and its body.
func served(t *testing.T, e events.APIGatewayV2HTTPRequest) (*http.Request, []byte) {
	t.Helper()
	var got *http.Request
	var body []byte
	h := HTTP(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = r
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
	}))
	response, err := h(t.Context(), e)
	if err != nil || got == nil {
		t.Fatalf("the handler was not called: %+v, %v", response, err)
	}
	return got, body
}

func TestBodyInBase64IsTheBytesThatTheProviderSigned(t *testing.T) {
	t.Parallel()
	e := sample[events.APIGatewayV2HTTPRequest](t, "webhook")
	r, body := served(t, e)
	if !utf8.Valid(body) || !bytes.Contains(body, []byte("Toimiiko lähetys 😀")) || fmt.Sprint(r.ContentLength) != r.Header.Get("Content-Length") || r.ContentLength != int64(len(body)) {
		t.Errorf("body %q of length %d", body, r.ContentLength)
	}
	if r.Method != http.MethodPost || r.URL.Path != "/hooks/whatsapp/main" {
		t.Errorf("got %s %s", r.Method, r.URL)
	}
	mac := hmac.New(sha256.New, []byte("app-secret"))
	mac.Write(body)
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); r.Header.Get("X-Hub-Signature-256") != want {
		t.Errorf("the signature is over other bytes: %s, want %s", r.Header.Get("X-Hub-Signature-256"), want)
	}
}

func TestBodyThatIsNotBase64IsRefusedAndNothingIsCalled(t *testing.T) {
	t.Parallel()
	e := sample[events.APIGatewayV2HTTPRequest](t, "webhook")
	e.Body = "*not base64*"
	h := HTTP(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }))
	response, err := h(t.Context(), e)
	if err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("got %+v, %v", response, err)
	}
}

func TestTextBodyIsTakenAsItIs(t *testing.T) {
	t.Parallel()
	e := sample[events.APIGatewayV2HTTPRequest](t, "webhook")
	e.Body, e.IsBase64Encoded = "ääkkösiä \u0000 ja +%20", false
	if _, body := served(t, e); string(body) != e.Body {
		t.Errorf("got %q", body)
	}
}

func TestFault53_ClientIsTheConnectionsAddressWhateverHeadersSay(t *testing.T) {
	t.Parallel()
	r, _ := served(t, sample[events.APIGatewayV2HTTPRequest](t, "webhook"))
	if r.RemoteAddr != "173.252.88.66:0" {
		t.Errorf("remote address %q", r.RemoteAddr)
	}
	r, _ = served(t, sample[events.APIGatewayV2HTTPRequest](t, "api"))
	if r.RemoteAddr != "[2001:db8::17]:0" {
		t.Errorf("remote address %q", r.RemoteAddr)
	}
}

func TestStageIsTakenOffThePathAndTheQueryKeptAsSent(t *testing.T) {
	t.Parallel()
	e := sample[events.APIGatewayV2HTTPRequest](t, "api")
	e.RequestContext.Stage, e.RawPath = "prod", "/prod"+e.RawPath
	e.RawQueryString = "team=support&state=open&state=waiting&q=p%C3%A4%C3%A4sky%20%2B1"
	r, _ := served(t, e)
	if r.URL.Path != "/api/v1/cases" || r.RequestURI != "/api/v1/cases?"+e.RawQueryString {
		t.Errorf("got path %q, URI %q", r.URL.Path, r.RequestURI)
	}
	if q := r.URL.Query(); q.Get("q") != "pääsky +1" || len(q["state"]) != 2 {
		t.Errorf("query %v", q)
	}
	e.RawPath = "/prod"
	if r, _ = served(t, e); r.URL.Path != "/" {
		t.Errorf("the stage alone became %q", r.URL.Path)
	}
	e.RawPath = "/production/x" // begins like the stage, and is not it
	if r, _ = served(t, e); r.URL.Path != "/production/x" {
		t.Errorf("a path that only begins like the stage became %q", r.URL.Path)
	}
	e.RawPath = "/prod/forms/a%2Fb"
	if r, _ = served(t, e); r.URL.EscapedPath() != "/forms/a%2Fb" {
		t.Errorf("an escaped slash became %q", r.URL.EscapedPath())
	}
}

func TestCookiesComeFromTheirOwnField(t *testing.T) {
	t.Parallel()
	r, _ := served(t, sample[events.APIGatewayV2HTTPRequest](t, "api"))
	c, err := r.Cookie("__Host-aikajana")
	if err != nil || c.Value != "first" {
		t.Errorf("cookie %v, %v", c, err)
	}
	if len(r.Cookies()) != 2 {
		t.Errorf("cookies %v: each is there once", r.Cookies())
	}
}

func TestHeaderNamesMayComeInAnyCase(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"api", "pages"} { // AWS lower-cases, sam local does not
		r, _ := served(t, sample[events.APIGatewayV2HTTPRequest](t, name))
		if r.Header.Get("Accept") == "" {
			t.Errorf("%s: no Accept in %v", name, r.Header)
		}
	}
}

func TestHostIsTheOneThatWasAskedFor(t *testing.T) {
	t.Parallel()
	r, _ := served(t, sample[events.APIGatewayV2HTTPRequest](t, "api"))
	if r.Host != "desk.example" || r.Header.Get("Host") != "" {
		t.Errorf("host %q, header %q", r.Host, r.Header.Get("Host"))
	}
	e := sample[events.APIGatewayV2HTTPRequest](t, "pages")
	e.RequestContext.DomainName = ""
	if r, _ = served(t, e); r.Host != "localhost:3000" {
		t.Errorf("without a domain name: host %q", r.Host)
	}
}

// answered gives what a handler writes as Lambda's response.
func answered(t *testing.T, h http.HandlerFunc) events.APIGatewayV2HTTPResponse {
	t.Helper()
	response, err := HTTP(h)(t.Context(), sample[events.APIGatewayV2HTTPRequest](t, "pages"))
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestAnswerKeepsCookiesApartAndJoinsRepeatedHeaders(t *testing.T) {
	t.Parallel()
	got := answered(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "a=1; Expires=Sun, 22 Nov 2026 08:00:00 GMT")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Add("Vary", "Accept-Language")
		w.Header().Add("Vary", "Origin")
		w.WriteHeader(http.StatusCreated)
		w.WriteHeader(http.StatusTeapot) // too late
	})
	if got.StatusCode != http.StatusCreated || len(got.Cookies) != 2 || got.Headers["Set-Cookie"] != "" || got.Headers["Vary"] != "Accept-Language, Origin" {
		t.Errorf("got %+v", got)
	}
}

func TestAnswerThatIsNotTextTravelsInBase64(t *testing.T) {
	t.Parallel()
	picture := []byte{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0xff}
	got := answered(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(picture) }) // it cannot fail
	if !got.IsBase64Encoded || got.Body != "iVBORw0KGgr/" || got.Headers["Content-Type"] != "image/png" || got.StatusCode != http.StatusOK {
		t.Errorf("got %+v", got)
	}
	got = answered(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "päivää") }) // it cannot fail
	if got.IsBase64Encoded || got.Body != "päivää" {
		t.Errorf("text became %+v", got)
	}
}

func TestAnswerWithoutAWordIsAnEmpty200(t *testing.T) {
	t.Parallel()
	got := answered(t, func(http.ResponseWriter, *http.Request) {})
	if got.StatusCode != http.StatusOK || got.Body != "" || got.IsBase64Encoded {
		t.Errorf("got %+v", got)
	}
}

func TestFault57_OnlyTheFailedMessageOfABatchIsReported(t *testing.T) {
	t.Parallel()
	e := sample[events.SQSEvent](t, "process")
	var seen []queue.Message
	response, err := SQS(func(_ context.Context, batch []queue.Message) []string {
		seen = batch
		return []string{batch[1].ID}
	})(t.Context(), e)
	if err != nil || len(response.BatchItemFailures) != 1 || response.BatchItemFailures[0].ItemIdentifier != "2e1424d4-f796-459a-8184-9c92662be6da" {
		t.Fatalf("got %+v, %v", response, err)
	}
	want := queue.Message{
		ID: "059f36b4-87a3-44ab-83d2-661975830a7d", Handle: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a", Body: []byte(e.Records[0].Body),
		Group: "whatsapp/main", Attempt: 3, SentAt: 1795334400123,
	}
	if got := seen[0]; got.ID != want.ID || got.Handle != want.Handle || !bytes.Equal(got.Body, want.Body) || got.Group != want.Group || got.Attempt != want.Attempt || got.SentAt != want.SentAt {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestBatchWithoutFailuresSaysSoInsteadOfNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mail", "fetch", "deliver"} {
		response, err := SQS(func(context.Context, []queue.Message) []string { return nil })(t.Context(), sample[events.SQSEvent](t, name))
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(response)
		if err != nil || string(body) != `{"batchItemFailures":[]}` {
			t.Errorf("%s: answered %s, %v", name, body, err)
		}
	}
}

func TestStreamRecordsBecomeChangesOfTheirShard(t *testing.T) {
	t.Parallel()
	e := decoded[events.DynamoDBTimeWindowEvent](t, filepath.Join("testdata", "changes.json"))
	var got []table.Change
	response, err := Changes(func(_ context.Context, c []table.Change) error { got = c; return nil })(t.Context(), e)
	if err != nil || len(response.BatchItemFailures) != 0 || len(got) != 2 {
		t.Fatalf("got %v, %+v, %v", got, response, err)
	}
	first, second := got[0], got[1]
	if first.Shard != "shardId-00000001795334400000-aaaaaaaa" || first.Seq != "4421584500000000017450439091" || first.At != msg.Time(1795334400000) {
		t.Errorf("placed at %s %s %s", first.Shard, first.Seq, first.At)
	}
	if first.Key != (table.Key{PK: "C#k1", SK: "K#a"}) || first.Old == nil || first.Old.Rev != 1 || string(first.Old.Body) != `{"n":1}` {
		t.Errorf("old: %+v", first.Old)
	}
	if n := first.New; n == nil || n.Rev != 2 || string(n.Body) != `{"n":2}` || n.Expires != 1795420800000 || n.Index[table.WorkList] != (table.Key{PK: "L#team#support", SK: "0001#a"}) {
		t.Errorf("new: %+v", first.New)
	}
	if second.New != nil || second.Old == nil {
		t.Errorf("an expired item has only what was: %+v", second)
	}
}

func TestItemsThatALoadBroughtBackAreNoNews(t *testing.T) {
	t.Parallel()
	e := decoded[events.DynamoDBTimeWindowEvent](t, filepath.Join("testdata", "changes.json"))
	e.Records[0].Change.NewImage["w"] = events.NewStringAttribute(dynamo.LoadToken())
	var got []table.Change
	if _, err := Changes(func(_ context.Context, c []table.Change) error { got = c; return nil })(t.Context(), e); err != nil || len(got) != 1 || got[0].New != nil {
		t.Errorf("one of two records is a load's; the handler got %+v, %v", got, err)
	}
	e.Records = e.Records[:1]
	if _, err := Changes(func(context.Context, []table.Change) error { t.Error("called"); return nil })(t.Context(), e); err != nil {
		t.Error(err)
	}
}

func TestErrorOverChangesFailsTheWholeBatchSoThatLambdaBisectsIt(t *testing.T) {
	t.Parallel()
	e := decoded[events.DynamoDBTimeWindowEvent](t, filepath.Join("testdata", "changes.json"))
	broken := errors.New("broken")
	if _, err := Changes(func(context.Context, []table.Change) error { return broken })(t.Context(), e); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	e.Records[0].Change.Keys = nil
	called := false
	if _, err := Changes(func(context.Context, []table.Change) error { called = true; return nil })(t.Context(), e); err == nil || called {
		t.Errorf("a record that is not ours: called %v, error %v", called, err)
	}
}

func TestEndOfAWindowIsNoBatch(t *testing.T) {
	t.Parallel()
	e := decoded[events.DynamoDBTimeWindowEvent](t, filepath.Join("testdata", "changes.json"))
	e.Records, e.IsFinalInvokeForWindow = nil, true
	response, err := Changes(func(context.Context, []table.Change) error { t.Error("called"); return nil })(t.Context(), e)
	if err != nil || response.BatchItemFailures == nil {
		t.Errorf("got %+v, %v", response, err)
	}
}

func TestAnswerOverChangesAlwaysHasAState(t *testing.T) {
	t.Parallel()
	for _, event := range []string{`{"shardId":"s","state":{}}`, `{"shardId":"s"}`, `{"shardId":"s","state":null,"isFinalInvokeForWindow":true}`} {
		var answer map[string]json.RawMessage
		h := Changes(func(context.Context, []table.Change) error { return nil })
		if err := Invoke(t.Context(), h, json.RawMessage(event), &answer); err != nil || string(answer["state"]) != "{}" {
			t.Errorf("%s was answered %s, %v", event, answer, err)
		}
	}
}

func TestScheduleCallsAndReportsWhatFailed(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	if err := Schedule(func(context.Context) error { return broken })(t.Context(), sample[events.CloudWatchEvent](t, "tick")); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
