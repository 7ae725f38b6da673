package fake

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Sign is the value of X-Hub-Signature-256 for a body.
func (p *Provider) Sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(p.o.AppSecret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Post sends the updates in one signed delivery, once, and returns the HTTP status.
func (p *Provider) Post(ctx context.Context, updates ...Update) (int, error) {
	p.mu.Lock()
	for _, u := range updates {
		if u.list == "messages" {
			p.wrote[u.person.Phone], p.wrote[u.person.UserID] = p.o.Now(), p.o.Now()
		}
	}
	p.mu.Unlock()
	return p.PostBody(ctx, p.Body(updates...))
}

// PostBody signs and sends bytes as they are.
func (p *Provider) PostBody(ctx context.Context, body []byte) (int, error) {
	at, err := p.target()
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("post a webhook: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "facebookexternalua")
	r.Header.Set("X-Hub-Signature-256", p.Sign(body))
	response, err := p.o.Client.Do(r)
	if err != nil {
		return 0, fmt.Errorf("post a webhook: %w", err)
	}
	defer func() { _ = response.Body.Close() }()                     // nothing is read of it
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20)) // so that the connection can be used again
	return response.StatusCode, nil
}

// MustPost sends the updates and repeats, as the provider does, until the answer is 200. It gives up after a few tries.
func (p *Provider) MustPost(ctx context.Context, updates ...Update) error {
	var last error
	for try := range 6 {
		if try > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(try*try) * 50 * time.Millisecond):
			}
		}
		status, err := p.Post(ctx, updates...)
		if err == nil && status == http.StatusOK {
			return nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("post a webhook: the desk answered with status %d", status)
		}
	}
	return last
}

// Handshake asks the webhook to prove itself, as when it is registered, and says what was wrong with the answer.
func (p *Provider) Handshake(ctx context.Context) error {
	at, err := p.target()
	if err != nil {
		return err
	}
	const challenge = "1158201444"
	query := url.Values{"hub.mode": {"subscribe"}, "hub.verify_token": {p.o.VerifyToken}, "hub.challenge": {challenge}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("shake hands: %w", err)
	}
	response, err := p.o.Client.Do(r)
	if err != nil {
		return fmt.Errorf("shake hands: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // read below
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err != nil {
		return fmt.Errorf("shake hands: %w", err)
	}
	if response.StatusCode != http.StatusOK || string(body) != challenge {
		return fmt.Errorf("shake hands: want status 200 and the challenge, got %d and %q", response.StatusCode, body)
	}
	return nil
}

func (p *Provider) target() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.webhook == "" {
		return "", errors.New("post a webhook: no URL is set; call SetWebhook")
	}
	return p.webhook, nil
}

// escape writes JSON as Meta does: \uXXXX for everything outside ASCII, \/ for the slash. The signature is over this form.
func escape(raw []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(raw) + len(raw)/8)
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		switch {
		case r == '/':
			b.WriteString(`\/`)
		case r < utf8.RuneSelf:
			b.WriteByte(raw[0])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		raw = raw[size:]
	}
	return b.Bytes()
}
