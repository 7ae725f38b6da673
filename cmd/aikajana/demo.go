package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/local"
	mailfake "github.com/aikajana/aikajana/internal/channel/email/fake"
	hookfake "github.com/aikajana/aikajana/internal/channel/webhook/fake"
	wafake "github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/timeline"
)

type demoCmd struct {
	HTTP string `name:"http" help:"Listen for HTTP here; port 0 takes a free one." default:"127.0.0.1:8080" placeholder:"ADDR"`
	SMTP string `name:"smtp" help:"Listen for mail here; port 0 takes a free one." default:"127.0.0.1:0" placeholder:"ADDR"`
}

// Help shows an example.
func (demoCmd) Help() string {
	return "Customers write by WhatsApp, mail, a web form and a shop's webhook, an agent answers, and they answer back. Nothing leaves this machine, and " +
		"everything is thrown away at the end (Ctrl-C).\n\nExample: aikajana demo"
}

// Run plays the demonstration until the process is told to end.
func (c *demoCmd) Run(ctx context.Context, s streams) (err error) {
	folder, err := os.MkdirTemp("", "aikajana-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demonstration: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	p, err := newPlay()
	if err != nil {
		return err
	}
	defer p.close()
	config := filepath.Join(folder, "accounts.json")
	if err := p.writeConfig(config); err != nil {
		return err
	}
	server, err := local.Open(local.Options{
		Data: filepath.Join(folder, "desk"), HTTP: c.HTTP, SMTP: c.SMTP, Config: config, AllowPrivate: true, Out: s.err,
		Log:   slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError})),
		Token: p.token, AdminPassword: p.password,
	})
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- server.Serve(working) }()
	if err := p.tell(working, server, s); err != nil && ctx.Err() == nil {
		stop()
		return errors.Join(fmt.Errorf("play the demonstration: %w", err), <-done)
	}
	go p.chat(working)
	return <-done
}

// play is the world outside of the demonstration.
type play struct {
	token, password        string
	appSecret, accessToken string
	graph                  *wafake.Provider
	api                    *httptest.Server
	mails                  *mailfake.World
	shop                   hookfake.Sender
	// desk asks as the administrator, aino as the agent of the story.
	desk, aino *client.Client
	base       string
}

// The people of the story.
var (
	maija = wafake.Person{Phone: "358401234567", Name: "Maija Meikäläinen"}
	pekka = wafake.Person{Phone: "358507654321", Name: "Pekka Virtanen"}
)

const (
	deskAddress  = "help@desk.example"
	maijaAddress = "maija@posti.example"
)

func newPlay() (*play, error) {
	secret := func() string {
		var b [24]byte
		_, _ = rand.Read(b[:]) // never fails (crypto/rand since Go 1.24)
		return base64.RawURLEncoding.EncodeToString(b[:])
	}
	p := &play{token: "demo-" + secret(), password: secret()[:12]}
	p.appSecret, p.accessToken = secret(), secret()
	p.graph = wafake.New(wafake.Options{AppSecret: p.appSecret, VerifyToken: "demo", AccessToken: p.accessToken, Statuses: []string{"sent", "delivered", "read"}})
	p.shop = hookfake.Sender{Secret: "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret())), Source: "https://kauppa.example", Now: time.Now}
	mails, err := mailfake.Open()
	if err != nil {
		return nil, fmt.Errorf("play the world of mail: %w", err)
	}
	p.mails = mails
	p.mails.Rule(mailfake.Rule{To: "*", Times: 3, Answer: func(m mailfake.Mail) *mailfake.Letter {
		return mailfake.Reply(m, maijaAddress, secret()+"@posti.example", "Kiitos, tämä riittää minulle.", time.Now())
	}})
	p.api = httptest.NewServer(p.graph)
	return p, nil
}

func (p *play) close() {
	p.api.Close()
	_ = p.mails.Close() // answers that found nobody home
}

func (p *play) writeConfig(path string) error {
	config := app.Config{
		Relay: &app.RelayConfig{Addr: p.mails.Addr(), Security: "none"},
		Accounts: []app.AccountConfig{
			{Channel: "whatsapp", Account: "main", Team: "support", Settings: map[string]string{"phone_number_id": "1055", "api_base": p.api.URL},
				Secrets: map[string]string{"app_secret": "literal:" + p.appSecret, "verify_token": "literal:demo", "access_token": "literal:" + p.accessToken}},
			{Channel: "email", Account: "main", Team: "support", Settings: map[string]string{"address": deskAddress}},
			{Channel: "form", Account: "main", Team: "support", Settings: map[string]string{"title_en": "Contact us", "title_fi": "Ota yhteyttä"}},
			{Channel: "webhook", Account: "shop", Team: "support", Secrets: map[string]string{"signing_secret": "literal:" + p.shop.Secret}},
		},
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// tell plays the story and says where to look.
func (p *play) tell(ctx context.Context, server *local.Server, s streams) error {
	p.base = "http://" + server.HTTPAddr()
	p.shop.URL = p.base + "/hooks/webhook/shop"
	p.graph.SetWebhook(p.base + "/hooks/whatsapp/main")
	p.mails.SetDesk(server.SMTPAddr())
	var err error
	if p.desk, err = client.New(client.Options{Server: p.base, Token: p.token}); err != nil {
		return err
	}
	if p.aino, err = client.New(client.Options{Server: p.base}); err != nil {
		return err
	}
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"the desk opens", p.opened}, {"Maija writes by WhatsApp, with a picture", p.whatsapp}, {"she fills in the web form as well", p.form},
		{"and she sends a mail", func(ctx context.Context) error { return p.mail(ctx, server.SMTPAddr()) }}, {"the shop's system reports her order", p.webhook},
		{"Pekka writes, and his number cannot be reached", p.unreachable}, {"Aino notes, answers, and sees that it is all one person", p.answer},
	}
	show := isTerminal(s.err)
	for _, step := range steps {
		if show {
			_, _ = fmt.Fprintf(s.err, "  %s …\n", step.what) // only to look at
		}
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return p.invite(ctx, server, s)
}

func (p *play) invite(ctx context.Context, server *local.Server, s streams) error {
	who, err := p.find(ctx, maija.Phone)
	if err != nil {
		return err
	}
	reference := who.Cases[0].Reference
	for _, c := range who.Cases { // the one whose customer answers at once
		if c.Channel == "whatsapp" {
			reference = c.Reference
		}
	}
	_, err = fmt.Fprintf(s.out, `
The desk is open: %[1]s (users admin and aino, password %[2]s)
In another terminal:

  export AIKAJANA_SERVER=%[1]s AIKAJANA_TOKEN=%[3]s
  aikajana cases
  aikajana timeline %[4]s --follow
  aikajana reply %[5]s "Uusi lamppu lähti tänään."     (Maija answers)
  aikajana accounts

Write yourself: the form is %[1]s/forms/main, mail for %[6]s goes to %[7]s.
Ctrl-C ends it and throws everything away.
`, p.base, p.password, p.token, maijaAddress, reference, deskAddress, server.SMTPAddr())
	return err
}

// eventually asks until the pipeline has come as far as wanted.
func eventually(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		done, err := ok()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("waited too long until %s", what), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *play) opened(ctx context.Context) error {
	err := eventually(ctx, "the desk is open", func() (bool, error) {
		_, err := p.desk.Health(ctx)
		return err == nil, err
	})
	if err != nil {
		return err
	}
	if err := p.desk.CreateUser(ctx, client.User{ID: "aino", Name: "Aino Virtanen", Roles: []string{"lead"}, Teams: []string{"support"}}, p.password); err != nil {
		return err
	}
	return p.aino.SignIn(ctx, "aino", p.password)
}

func (p *play) find(ctx context.Context, address string) (*client.Customer, error) {
	var found *client.Customer
	err := eventually(ctx, address+" is known", func() (bool, error) {
		a, err := p.desk.FindCustomers(ctx, address)
		if err != nil || len(a.Value.Items) == 0 || len(a.Value.Items[0].Cases) == 0 {
			return false, err
		}
		found = &a.Value.Items[0]
		return true, nil
	})
	return found, err
}

func (p *play) whatsapp(ctx context.Context) error {
	first := p.graph.Text(maija, "Hei! Tilaamani lamppu saapui rikki. Mitä teen?")
	if err := p.graph.MustPost(ctx, first); err != nil {
		return err
	}
	picture := p.graph.Image(maija, p.graph.AddMedia("image/png", local.BrokenLamp()), "Näin se tuli perille 😢")
	if err := p.graph.MustPost(ctx, picture); err != nil {
		return err
	}
	return p.graph.MustPost(ctx, p.graph.Edit(maija, first.MessageID(), "Hei! Tilaamani lamppu (tilaus 1055) saapui rikki. Mitä teen?"))
}

func (p *play) form(ctx context.Context) error {
	body := `{"id":"demo-1","name":"Maija Meikäläinen","email":"` + maijaAddress + `","subject":"Tilaus 1055","message":"Laitoin teille kuvan WhatsAppissa, näettekö sen?","fields":{"tilaus":"1055"}}`
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+"/forms/main", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // read below
	if response.StatusCode != http.StatusAccepted {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
		return fmt.Errorf("the form answered with status %d: %s", response.StatusCode, text)
	}
	return nil
}

func (p *play) mail(ctx context.Context, at string) error {
	return mailfake.Send(ctx, at, mailfake.Letter{
		From: maijaAddress, Name: "Maija Meikäläinen", To: []string{deskAddress}, Subject: "Rikkinäinen lamppu, tilaus 1055", Date: time.Now(), MessageID: "demo-1@posti.example",
		Text: "Hei,\n\nkirjoitin teille jo muualla, mutta varmuuden vuoksi vielä sähköpostilla: lampun varjostin on halki.\n\nTerveisin\nMaija\n",
	})
}

func (p *play) webhook(ctx context.Context) error {
	status, err := p.shop.Message(ctx, "order-1055", hookfake.Message{
		From: hookfake.Person{Kind: "customer", Value: "C-7781", Name: "Maija Meikäläinen"}, Thread: "order-1055", Subject: "Tilaus 1055 palautettu",
		Text: "Asiakas avasi palautuksen verkkokaupassa.", Fields: map[string]string{"tuote": "Lamppu Kajo, valkoinen", "hinta": "59,00 €"},
	})
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("the webhook answered with status %d", status)
	}
	return err
}

func (p *play) unreachable(ctx context.Context) error {
	if err := p.graph.MustPost(ctx, p.graph.Text(pekka, "Milloin kauppa aukeaa huomenna?")); err != nil {
		return err
	}
	who, err := p.find(ctx, pekka.Phone)
	if err != nil {
		return err
	}
	p.graph.Next(wafake.Refuse(400, 131047))
	entry, err := p.reply(ctx, who, "Huomenna klo 10. Tervetuloa!")
	if err != nil {
		return err
	}
	return p.reaches(ctx, entry, "failed")
}

// answer is what the agent does.
func (p *play) answer(ctx context.Context) error {
	who, err := p.find(ctx, maija.Phone)
	if err != nil {
		return err
	}
	if _, err := p.aino.Note(ctx, who.Cases[0].Reference, "demo-note", "Sama vika kolmella muulla tällä viikolla. Kysytty varastolta."); err != nil {
		return err
	}
	entry, err := p.reply(ctx, who, "Hei Maija, katson heti. Lähetämme uuden lampun jo tänään, eikä rikkinäistä tarvitse palauttaa.")
	if err != nil {
		return err
	}
	for _, address := range []string{maijaAddress, "C-7781"} {
		other, err := p.shopCustomer(ctx, address)
		if err != nil {
			return err
		}
		for _, one := range other {
			if _, err := p.aino.Merge(ctx, who.Customer, one); err != nil {
				return err
			}
		}
	}
	if err := p.reaches(ctx, entry, "read"); err != nil {
		return err
	}
	select { // WhatsApp tells whole seconds: thanks come after what they are for
	case <-ctx.Done():
	case <-time.After(time.Second):
	}
	return p.graph.MustPost(ctx, p.graph.Text(maija, "Kiitos nopeasta vastauksesta! 👍"))
}

// shopCustomer finds who an address belongs to, as often as it does: one who only typed it in is somebody else than who proved it.
func (p *play) shopCustomer(ctx context.Context, address string) ([]string, error) {
	var ids []string
	err := eventually(ctx, address+" is known", func() (bool, error) {
		work, err := p.desk.Cases(ctx, client.CaseQuery{Limit: 50})
		if err != nil {
			return false, err
		}
		ids = nil
		for _, c := range work.Value.Items {
			who, err := p.desk.Customer(ctx, c.Customer)
			if err != nil {
				return false, err
			}
			for _, i := range who.Value.Identities {
				if i.Address.Value == address || len(i.Address.Value) > len(address) && i.Address.Value[len(i.Address.Value)-len(address):] == address {
					ids = append(ids, c.Customer)
				}
			}
		}
		return len(ids) > 0, nil
	})
	return ids, err
}

func (p *play) reply(ctx context.Context, who *client.Customer, text string) (*timeline.Entry, error) {
	a, err := p.aino.Reply(ctx, who.Cases[0].Reference, "", client.Reply{Text: text})
	if err != nil {
		return nil, err
	}
	return &a.Value, nil
}

func (p *play) reaches(ctx context.Context, entry *timeline.Entry, state string) error {
	return eventually(ctx, "an answer is "+state, func() (bool, error) {
		page, err := p.desk.Timeline(ctx, entry.Customer, "", "", 50)
		if err != nil {
			return false, err
		}
		for _, e := range page.Value.Items {
			if e.Entry == entry.Entry {
				return string(e.State) == state, nil
			}
		}
		return false, nil
	})
}

// chat lets customers answer whatever is answered to them on WhatsApp.
func (p *play) chat(ctx context.Context) {
	answered := len(p.graph.Sent())
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(300 * time.Millisecond):
		}
		for _, sent := range p.graph.Sent()[answered:] {
			answered++
			who := maija
			if sent.To == pekka.Phone {
				who = pekka
			}
			_ = p.graph.MustPost(ctx, p.graph.Text(who, local.Reaction(sent.Text, answered))) // she may be told later
		}
	}
}
