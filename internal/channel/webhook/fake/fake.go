// Package fake plays a system that sends signed webhooks: for tests, the demonstration and the benchmark. It signs by the
// published specification with code of its own, so that a mistake in the channel's verification does not hide here.
package fake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Sender is one system that sends to one account. Fields are set once; methods are safe for concurrent use.
type Sender struct {
	// URL is the account's address: https://<desk>/hooks/webhook/<account>.
	URL string
	// Secret is "whsec_<base64>" or plain text; Previous, when set, signs as well, as during a rotation.
	Secret, Previous string
	// Source is the CloudEvents source of everything it sends.
	Source string
	// Now is the clock of the sending system.
	Now func() time.Time
	// Client is used as it is; nil means http.DefaultClient.
	Client *http.Client
}

// Person is a customer, as the sending system knows them.
type Person struct {
	Kind  string `json:"kind,omitempty"`
	Value string `json:"value"`
	Name  string `json:"name,omitempty"`
}

// Message is the data of an event of type aikajana.message.
type Message struct {
	From        Person            `json:"from"`
	Thread      string            `json:"thread,omitempty"`
	ReplyTo     string            `json:"reply_to,omitempty"`
	Subject     string            `json:"subject,omitempty"`
	Text        string            `json:"text,omitempty"`
	Language    string            `json:"language,omitempty"`
	Direction   string            `json:"direction,omitempty"`
	Public      bool              `json:"public,omitempty"`
	Fields      map[string]string `json:"fields,omitempty"`
	Attachments []Attachment      `json:"attachments,omitempty"`
}

// Attachment is a file that lies at a web address.
type Attachment struct {
	URL  string `json:"url"`
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
	Size int64  `json:"size,omitempty"`
}

// Event is a CloudEvent, version 1.0. Source and Time are the sender's when empty.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject,omitempty"`
	Time            time.Time `json:"time,omitzero"`
	DataContentType string    `json:"datacontenttype,omitempty"`
	Data            any       `json:"data,omitempty"`
}

// Message sends a message as a structured CloudEvent and returns the HTTP status.
func (s *Sender) Message(ctx context.Context, id string, m Message) (int, error) {
	return s.Structured(ctx, Event{ID: id, Type: "aikajana.message", Data: m})
}

// Signal sends a signal as a structured CloudEvent.
func (s *Sender) Signal(ctx context.Context, id, kind, subject string, data any) (int, error) {
	return s.Structured(ctx, Event{ID: id, Type: kind, Subject: subject, Data: data})
}

// Structured sends one event in structured mode.
func (s *Sender) Structured(ctx context.Context, e Event) (int, error) {
	body, err := json.Marshal(s.complete(e))
	if err != nil {
		return 0, fmt.Errorf("send event %s: %w", e.ID, err)
	}
	return s.Post(ctx, safeID(e.ID), http.Header{"Content-Type": {"application/cloudevents+json; charset=utf-8"}}, body)
}

// Batch sends several events in one request.
func (s *Sender) Batch(ctx context.Context, id string, events ...Event) (int, error) {
	for i := range events {
		events[i] = s.complete(events[i])
	}
	body, err := json.Marshal(events)
	if err != nil {
		return 0, fmt.Errorf("send batch %s: %w", id, err)
	}
	return s.Post(ctx, safeID(id), http.Header{"Content-Type": {"application/cloudevents-batch+json; charset=utf-8"}}, body)
}

// Binary sends one event in binary mode; its data is JSON.
func (s *Sender) Binary(ctx context.Context, e Event) (int, error) {
	e = s.complete(e)
	body, err := json.Marshal(e.Data)
	if err != nil {
		return 0, fmt.Errorf("send event %s: %w", e.ID, err)
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for name, value := range map[string]string{"specversion": e.SpecVersion, "id": e.ID, "source": e.Source, "type": e.Type,
		"subject": e.Subject, "time": e.Time.UTC().Format(time.RFC3339Nano)} {
		if value != "" {
			header.Set("Ce-"+name, percent(value))
		}
	}
	return s.Post(ctx, safeID(e.ID), header, body)
}

// Post signs a body and sends it with the given headers. The ID must be the same when the same thing is sent again.
func (s *Sender) Post(ctx context.Context, id string, header http.Header, body []byte) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("send webhook %s: %w", id, err)
	}
	for name, values := range header {
		request.Header[http.CanonicalHeaderKey(name)] = values
	}
	s.Sign(request.Header, id, body)
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, fmt.Errorf("send webhook %s: %w", id, err)
	}
	defer func() { _ = response.Body.Close() }() // it was read
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)); err != nil {
		return 0, fmt.Errorf("send webhook %s: read the answer: %w", id, err)
	}
	return response.StatusCode, nil
}

// Sign sets the three headers of Standard Webhooks.
func (s *Sender) Sign(header http.Header, id string, body []byte) {
	at := strconv.FormatInt(s.Now().Unix(), 10)
	signatures := []string{signature(s.Secret, id, at, body)}
	if s.Previous != "" {
		signatures = append(signatures, signature(s.Previous, id, at, body))
	}
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", at)
	header.Set("Webhook-Signature", strings.Join(signatures, " "))
}

func signature(secret, id, at string, body []byte) string {
	key := []byte(secret)
	if strings.HasPrefix(secret, "whsec_") {
		if decoded, err := base64.StdEncoding.DecodeString(secret[len("whsec_"):]); err == nil {
			key = decoded
		}
	}
	h := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(h, "%s.%s.%s", id, at, body) // a hash takes everything
	return "v1," + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func (s *Sender) complete(e Event) Event {
	e.SpecVersion = "1.0"
	if e.Source == "" {
		e.Source = s.Source
	}
	if e.Time.IsZero() {
		e.Time = s.Now().UTC().Truncate(time.Millisecond)
	}
	return e
}

// safeID keeps full stops out of the webhook-id, which the specification does not allow there.
func safeID(id string) string { return strings.ReplaceAll(id, ".", "_") }

// percent encodes a header value as section 3.1.3.2 of the CloudEvents HTTP binding asks.
func percent(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7F || c == '"' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
