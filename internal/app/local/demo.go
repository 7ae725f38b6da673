package local

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/store"
)

// The demonstration: a WhatsApp number that exists in this process only, and a customer at the other end who writes and
// answers. Its messages take the ordinary way, through the webhook with a signature; only the provider's host is played.
const (
	demoAccount = "demo"
	demoHost    = "whatsapp.demo.invalid" // RFC 6761: never a real name
	demoNumber  = "1000000000"
)

// demoSecrets guard nothing but the demonstration.
var demoSecrets = map[string]string{"app_secret": "demonstration", "verify_token": "demonstration", "access_token": "demonstration"}

// connectDemo connects the demonstration account and starts its customer.
func (s *Server) connectDemo(ctx context.Context) error {
	for name, value := range demoSecrets {
		if err := s.secrets.Put(ctx, pipeline.SecretName("whatsapp", demoAccount, name), []string{value}); err != nil {
			return fmt.Errorf("connect the demonstration account: %w", err)
		}
	}
	err := s.app.Store.PutAccount(ctx, store.Connected{
		Channel: "whatsapp", Account: demoAccount, Team: "support", Secrets: []string{"access_token", "app_secret", "verify_token"},
		Settings: map[string]string{"phone_number_id": demoNumber, "api_base": "http://" + demoHost},
	})
	if err != nil {
		return fmt.Errorf("connect the demonstration account: %w", err)
	}
	s.app.Pipeline.ForgetAccounts()
	s.demo.wake()
	return nil
}

// demo plays the provider and the customer of the demonstration account.
type demo struct {
	provider *fake.Provider
	started  chan struct{}
}

func newDemo(hook string, now func() time.Time) *demo {
	return &demo{
		provider: fake.New(fake.Options{
			PhoneNumberID: demoNumber, AppSecret: demoSecrets["app_secret"], VerifyToken: demoSecrets["verify_token"],
			AccessToken: demoSecrets["access_token"], Webhook: hook, Now: now, Statuses: []string{"sent", "delivered", "read"},
		}),
		started: make(chan struct{}, 1),
	}
}

func (d *demo) wake() {
	select {
	case d.started <- struct{}{}:
	default:
	}
}

// RoundTrip answers calls to the demonstration's host in this process and lets every other through.
type demoTransport struct {
	demo *demo
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t demoTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != demoHost {
		return t.next.RoundTrip(r)
	}
	recorder := httptest.NewRecorder()
	t.demo.provider.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// play lets the customer write first, and answer whatever is answered to her, until ctx ends.
func (d *demo) play(ctx context.Context, log func(error)) {
	select {
	case <-ctx.Done():
		return
	case <-d.started:
	}
	maija := fake.Person{Phone: "358401234567", Name: "Maija Meikäläinen"}
	write := func(text string) {
		if _, err := d.provider.Post(ctx, d.provider.Text(maija, text)); err != nil && ctx.Err() == nil {
			log(err)
		}
	}
	if !pauseFor(ctx, time.Second) {
		return
	}
	write("Hei! Tilaamani lamppu saapui rikki. Mitä teen?")
	answered := 0
	for pauseFor(ctx, time.Second) {
		for _, sent := range d.provider.Sent()[answered:] {
			answered++
			if !pauseFor(ctx, 2*time.Second) {
				return
			}
			write(reaction(sent.Text, answered))
		}
	}
}

// reaction is what she answers.
func reaction(text string, n int) string {
	switch {
	case strings.Contains(text, "?"):
		return "Joo, lähetän kuvan heti kun pääsen kotiin."
	case n == 1:
		return "Kiitos nopeasta vastauksesta! 👍"
	}
	return "Selvä, kiitos avusta!"
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	pause(ctx, d)
	return ctx.Err() == nil
}
