package webhook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/channeltest"
	"github.com/aikajana/aikajana/internal/channel/webhook"
	"github.com/aikajana/aikajana/internal/channel/webhook/fake"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

func options() channeltest.Options {
	return channeltest.Options{
		AllowEmpty: true, // a CloudEvents batch may be empty
		Webhook: &channeltest.Webhook{
			Secret: "signing_secret", Header: "Webhook-Signature", MaxAge: webhook.Window,
			Sign: func(r *channel.Request, secret string) {
				at := strconv.FormatInt(r.Now.Time().Unix(), 10)
				mac := hmac.New(sha256.New, []byte(secret))
				mac.Write([]byte(r.Header.Get("Webhook-Id") + "." + at + "." + string(r.Body)))
				r.Header.Set("Webhook-Timestamp", at)
				r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
			},
		},
	}
}

func TestChannel(t *testing.T) { channeltest.Run(t, webhook.Adapter{}, options()) }

func FuzzParse(f *testing.F) { channeltest.Fuzz(f, webhook.Adapter{}, options()) }

// published is the example that libraries of Standard Webhooks test against (its Go library, webhook_test.go, 2026-11-23).
func published() *channel.Request {
	return &channel.Request{
		Account: &channel.Account{Channel: "webhook", ID: "main", Secrets: map[string][]string{"signing_secret": {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}},
		Method:  http.MethodPost, URL: &url.URL{},
		Header: http.Header{
			"Webhook-Id": {"msg_p5jXN8AQM9LWM0D4loKWxJek"}, "Webhook-Timestamp": {"1614265330"},
			"Webhook-Signature": {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
		},
		Body: []byte(`{"test": 2432232314}`), Now: msg.Time(1614265330_000),
	}
}

func TestPublishedSignatureVerifies(t *testing.T) {
	t.Parallel()
	if reply, err := (webhook.Adapter{}).Verify(published()); err != nil || reply != nil {
		t.Fatalf("want accepted, got %v, %v", reply, err)
	}
	r := published()
	r.Header.Set("Webhook-Signature", "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg== v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if _, err := (webhook.Adapter{}).Verify(r); err != nil {
		t.Errorf("one good signature among several: %v", err)
	}
}

func refused(t *testing.T, what, code string, r *channel.Request) {
	t.Helper()
	reply, err := webhook.Adapter{}.Verify(r)
	if reply != nil || fault.Of(err) != fault.Denied || fault.Code(err) != code {
		t.Errorf("%s: want Denied with code %q, got %v, %v (code %q)", what, code, reply, err, fault.Code(err))
	}
}

func TestFault15_WithoutASecretEverythingIsRefused(t *testing.T) {
	t.Parallel()
	for what, secrets := range map[string][]string{"none": nil, "empty": {""}, "undecodable": {"whsec_%%%"}, "empty key": {"whsec_"}} {
		r := published()
		r.Account.Secrets["signing_secret"] = secrets
		refused(t, what, "no_secret", r)
	}
}

func TestFault16_MissingOrBadSignatureIsRefused(t *testing.T) {
	t.Parallel()
	for _, h := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		r := published()
		r.Header.Del(h)
		refused(t, "without "+h, "headers", r)
	}
	for _, h := range []string{"Webhook-Id", "Webhook-Signature"} {
		r := published()
		r.Header.Set(h, r.Header.Get(h)+"x")
		refused(t, "altered "+h, "signature", r)
	}
	r := published()
	r.Method = http.MethodGet
	refused(t, "GET", "method", r)
	r = published()
	r.Header.Set("Webhook-Signature", strings.Repeat("v1,x ", 11)+r.Header.Get("Webhook-Signature"))
	refused(t, "a flood of signatures", "signature", r)
	// "a.1" + "2" and "a" + "1.2" would be the same signed text.
	r = published()
	r.Header.Set("Webhook-Id", "msg.1")
	refused(t, "full stop in the ID", "webhook_id", r)
}

func TestFault18_SignatureIsOverTheExactBytes(t *testing.T) {
	t.Parallel()
	sender := fake.Sender{Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Now: func() time.Time { return time.Unix(1614265330, 0) }}
	for _, body := range []string{`{"text":"ÅÄÖ 🙂"}`, `{"text":"\u00c5"}`, "{ \"b\" : 1,\r\n\"a\":1e2 }\n", "\xff\xfe not UTF-8", ""} {
		r := published()
		r.Body = []byte(body)
		sender.Sign(r.Header, "msg_1", r.Body)
		if _, err := (webhook.Adapter{}).Verify(r); err != nil {
			t.Errorf("body %q: %v", body, err)
		}
	}
	r := published()
	sender.Sign(r.Header, "msg_1", []byte(`{"text":"Å"}`))
	r.Body = []byte(`{"text":"\u00c5"}`)
	refused(t, "the same JSON in other bytes", "signature", r)
}

func TestFault20_OldTimestampIsRefusedAndARepeatedIDChangesNothing(t *testing.T) {
	t.Parallel()
	for shift, good := range map[time.Duration]bool{0: true, 5 * time.Minute: true, -5 * time.Minute: true, 5*time.Minute + time.Second: false, -5*time.Minute - time.Second: false, 24 * time.Hour: false} {
		r := published()
		r.Now = r.Now.Add(shift)
		if good {
			if _, err := (webhook.Adapter{}).Verify(r); err != nil {
				t.Errorf("%s off: %v", shift, err)
			}
		} else {
			refused(t, shift.String()+" off", "timestamp", r)
		}
	}
	for _, at := range []string{"", "now", "1614265330.5", "99999999999999999999"} {
		r := published()
		r.Header.Set("Webhook-Timestamp", at)
		if _, err := (webhook.Adapter{}).Verify(r); fault.Of(err) != fault.Denied {
			t.Errorf("timestamp %q: want Denied, got %v", at, err)
		}
	}
	// The same thing sent again later has a new timestamp and signature, but one dedupe key.
	envelope := func(id string) channel.Envelope {
		return channel.Envelope{ID: id, Channel: "webhook", Account: "main", Body: []byte(`{"type":"x"}`), Header: http.Header{"Webhook-Id": {"msg_1"}}}
	}
	first, err1 := webhook.Adapter{}.Parse(envelope("e1"))
	again, err2 := webhook.Adapter{}.Parse(envelope("e2"))
	if errors.Join(err1, err2) != nil || first[0].DedupeKey() != again[0].DedupeKey() {
		t.Errorf("a repeated webhook-id gives another event: %v, %v, %v, %v", first, again, err1, err2)
	}
}

func TestRotationHasNoGap(t *testing.T) {
	t.Parallel()
	now := func() time.Time { return time.Unix(1614265330, 0) }
	for _, c := range []struct {
		sender fake.Sender
		ours   []string
	}{
		{fake.Sender{Secret: "old-secret-old-secret-old-secret", Now: now}, []string{"new-secret-new-secret-new-secret", "old-secret-old-secret-old-secret"}},
		{fake.Sender{Secret: "new-secret-new-secret-new-secret", Now: now}, []string{"new-secret-new-secret-new-secret", "old-secret-old-secret-old-secret"}},
		{fake.Sender{Secret: "new-secret-new-secret-new-secret", Previous: "old-secret-old-secret-old-secret", Now: now}, []string{"old-secret-old-secret-old-secret"}},
	} {
		r := published()
		r.Account.Secrets["signing_secret"] = c.ours
		c.sender.Sign(r.Header, "msg_1", r.Body)
		if _, err := (webhook.Adapter{}).Verify(r); err != nil {
			t.Errorf("sender with %q, %q and desk with %q: %v", c.sender.Secret, c.sender.Previous, c.ours, err)
		}
	}
}

func TestFault22_MalformedItemOfABatchLosesNoOther(t *testing.T) {
	t.Parallel()
	const good = `{"specversion":"1.0","type":"aikajana.message","source":"/crm","id":"%","data":{"from":{"value":"1"},"text":"x"}}`
	items := make([]string, 10)
	for i := range items {
		items[i] = strings.Replace(good, "%", strconv.Itoa(i), 1)
	}
	items[3] = `{"specversion":"1.0","source":"/crm","id":"3"}`
	events, err := webhook.Adapter{}.Parse(channel.Envelope{Channel: "webhook", Account: "main",
		Header: http.Header{"Content-Type": {"application/cloudevents-batch+json"}}, Body: []byte("[" + strings.Join(items, ",") + "]")})
	rejected := channel.Rejections(err)
	if len(events) != 9 || len(rejected) != 1 {
		t.Fatalf("want 9 events and 1 rejection, got %d and %v", len(events), err)
	}
	if r := rejected[0]; r.Cause != channel.CauseMalformed || !strings.Contains(r.Detail, "event 4 of 10: type:") || !strings.Contains(string(r.Raw), `"id":"3"`) {
		t.Errorf("the rejection must say which, what and hold the item: %v %s", r, r.Raw)
	}
}

func TestFault23_UnknownTypeIsKeptAsASignalWithItsData(t *testing.T) {
	t.Parallel()
	events, err := webhook.Adapter{}.Parse(channel.Envelope{Channel: "webhook", Account: "main", Header: http.Header{"Webhook-Id": {"m"}},
		Body: []byte(`{"type":"never.seen","data":{"n":12345678901234567890}}`)})
	if err != nil || len(events) != 1 || events[0].Signal == nil || events[0].Signal.Type != "never.seen" ||
		!strings.Contains(string(events[0].Signal.Data), "12345678901234567890") {
		t.Fatalf("want a signal with all of its data, got %+v, %v", events, err)
	}
}

func TestTooManyEventsAreSaidAndTheFirstAreKept(t *testing.T) {
	t.Parallel()
	body := "[" + strings.TrimSuffix(strings.Repeat(`{"specversion":"1.0","type":"t","source":"/s","id":"1"},`, webhook.MaxItems+5), ",") + "]"
	events, err := webhook.Adapter{}.Parse(channel.Envelope{Channel: "webhook", Account: "main", Body: []byte(body)})
	if rejected := channel.Rejections(err); len(events) != webhook.MaxItems || len(rejected) != 1 || rejected[0].Cause != channel.CauseTooLarge {
		t.Errorf("got %d events and %v", len(events), err)
	}
}

func TestTwoAccountsUsersWithTheSameIDAreTwoPeople(t *testing.T) {
	t.Parallel()
	from := func(account string) msg.Address {
		events, err := webhook.Adapter{}.Parse(channel.Envelope{Channel: "webhook", Account: account,
			Body: []byte(`{"specversion":"1.0","type":"aikajana.message","source":"/crm","id":"1","data":{"from":{"value":"17"},"text":"x"}}`)})
		if err != nil {
			t.Fatal(err)
		}
		return events[0].From
	}
	if from("crm").Key() == from("shop").Key() {
		t.Error("user 17 of two systems is one person")
	}
}

func TestWrongMappingIsNamedDownToItsPlace(t *testing.T) {
	t.Parallel()
	for mapping, want := range map[string]string{
		`{`:   "settings.mapping",
		`"x"`: "settings.mapping",
		`[{"from":{"value":"/a"},"text":"/b"},{"from":{"value":"b"}}]`: "settings.mapping[1].from.value",
		`{"from":{"value":"/a~2"},"text":"/b"}`:                        "settings.mapping.from.value",
		`{"from":{"valeu":"/a"},"text":"/b"}`:                          "settings.mapping.from.valeu",
		`{"text":"/b"}`:                                                "settings.mapping.from.value",
		`{"from":{"value":"/a"}}`:                                      "settings.mapping.text",
		`{"kind":"call"}`:                                              "settings.mapping.kind",
		`{"when":{"path":"/a"},"kind":"signal"}`:                       "settings.mapping.when",
		`{"kind":"signal","out":"agent"}`:                              "settings.mapping.out",
		`{"from":{"value":"/a"},"attachments":{"items":"/f"}}`:         "settings.mapping.attachments.url",
		`{"from":"/a","text":"/b"}`:                                    "settings.mapping.from",
		`{"from":{"value":7},"text":"/b"}`:                             "settings.mapping.from.value",
	} {
		err := webhook.Adapter{}.CheckSettings(map[string]string{"mapping": mapping})
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Kind != fault.Invalid || e.Field != want {
			t.Errorf("%s: want a fault.Invalid of %s, got %v", mapping, want, err)
		}
	}
	if err := (webhook.Adapter{}).CheckSettings(map[string]string{"items": "events"}); fault.Of(err) != fault.Invalid {
		t.Errorf("items that is no pointer: %v", err)
	}
	if err := (webhook.Adapter{}).CheckSettings(nil); err != nil {
		t.Errorf("an account without settings must work: %v", err)
	}
}

func TestFakeSendsWhatTheChannelUnderstands(t *testing.T) {
	t.Parallel()
	now := time.Unix(1795348800, 0)
	account := &channel.Account{Channel: "webhook", ID: "main", Secrets: map[string][]string{"signing_secret": {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}}}
	var got []msg.Event
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if _, err := (webhook.Adapter{}).Verify(&channel.Request{Account: account, Method: r.Method, URL: r.URL, Header: r.Header, Body: body, Now: msg.TimeOf(now)}); err != nil {
			t.Error(err)
			w.WriteHeader(fault.Of(err).Status())
			return
		}
		events, err := webhook.Adapter{}.Parse(channel.Envelope{Channel: "webhook", Account: "main", Header: r.Header, Body: body})
		if err != nil {
			t.Error(err)
		}
		got = append(got, events...)
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	sender := fake.Sender{URL: server.URL, Secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", Source: "urn:x:shop", Now: func() time.Time { return now }}
	ctx := context.Background()
	hello := fake.Message{From: fake.Person{Value: "1", Name: "Maija"}, Text: "Hei 🙂"}
	for what, send := range map[string]func() (int, error){
		"message": func() (int, error) { return sender.Message(ctx, "m.1", hello) },
		"signal":  func() (int, error) { return sender.Signal(ctx, "s.1", "door.open", "north", map[string]int{"n": 1}) },
		"binary": func() (int, error) {
			return sender.Binary(ctx, fake.Event{ID: "b 1", Type: "aikajana.message", Subject: "€", Data: hello})
		},
		"batch": func() (int, error) {
			return sender.Batch(ctx, "batch", fake.Event{ID: "x", Type: "t"}, fake.Event{ID: "y", Type: "t"})
		},
	} {
		if status, err := send(); err != nil || status != http.StatusAccepted {
			t.Errorf("%s: %d, %v", what, status, err)
		}
	}
	if len(got) != 5 {
		t.Fatalf("want 5 events, got %+v", got)
	}
}

func TestFileIsFetchedWithoutCredentialsAndRefusalsAreTyped(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
			t.Error("credentials were sent")
		}
		switch r.URL.Path {
		case "/ok":
			_, _ = w.Write([]byte("bytes"))
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer server.Close()
	client := server.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	conn := channel.Conn{Account: &channel.Account{ID: "main"}, HTTP: client}
	body, err := webhook.Adapter{}.Fetch(context.Background(), conn, msg.Media{ID: "1", URL: server.URL + "/ok"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(body)
	if closeErr := body.Close(); errors.Join(err, closeErr) != nil || string(got) != "bytes" {
		t.Errorf("got %q, %v", got, err)
	}
	for where, want := range map[string]fault.Kind{server.URL + "/gone": fault.Permanent, server.URL + "/moved": fault.Permanent, server.URL + "/busy": fault.Retry, "file:///etc/passwd": fault.Permanent, "": fault.Permanent} {
		if _, err := (webhook.Adapter{}).Fetch(context.Background(), conn, msg.Media{ID: "1", URL: where}); fault.Of(err) != want {
			t.Errorf("%s: want %s, got %v", where, want, err)
		}
	}
	server.Close()
	_, err = webhook.Adapter{}.Fetch(context.Background(), conn, msg.Media{ID: "1", URL: server.URL + "/ok?sig=secret-query"})
	if fault.Of(err) != fault.Retry || strings.Contains(err.Error(), "secret-query") {
		t.Errorf("want a Retry that does not repeat the query, got %v", err)
	}
}

func TestFault37_HostileBodiesStayOneOrFewRejections(t *testing.T) {
	t.Parallel()
	const size = 128 << 10
	mapping := `{"from":{"value":"/a"},"text":"/b","fields":"/f","attachments":{"items":"/x","url":"/u"}}`
	for name, body := range map[string]string{
		"thousands of events":     "[" + strings.Repeat("{},", size/3) + "{}]",
		"deep":                    strings.Repeat("[", size),
		"deep and closed":         strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"many members":            `{"specversion":"1.0","id":"1","source":"/s","type":"t"` + strings.Repeat(`,"a":1`, size/6) + "}",
		"many attachments":        `{"a":"1","b":"x","x":[` + strings.Repeat(`{"u":"https://a.example/"},`, size/28) + `{}]}`,
		"a number of many digits": `{"timestamp":` + strings.Repeat("9", size) + `}`,
		"a long address":          `{"a":"` + strings.Repeat("<", size) + `","b":"x"}`,
	} {
		for _, settings := range []map[string]string{nil, {"mapping": mapping}} {
			events, err := webhook.Adapter{}.Parse(channel.Envelope{Channel: "webhook", Account: "main", Body: []byte(body), Settings: settings})
			if n := len(channel.Rejections(err)); n > webhook.MaxItems+1 || len(events)+n == 0 {
				t.Errorf("%s: %d events, %d rejections", name, len(events), n)
			}
			for i := range events {
				if m := events[i].Message; m != nil && len(m.Parts) > 60 {
					t.Errorf("%s: %d parts", name, len(m.Parts))
				}
			}
		}
	}
}

func TestAttachmentsBeyondFiftyAreShownAndNotFetched(t *testing.T) {
	t.Parallel()
	files := strings.TrimSuffix(strings.Repeat(`{"url":"https://a.example/f"},`, 60), ",")
	events, err := webhook.Adapter{}.Parse(channel.Envelope{Channel: "webhook", Account: "main",
		Body: []byte(`{"specversion":"1.0","type":"aikajana.message","source":"/crm","id":"1","data":{"from":{"value":"1"},"attachments":[` + files + `]}}`)})
	if err != nil || len(events) != 1 || len(events[0].Message.Parts) != 51 {
		t.Fatalf("got %+v, %v", events, err)
	}
	if last := events[0].Message.Parts[50]; last.Kind != msg.PartRaw || last.Text != "10 attachments more" || strings.Count(string(last.Raw), "url") != 10 {
		t.Errorf("the rest: %+v", last)
	}
}
