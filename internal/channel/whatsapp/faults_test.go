package whatsapp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/channeltest"
	"github.com/aikajana/aikajana/internal/channel/whatsapp"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

var maija = fake.Person{Phone: "358401234567", UserID: "FI.1348", Name: "Maija"}

// envelope is what the pipeline makes of a delivery to the account "main".
func envelope(body []byte) channel.Envelope {
	return channel.Envelope{ID: "env-1", Channel: "whatsapp", Account: "main", ReceivedAt: channeltest.ReceivedAt, Body: body}
}

// delivery is a webhook call to an account with the given app secrets.
func delivery(body []byte, signature string, secrets ...string) *channel.Request {
	r := &channel.Request{
		Account: &channel.Account{Channel: "whatsapp", ID: "main", Secrets: map[string][]string{"app_secret": secrets}},
		Method:  http.MethodPost, URL: &url.URL{Path: "/hooks/whatsapp/main"}, Header: http.Header{}, Body: body, Now: channeltest.ReceivedAt,
	}
	if signature != "" {
		r.Header.Set("X-Hub-Signature-256", signature)
	}
	return r
}

func TestFault15_WithoutASecretEveryDeliveryIsRefused(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", "anything"} {
		provider := fake.New(fake.Options{AppSecret: secret})
		body := provider.Body(provider.Text(maija, "Hei"))
		for _, configured := range [][]string{nil, {}, {""}} {
			_, err := whatsapp.Adapter{}.Verify(delivery(body, provider.Sign(body), configured...))
			if fault.Of(err) != fault.Denied {
				t.Errorf("signed with %q, configured %q: want denied, got %v", secret, configured, err)
			}
		}
	}
}

func TestFault16_AMissingOrBadSignatureIsRefused(t *testing.T) {
	t.Parallel()
	provider := fake.New(fake.Options{AppSecret: "app-secret"})
	body := provider.Body(provider.Text(maija, "Hei"))
	good := provider.Sign(body)
	if _, err := (whatsapp.Adapter{}).Verify(delivery(body, good, "app-secret")); err != nil {
		t.Fatalf("the good signature: %v", err)
	}
	for what, signature := range map[string]string{
		"none": "", "of another body": provider.Sign([]byte("{}")), "without its prefix": strings.TrimPrefix(good, "sha256="),
		"SHA-1": "sha1=" + good[7:47], "cut": good[:len(good)-2], "twice": good + good[7:], "not hexadecimal": "sha256=" + strings.Repeat("z", 64),
	} {
		if _, err := (whatsapp.Adapter{}).Verify(delivery(body, signature, "app-secret")); fault.Of(err) != fault.Denied {
			t.Errorf("signature %s: want denied, got %v", what, err)
		}
	}
}

// The body is signed as Meta escapes it. Decoded and written again it says the same and is no longer what was signed.
func TestFault18_TheSignatureIsOverTheEscapedBytesAsTheyCame(t *testing.T) {
	t.Parallel()
	provider := fake.New(fake.Options{AppSecret: "app-secret"})
	const text = "Äiti söi 👩‍👩‍👧 öljyä / ÅÄÖ"
	body := provider.Body(provider.Text(maija, text))
	if !bytes.Contains(body, []byte(`\u00c4iti`)) || !bytes.Contains(body, []byte(`\ud83d\udc69`)) || !bytes.Contains(body, []byte(`\/`)) {
		t.Fatalf("the fake does not escape as Meta does: %s", body)
	}
	signature := provider.Sign(body)
	if _, err := (whatsapp.Adapter{}).Verify(delivery(body, signature, "app-secret")); err != nil {
		t.Errorf("the bytes as they came: %v", err)
	}
	var decoded any
	if err := json.Unmarshal(body, &decoded); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (whatsapp.Adapter{}).Verify(delivery(again, signature, "app-secret")); fault.Of(err) != fault.Denied {
		t.Errorf("the same JSON, written again: want denied, got %v", err)
	}
	events, err := whatsapp.Adapter{}.Parse(envelope(body))
	if err != nil || len(events) != 1 || events[0].Message.Text != text {
		t.Errorf("want %q, got %+v, %v", text, events, err)
	}
}

func TestFault22_OneMalformedItemOfAThousandIsRejectedAlone(t *testing.T) {
	t.Parallel()
	const size, bad = 1000, 613
	provider := fake.New(fake.Options{})
	updates := make([]fake.Update, size)
	for i := range updates {
		updates[i] = provider.Text(maija, "viesti").ID(fmt.Sprintf("wamid.%04d", i))
	}
	body := bytes.Replace(provider.Body(updates...), []byte(`"id":"wamid.0613"`), []byte(`"id":["wamid.0613"]`), 1)
	events, err := whatsapp.Adapter{}.Parse(envelope(body))
	rejected := channel.Rejections(err)
	if len(events) != size-1 || len(rejected) != 1 {
		t.Fatalf("want %d events and 1 rejection, got %d and %v", size-1, len(events), err)
	}
	if r := rejected[0]; r.Cause != channel.CauseMalformed || !strings.Contains(r.Detail, fmt.Sprintf("messages[%d]", bad)) || !bytes.Contains(r.Raw, []byte("wamid.0613")) {
		t.Errorf("the rejection does not say which item it was: %s, %s", r, r.Raw)
	}
	if events[bad-1].ID != "wamid.0612" || events[bad].ID != "wamid.0614" {
		t.Errorf("the order is not the delivery's: %s, %s", events[bad-1].ID, events[bad].ID)
	}
}

func TestFault23_AnUnknownTypeIsKeptAndReadable(t *testing.T) {
	t.Parallel()
	provider := fake.New(fake.Options{})
	events, err := whatsapp.Adapter{}.Parse(envelope(provider.Body(
		provider.Unknown(maija, "hologram", map[string]any{"depth": 3}), provider.Unsupported(maija), provider.Text(maija, "Hei"))))
	if err != nil || len(events) != 3 {
		t.Fatalf("want three events, got %d, %v", len(events), err)
	}
	for i, words := range []string{"hologram", "Message type unknown"} {
		part := events[i].Message.Parts[0]
		if part.Kind != msg.PartRaw || !strings.Contains(part.Text, words) || len(part.Raw) == 0 {
			t.Errorf("message %d: want a raw part that says %q, got %+v", i, words, part)
		}
	}
	_, err = whatsapp.Adapter{}.Parse(envelope([]byte(`{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"new_in_2027","value":{"x":1}}]}]}`)))
	if r := channel.Rejections(err); len(r) != 1 || r[0].Cause != channel.CauseUnsupported || !bytes.Contains(r[0].Raw, []byte("new_in_2027")) {
		t.Errorf("a new field: want it rejected as unsupported, and kept, got %v", err)
	}
}

// The order of states is package msg's; the adapter's part is to report each in its own words.
func TestFault24_DeliveredAfterReadDoesNotGoBack(t *testing.T) {
	t.Parallel()
	provider := fake.New(fake.Options{})
	answer := fake.Sent{ID: "wamid.OUT", To: "358401234567", Tag: "entry-1"}
	events, err := whatsapp.Adapter{}.Parse(envelope(provider.Body(
		provider.Status(answer, "read"), provider.Status(answer, "delivered"), provider.Status(answer, "sent"), provider.Status(answer, "played"))))
	if err != nil || len(events) != 4 {
		t.Fatalf("want four receipts, got %d, %v", len(events), err)
	}
	state := msg.Accepted
	for _, e := range events {
		if e.Tag != "entry-1" || e.Receipt.Of != "wamid.OUT" {
			t.Errorf("the receipt lost its answer: %+v", e)
		}
		state, _ = state.Next(e.Receipt.State)
		if state != msg.Read {
			t.Errorf("after %q the state is %q", e.Receipt.State, state)
		}
	}
}
