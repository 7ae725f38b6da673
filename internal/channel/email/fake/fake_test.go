package fake_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/aikajana/aikajana/internal/channel/email/fake"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func open(t *testing.T) *fake.World {
	t.Helper()
	w, err := fake.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func send(w *fake.World, to string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return fake.Send(ctx, w.Addr(), fake.Letter{
		From: "help@desk.example", To: []string{to}, Subject: "Häiriö", Text: "Katson heti.\n", Date: now,
		MessageID: "r1@desk.example", References: []string{"1@world.example"},
	})
}

func TestCustomersAnswerAreAwayAndBounce(t *testing.T) {
	t.Parallel()
	desk, world := open(t), open(t) // a second world stands for the desk; it must outlive the answers to it
	world.SetDesk(desk.Addr())
	world.Rule(fake.Rule{To: "maija@*", Times: 1, Answer: func(m fake.Mail) *fake.Letter {
		return fake.Reply(m, "maija@world.example", "2@world.example", "Kiitos!\n", now)
	}})
	world.Rule(fake.Rule{To: "away@*", Answer: func(m fake.Mail) *fake.Letter {
		return fake.Vacation(m, "away@world.example", "3@world.example", now)
	}})
	world.Rule(fake.Rule{To: "gone@*", Answer: func(m fake.Mail) *fake.Letter {
		return fake.Bounce(m, "failed", "5.1.1", "550 5.1.1 nobody", "4@world.example", now)
	}})
	for i, c := range []struct{ to, sender, header, value string }{
		{"maija@world.example", "maija@world.example", "In-Reply-To", "<r1@desk.example>"},
		{"away@world.example", "", "Auto-Submitted", "auto-replied"},
		{"gone@world.example", "", "Message-ID", "<4@world.example>"},
	} {
		if err := send(world, c.to); err != nil {
			t.Fatal(err)
		}
		m, err := desk.Await(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if m.Sender != c.sender || m.Header(c.header) != c.value || m.Recipients[0] != "help@desk.example" {
			t.Errorf("%s: %+v\n%s", c.to, m.Recipients, m.Raw)
		}
	}
	if m := desk.Received()[0]; m.Header("References") != "<1@world.example> <r1@desk.example>" || !strings.Contains(m.Body(), "Kiitos!") {
		t.Errorf("%s", m.Raw)
	}
	if err := send(world, "maija@world.example"); err != nil || len(world.Received()) != 4 {
		t.Error("a rule that is used up still refuses", err)
	}
}

func TestTheWorldRefusesAndDropsByAddress(t *testing.T) {
	t.Parallel()
	world := open(t)
	world.Rule(fake.Rule{To: "*@gone.example", Code: 550, Text: "5.1.1 nobody"})
	world.Rule(fake.Rule{To: "grey@*", Code: 451, Text: "4.7.1 later", Times: 1})
	world.Rule(fake.Rule{To: "spam@*", Code: 554, Text: "5.7.1 spam", AfterData: true})
	world.Rule(fake.Rule{To: "lost@*", Drop: true, Taken: true})
	for to, code := range map[string]int{"a@gone.example": 550, "grey@world.example": 451, "spam@world.example": 554} {
		if refusal, ok := errors.AsType[*smtp.SMTPError](send(world, to)); !ok || refusal.Code != code {
			t.Errorf("%s: %v", to, refusal)
		}
	}
	if err := send(world, "grey@world.example"); err != nil {
		t.Error(err)
	}
	if err := send(world, "lost@world.example"); err == nil || len(world.Received()) != 2 {
		t.Errorf("%v, %d mails", err, len(world.Received()))
	}
}

func TestNobodyBouncesABounce(t *testing.T) {
	t.Parallel()
	if l := fake.Bounce(fake.Mail{Recipients: []string{"a@b"}}, "failed", "5.1.1", "x", "1@x", now); l != nil {
		t.Errorf("%+v", l)
	}
}

func TestTheZoneKnowsWhatItWasToldAndNothingElse(t *testing.T) {
	t.Parallel()
	z := fake.NewZone().TXT("A.example.", "x").MX("a.example", "mx.a.example").A("mx.a.example", "192.0.2.1").Down("down.example")
	if got, err := z.LookupTXT(t.Context(), "a.example"); err != nil || got[0] != "x" {
		t.Errorf("%q %v", got, err)
	}
	if got, err := z.LookupMX(t.Context(), "a.example"); err != nil || got[0].Host != "mx.a.example" {
		t.Errorf("%v %v", got, err)
	}
	if got, err := z.LookupIPAddr(t.Context(), "mx.a.example"); err != nil || got[0].String() != "192.0.2.1" {
		t.Errorf("%v %v", got, err)
	}
	if _, err := z.LookupTXT(t.Context(), "down.example"); err == nil {
		t.Error("a server that is down answers")
	}
	if _, err := z.LookupAddr(t.Context(), "192.0.2.1"); err == nil {
		t.Error("an address has a name")
	}
	signed, err := fake.Letter{From: "a@a.example", To: []string{"b@b.example"}, Text: "x", Date: now, Sign: z.Trust("a.example")}.Bytes()
	if err != nil || !bytes.HasPrefix(signed, []byte("DKIM-Signature: ")) {
		t.Errorf("%v %s", err, signed)
	}
}
