package channeltest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
)

// Webhook says how the provider signs, so that the runner can do it rightly and wrongly.
type Webhook struct {
	// Secret names the secret that signs. Every .http fixture is signed with it.
	Secret string
	// Header is the header that carries the signature.
	Header string
	// Sign puts a valid signature on the request as the provider does, r.Now being the time of signing. It is the test's
	// own implementation, never the adapter's.
	Sign func(r *channel.Request, secret string)
	// MaxAge is how old a signed request may be; 0 where the provider signs no time. A request signed that long ago, or
	// that far in the future, plus a minute is refused.
	MaxAge time.Duration
	// Handshake, when the provider has one, makes its request; token is the value of the secret HandshakeSecret. The
	// reply must have the status 200 and the body Echo.
	Handshake       func(account *channel.Account, token string) *channel.Request
	HandshakeSecret string
	Echo            string
}

const (
	current  = "current-secret-0123456789abcdef"
	previous = "previous-secret-fedcba9876543210"
	stranger = "a-strangers-secret-0000000000000"
)

func runWebhook(t *testing.T, a channel.Webhook, o Options, fixtures []Fixture) {
	t.Helper()
	if o.Webhook == nil || o.Webhook.Sign == nil || o.Webhook.Secret == "" || o.Webhook.Header == "" {
		t.Fatal("the channel is a Webhook: say in Options.Webhook how its provider signs")
	}
	for _, f := range fixtures {
		if strings.HasSuffix(f.Path, ".http") && f.Method == http.MethodPost {
			t.Run(f.Case, func(t *testing.T) { t.Parallel(); checkSignature(a, o, f, t.Errorf) })
		}
	}
	if o.Webhook.Handshake != nil {
		t.Run("Handshake", func(t *testing.T) { t.Parallel(); checkHandshake(a, o, t.Errorf) })
	}
	t.Run("ConstantTime", func(t *testing.T) {
		problems, compares := ConstantTime(".")
		for _, p := range problems {
			t.Error(p)
		}
		if compares == 0 {
			t.Error("the channel verifies webhooks, but compares nothing with hmac.Equal or subtle.ConstantTimeCompare")
		}
	})
}

// checkSignature signs one request rightly and in every wrong way. FAULTS 15, 16, 18 and 20 rest on it.
func checkSignature(a channel.Webhook, o Options, f Fixture, problem report) {
	w := o.Webhook
	with := func(secrets ...string) *channel.Account {
		account := o.account(a.Info(), f.Settings)
		account.Secrets = maps.Clone(account.Secrets)
		account.Secrets[w.Secret] = secrets
		return account
	}
	signed := func(account *channel.Account, secret string) *channel.Request {
		r := f.Request(account)
		r.Header.Del(w.Header)
		w.Sign(r, secret)
		return r
	}
	accept := func(what string, r *channel.Request) {
		body := bytes.Clone(r.Body)
		if reply, err := verify(a, r); err != nil || reply != nil {
			problem("%s: want accepted, got %v, %v", what, reply, err)
		}
		if !bytes.Equal(body, r.Body) {
			problem("%s: Verify changed the body", what)
		}
	}
	refuse := func(what string, r *channel.Request) {
		reply, err := verify(a, r)
		if fault.Of(err) != fault.Denied || reply != nil {
			problem("%s: want fault.Denied, got %v, %v", what, reply, err)
		} else if text := err.Error(); strings.Contains(text, current) || strings.Contains(text, previous) {
			problem("%s: the error gives a secret away: %v", what, err)
		}
	}

	accept("signed with the current secret", signed(with(current), current))
	accept("rotating, signed with the current secret", signed(with(current, previous), current))
	accept("rotating, signed with the previous secret", signed(with(current, previous), previous))
	refuse("rotating, signed with a third secret", signed(with(current, previous), stranger))
	refuse("no secret configured", signed(with(), current))
	refuse("no secret configured, signed with the empty one", signed(with(), ""))
	refuse("an empty secret configured, signed with it", signed(with(""), ""))
	refuse("an empty secret beside a good one, signed with the empty one", signed(with(current, ""), ""))

	unsigned := signed(with(current), current)
	unsigned.Header.Del(w.Header)
	refuse("no signature", unsigned)
	checkTampering(w, f, func() *channel.Request { return signed(with(current), current) }, refuse)
	if w.MaxAge > 0 {
		for what, shift := range map[string]time.Duration{"signed long ago": w.MaxAge + time.Minute, "signed in the future": -w.MaxAge - time.Minute} {
			r := signed(with(current), current)
			r.Now = r.Now.Add(shift)
			refuse(what, r)
		}
	}
}

// checkTampering alters the body and the signature, one place at a time.
func checkTampering(w *Webhook, f Fixture, signed func() *channel.Request, refuse func(string, *channel.Request)) {
	for at := 0; at < len(f.Body); at += max(1, len(f.Body)/64) {
		r := signed()
		r.Body[at] ^= 0x01
		refuse(fmt.Sprintf("byte %d of the body altered", at), r)
	}
	for what, body := range map[string][]byte{
		"a newline added": append(bytes.Clone(f.Body), '\n'), "the last byte cut off": f.Body[:max(0, len(f.Body)-1)],
		"white space in front": append([]byte(" "), f.Body...),
	} {
		r := signed()
		r.Body = body
		if !bytes.Equal(body, f.Body) {
			refuse(what, r)
		}
	}
	signature := signed().Header.Get(w.Header)
	for at := range signature {
		r := signed()
		altered := []byte(signature)
		altered[at] ^= 0x01
		r.Header.Set(w.Header, string(altered))
		refuse(fmt.Sprintf("character %d of the signature altered", at), r)
	}
	for _, wrong := range []string{signature[:len(signature)-1], signature[:len(signature)/2], "", "sha256=", "=", "ä", strings.Repeat("0", 64), signature + "0"} {
		r := signed()
		r.Header.Set(w.Header, wrong)
		refuse(fmt.Sprintf("signature %q", wrong), r)
	}
}

func checkHandshake(a channel.Webhook, o Options, problem report) {
	w := o.Webhook
	account := func(tokens ...string) *channel.Account {
		account := o.account(a.Info(), nil)
		account.Secrets[w.HandshakeSecret] = tokens
		return account
	}
	for _, token := range []string{current, previous} {
		r := account(current, previous)
		reply, err := verify(a, w.Handshake(r, token))
		if err != nil || reply == nil {
			problem("handshake with a valid token: got %v, %v", reply, err)
		} else if reply.Status != http.StatusOK || string(reply.Body) != w.Echo {
			problem("handshake: want status 200 and body %q, got %d and %q", w.Echo, reply.Status, reply.Body)
		} else if strings.Contains(reply.ContentType, "html") || reply.ContentType == "" {
			problem("handshake: the echo is %q, which lets its caller choose what a browser runs", reply.ContentType)
		}
	}
	for what, r := range map[string]*channel.Request{
		"a wrong token":                         w.Handshake(account(current), stranger),
		"no token configured":                   w.Handshake(account(), current),
		"no token configured and none given":    w.Handshake(account(), ""),
		"an empty token configured, none given": w.Handshake(account(""), ""),
	} {
		if reply, err := verify(a, r); fault.Of(err) != fault.Denied || reply != nil {
			problem("handshake with %s: want fault.Denied, got %v, %v", what, reply, err)
		}
	}
}

// verify turns a panic into an error that is not Denied.
func verify(a channel.Webhook, r *channel.Request) (reply *channel.Reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fault.Newf(fault.Internal, "panic", "verify panicked: %v", p)
		}
	}()
	return a.Verify(r)
}
