package local

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/fault"
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
	s.demo.wake(true)
	return nil
}

// resumeDemo lets the customer of a demonstration that was connected before go on answering.
func (s *Server) resumeDemo(ctx context.Context) error {
	a, err := s.app.Store.ConnectedAccount(ctx, "whatsapp", demoAccount)
	if fault.Of(err) == fault.Missing {
		return nil
	}
	if err == nil && a.Settings["api_base"] == "http://"+demoHost {
		s.demo.wake(false)
	}
	return err
}

// demo plays the provider and the customer of the demonstration account.
type demo struct {
	provider *fake.Provider
	// started says that the account is connected, and whether the customer writes first.
	started chan bool
}

func newDemo(hook string, now func() time.Time) *demo {
	return &demo{
		provider: fake.New(fake.Options{
			PhoneNumberID: demoNumber, AppSecret: demoSecrets["app_secret"], VerifyToken: demoSecrets["verify_token"],
			AccessToken: demoSecrets["access_token"], Webhook: hook, Now: now, Statuses: []string{"sent", "delivered", "read"},
			FirstID: int(now().UnixMilli()), // the store remembers the IDs of earlier starts, which were fewer than one a millisecond
		}),
		started: make(chan bool, 1),
	}
}

func (d *demo) wake(first bool) {
	select {
	case d.started <- first:
	default:
	}
}

// demoTransport answers calls to the demonstration's host in this process and lets every other through.
type demoTransport struct {
	demo *demo
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (t demoTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != demoHost {
		return t.next.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Host = demoHost
	if r.Body == nil {
		r.Body = http.NoBody // a server never sees a nil body
	}
	recorder := httptest.NewRecorder()
	t.demo.provider.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

// Pauses of the customer: long enough to be seen to write, short enough to be waited for.
const (
	demoFirst  = time.Second
	demoLook   = 200 * time.Millisecond
	demoThinks = 2 * time.Second
)

// play lets the customer write first, and answer whatever is answered to her, until ctx ends.
func (d *demo) play(ctx context.Context, log func(error)) {
	maija := fake.Person{Phone: "358401234567", Name: "Maija Meikäläinen"}
	write := func(u fake.Update) {
		if err := d.provider.MustPost(ctx, u); err != nil && ctx.Err() == nil {
			log(err)
		}
	}
	var first bool
	select {
	case <-ctx.Done():
		return
	case first = <-d.started:
	}
	if first && pauseFor(ctx, demoFirst) {
		write(d.provider.Text(maija, "Hei! Tilaamani lamppu saapui rikki. Mitä teen?"))
		write(d.provider.Image(maija, d.provider.AddMedia("image/png", BrokenLamp()), "Näin se tuli perille"))
	}
	answered := 0
	for pauseFor(ctx, demoLook) {
		for _, sent := range d.provider.Sent()[answered:] {
			answered++
			if !pauseFor(ctx, demoThinks) {
				return
			}
			write(d.provider.Text(maija, Reaction(sent.Text, answered)))
		}
	}
}

// Reaction is what she answers.
func Reaction(text string, n int) string {
	switch {
	case strings.Contains(text, "?"):
		return "Joo, lähetän kuvan heti kun pääsen kotiin."
	case n == 1:
		return "Kiitos nopeasta vastauksesta! 👍"
	}
	return "Selvä, kiitos avusta!"
}

// BrokenLamp is a picture of a lamp with a crack in it.
func BrokenLamp() []byte {
	const size = 96
	p := image.NewRGBA(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			c := color.RGBA{0xf4, 0xf1, 0xea, 0xff}
			switch dx, dy := x-size/2, y-38; {
			case dx*dx+dy*dy < 24*24 && (x+y/3)%23 != 0:
				c = color.RGBA{0xff, 0xd2, 0x4a, 0xff}
			case dx > -8 && dx < 8 && y > 62 && y < 84:
				c = color.RGBA{0x55, 0x55, 0x55, 0xff}
			}
			p.SetRGBA(x, y, c)
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, p) // into memory: it cannot fail
	return b.Bytes()
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	pause(ctx, d)
	return ctx.Err() == nil
}
