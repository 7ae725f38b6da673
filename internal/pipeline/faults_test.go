package pipeline_test

import (
	"bytes"
	"context"
	"net/mail"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/channel"
	letters "github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// outbox is a mail relay that takes everything and keeps it.
type outbox struct{ sent []sentMail }

type sentMail struct {
	to  []string
	raw []byte
}

func (o *outbox) SendMail(_ context.Context, _ string, to []string, raw []byte, _ string) (string, error) {
	o.sent = append(o.sent, sentMail{to, raw})
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return "", err
	}
	return strings.Trim(m.Header.Get("Message-ID"), "<>"), nil
}

// to is every mail that went to an address.
func (o *outbox) to(address string) (found []sentMail) {
	for _, m := range o.sent {
		for _, to := range m.to {
			if to == address {
				found = append(found, m)
			}
		}
	}
	return found
}

// connect adds an account with its secrets.
func (d *desk) connect(channelID string, settings, secrets map[string]string) {
	d.t.Helper()
	for name, value := range secrets {
		must(d.t, d.Secrets.Put(d.t.Context(), pipeline.SecretName(channelID, "main", name), []string{value}))
	}
	must(d.t, d.Store.PutAccount(d.t.Context(), store.Connected{Channel: channelID, Account: "main", Team: "support", Settings: settings}))
	d.ForgetAccounts()
}

// rewire makes the handlers anew with other parts, as after a restart.
func (d *desk) rewire(change func(*pipeline.Deps)) {
	d.t.Helper()
	deps := d.Deps
	change(&deps)
	p, err := pipeline.New(deps)
	must(d.t, err)
	d.Pipeline = p
}

// withMail connects a mailbox and a relay.
func (d *desk) withMail(settings map[string]string) *outbox {
	d.t.Helper()
	all := map[string]string{"address": "help@desk.example"}
	for name, value := range settings {
		all[name] = value
	}
	d.connect("email", all, nil)
	relay := &outbox{}
	d.rewire(func(deps *pipeline.Deps) { deps.Mailer = relay })
	return relay
}

// letter is received by our own listener and judged by it.
func (d *desk) letter(l letters.Letter, dmarc string) {
	d.t.Helper()
	if l.To == nil {
		l.To = []string{"help@desk.example"}
	}
	if l.Date.IsZero() {
		l.Date = d.time()
	}
	raw, err := l.Bytes()
	must(d.t, err)
	sender := l.Sender
	if sender == "" && !l.NullSender {
		sender = l.From
	}
	must(d.t, d.AcceptMail(d.t.Context(), raw, channel.Mail{
		Via: "smtp", Sender: sender, NullSender: l.NullSender, Recipients: l.To, DMARC: dmarc,
	}))
	d.settle()
}

func (d *desk) open() []*timeline.Case {
	d.t.Helper()
	cases, _, err := d.Store.WorkList(d.t.Context(), store.WorkQuery{Teams: []string{"support"}})
	must(d.t, err)
	return cases
}

func (d *desk) texts(a msg.Address) []string {
	d.t.Helper()
	c, err := d.Store.CustomerAt(d.t.Context(), a)
	must(d.t, err)
	entries, _, err := d.Store.Timeline(d.t.Context(), c.Customer, store.Page{})
	must(d.t, err)
	var texts []string
	for _, e := range entries {
		texts = append(texts, string(e.Direction)+" "+strings.TrimSpace(e.Message.Text))
	}
	return texts
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// staff is one agent who is present and wants mail.
type staff struct{ agent auth.User }

func (s staff) TeamMembers(context.Context, string) ([]auth.User, error) {
	return []auth.User{s.agent}, nil
}

func (s staff) User(_ context.Context, id string) (auth.User, error) {
	if id != s.agent.ID {
		return auth.User{}, fault.Newf(fault.Missing, "not_found", "there is no user %q", id)
	}
	return s.agent, nil
}
