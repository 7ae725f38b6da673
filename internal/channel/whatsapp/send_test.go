package whatsapp_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

func out(to msg.Address, thread string) msg.Outbound {
	return msg.Outbound{Entry: "entry-1", Attempt: 1, To: to, Thread: thread, ReplyTo: "wamid.Q", Text: "Katson heti. ÅÄÖ 👍"}
}

func TestAnAnswerGoesToTheNumberElseToTheUserIDElseToTheGroup(t *testing.T) {
	t.Parallel()
	provider, conn := desk(t, fake.Options{})
	phone := msg.Address{Kind: "whatsapp.phone", Value: "358401234567"}
	user := msg.Address{Kind: "whatsapp.user", Value: "FI.1348"}
	parent := msg.Address{Kind: "whatsapp.parent", Value: "FI.ENT.99"}
	both := user
	both.Also = []msg.Address{phone}
	for _, c := range []struct {
		to     msg.Address
		thread string
		want   fake.Sent
	}{
		{phone, "358401234567", fake.Sent{To: "358401234567"}},
		{user, "FI.1348", fake.Sent{Recipient: "FI.1348"}},
		{parent, "FI.ENT.99", fake.Sent{Recipient: "FI.ENT.99"}},
		{both, "FI.1348", fake.Sent{To: "358401234567"}},
		{phone, "FI.2000", fake.Sent{To: "358401234567"}}, // the thread's user ID was made anew since
		{phone, "Y2FwaV9ncm91cDoxOjI=", fake.Sent{To: "Y2FwaV9ncm91cDoxOjI=", Group: true}},
	} {
		receipt, err := whatsapp.Adapter{}.Send(t.Context(), conn, out(c.to, c.thread))
		if err != nil {
			t.Errorf("to %v, thread %q: %v", c.to, c.thread, err)
			continue
		}
		sent := provider.Sent()
		got := sent[len(sent)-1]
		if got.To != c.want.To || got.Recipient != c.want.Recipient || got.Group != c.want.Group {
			t.Errorf("to %v, thread %q: went to %+v, want %+v", c.to, c.thread, got, c.want)
		}
		if got.Text != "Katson heti. ÅÄÖ 👍" || got.ReplyTo != "wamid.Q" || got.Tag != "entry-1" || receipt.Of != got.ID || receipt.State != msg.Accepted {
			t.Errorf("text, quote, tag or receipt are wrong: %+v, %+v", got, receipt)
		}
	}
	if _, err := (whatsapp.Adapter{}).Send(t.Context(), conn, out(msg.Address{Kind: "email", Value: "maija@example.fi"}, "")); fault.Of(err) != fault.Permanent {
		t.Errorf("an address of another channel: want permanent, got %v", err)
	}
}

// Whatever the provider does, it accepts at most what was sent, and the adapter never says "try again" once it may have.
func TestWhatTheProviderMayHaveAcceptedIsNeverTriedAgain(t *testing.T) {
	t.Parallel()
	phone := msg.Address{Kind: "whatsapp.phone", Value: "358401234567"}
	for what, c := range map[string]struct {
		does     fake.Behaviour
		want     fault.Kind
		accepted int
	}{
		"accepts and vanishes":            {fake.AcceptAndVanish(), fault.Uncertain, 1},
		"accepts and answers garbage":     {fake.AcceptGarbled(), fault.Uncertain, 1},
		"drops the connection":            {fake.Drop(), fault.Uncertain, 0},
		"is limited for the pair":         {fake.Refuse(400, 131056), fault.Retry, 0},
		"has an expired token":            {fake.Refuse(401, 190), fault.Retry, 0},
		"closed the window":               {fake.Refuse(400, 131047), fault.Permanent, 0},
		"fails without saying what of it": {fake.Refuse(502, 0), fault.Uncertain, 0},
		"says that something went wrong":  {fake.Refuse(500, 131000), fault.Uncertain, 0},
	} {
		provider, conn := desk(t, fake.Options{})
		provider.Next(c.does)
		_, err := whatsapp.Adapter{}.Send(t.Context(), conn, out(phone, "358401234567"))
		if fault.Of(err) != c.want || len(provider.Sent()) != c.accepted {
			t.Errorf("a provider that %s: want %s after %d accepted, got %v after %d", what, c.want, c.accepted, err, len(provider.Sent()))
		}
		if err != nil && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), phone.Value)) {
			t.Errorf("a provider that %s: the error holds the token or the number: %v", what, err)
		}
	}
}

func TestAProviderThatAcceptsAndHangsIsUncertain(t *testing.T) {
	t.Parallel()
	provider, conn := desk(t, fake.Options{})
	provider.Next(fake.AcceptAndHang())
	ctx, cancel := context.WithCancel(t.Context())
	go func() { // give up as soon as the provider has it
		for len(provider.Sent()) == 0 && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := whatsapp.Adapter{}.Send(ctx, conn, out(msg.Address{Kind: "whatsapp.phone", Value: "358401234567"}, ""))
	if fault.Of(err) != fault.Uncertain || len(provider.Sent()) != 1 {
		t.Errorf("want uncertain after one acceptance, got %v after %d", err, len(provider.Sent()))
	}
}

func TestTheWaitAfterAPairLimitGrowsWithTheAttemptsAndFollowsRetryAfter(t *testing.T) {
	t.Parallel()
	header := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if header != "" {
			w.Header().Set("Retry-After", header)
		}
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(refused(131056, "pair rate limit hit")))
	}))
	defer server.Close()
	_, conn := desk(t, fake.Options{})
	conn.Account.Settings["api_base"] = server.URL
	for attempt, want := range []time.Duration{1: 6 * time.Second, 2: 16 * time.Second, 3: 64 * time.Second} {
		if want == 0 {
			continue
		}
		o := out(msg.Address{Kind: "whatsapp.phone", Value: "358401234567"}, "")
		o.Attempt = attempt
		_, err := whatsapp.Adapter{}.Send(t.Context(), conn, o)
		if got := fault.After(err); got != want {
			t.Errorf("attempt %d: want a wait of %s, got %s (%v)", attempt, want, got, err)
		}
	}
	header = "600"
	_, err := whatsapp.Adapter{}.Send(t.Context(), conn, out(msg.Address{Kind: "whatsapp.phone", Value: "358401234567"}, ""))
	if fault.After(err) != 10*time.Minute {
		t.Errorf("with Retry-After: 600 want 10 minutes, got %s", fault.After(err))
	}
}

func TestTheReceiptOfAnAnswerCarriesItsEntry(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var events []msg.Event
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("read the delivery: %v", err)
		}
		if _, err := (whatsapp.Adapter{}).Verify(delivery(body, r.Header.Get("X-Hub-Signature-256"), "app-secret")); err != nil {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		got, err := whatsapp.Adapter{}.Parse(envelope(body))
		if err != nil {
			t.Errorf("parse the receipt: %v", err)
		}
		mu.Lock()
		events = append(events, got...)
		mu.Unlock()
	}))
	defer hook.Close()
	provider, conn := desk(t, fake.Options{AppSecret: "app-secret", Webhook: hook.URL, Statuses: []string{"sent", "delivered", "read"}})
	provider.Next(fake.ReceiptFirst())
	receipt, err := whatsapp.Adapter{}.Send(t.Context(), conn, out(msg.Address{Kind: "whatsapp.phone", Value: "358401234567"}, ""))
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	early := len(events)
	mu.Unlock()
	if early != 3 {
		t.Errorf("want the receipts before the answer, got %d", early)
	}
	if failed := provider.Wait(); len(failed) > 0 {
		t.Fatalf("the provider could not post: %v", failed)
	}
	for i, want := range []msg.State{msg.Sent, msg.Delivered, msg.Read} {
		if e := events[i]; e.Receipt == nil || e.Receipt.State != want || e.Tag != "entry-1" || e.Receipt.Of != receipt.Of {
			t.Errorf("receipt %d: want %s of entry-1, got %+v", i, want, e)
		}
	}
}
