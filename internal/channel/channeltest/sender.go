package channeltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// Send says what the runner cannot know of a channel that sends.
type Send struct {
	// Outbound is a valid answer; the runner fills in Entry, Attempt and Time where they are empty.
	Outbound msg.Outbound
	// Of is the external ID that the receipt of an accepted answer has.
	Of string

	// BaseSetting names the setting for the provider's base URL; "api_base" when empty. Accepted is the status and body with
	// which the provider takes the answer. Answers lists what else it may say and the disposition that must follow.
	BaseSetting string
	Accepted    Answer
	Answers     []Answer

	// Mail is set for a channel that sends through Conn.Mail instead of HTTP. The runner's Mailer then gives Of as the
	// Message-ID, and each disposition in turn as its error, which must come through.
	Mail bool
}

// Answer is what the provider says to a send, and what must become of it.
type Answer struct {
	Name   string
	Status int
	Header map[string]string
	Body   string
	// Want is the disposition; Code, when set, the error's code; AtLeast the shortest wait before the next attempt.
	Want    fault.Kind
	Code    string
	AtLeast time.Duration
}

func runSend(t *testing.T, a channel.Sender, o Options) {
	t.Helper()
	if o.Send == nil {
		t.Fatal("the channel is a Sender: say in Options.Send what its provider answers")
	}
	if o.Send.Mail {
		t.Run("Mail", func(t *testing.T) { t.Parallel(); checkMailing(a, o, t.Errorf) })
		return
	}
	t.Run("Accepted", func(t *testing.T) {
		t.Parallel()
		receipt, calls, err := answered(t, a, o, o.Send.Accepted, o.Send.outbound())
		checkReceipt(o.Send.Of, receipt, err, t.Errorf)
		if calls != 1 {
			t.Errorf("one answer made %d calls that the provider may have acted on", calls)
		}
	})
	for _, answer := range o.Send.Answers {
		t.Run(answer.Name, func(t *testing.T) {
			t.Parallel()
			_, calls, err := answered(t, a, o, answer, o.Send.outbound())
			checkRefusal(o, answer, err, t.Errorf)
			if calls != 1 {
				t.Errorf("the adapter made %d calls; trying again is the pipeline's business", calls)
			}
		})
	}
	t.Run("Limits", func(t *testing.T) {
		t.Parallel()
		for what, text := range map[string]string{"empty": "", "too long": strings.Repeat("å", a.Info().Can.Text+1)} {
			out := o.Send.outbound()
			out.Text = text
			_, calls, err := answered(t, a, o, o.Send.Accepted, out)
			if kind := fault.Of(err); kind != fault.Permanent && kind != fault.Invalid || calls != 0 {
				t.Errorf("an answer that is %s: want it refused before any call, got %v after %d calls", what, err, calls)
			}
		}
		out := o.Send.outbound()
		out.Text = strings.Repeat("😀", min(a.Info().Can.Text, 100_000))
		if _, _, err := answered(t, a, o, o.Send.Accepted, out); err != nil {
			t.Errorf("an answer of exactly the longest length: %v", err)
		}
	})
	t.Run("Lost", func(t *testing.T) { t.Parallel(); checkLost(t, a, o) })
}

// checkLost breaks the connection at each stage: before the first byte nothing can have happened, after it anything can.
func checkLost(t *testing.T, a channel.Sender, o Options) {
	t.Helper()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	_, err := a.Send(t.Context(), o.conn(a.Info(), gone.URL), o.Send.outbound())
	checkRefusal(o, Answer{Name: "connection refused", Want: fault.Retry}, err, t.Errorf)

	for name, breakOff := range map[string]func(w http.ResponseWriter, cancel func()){
		"closed without an answer": func(w http.ResponseWriter, _ func()) { panic(http.ErrAbortHandler) },
		"closed within the answer": func(w http.ResponseWriter, _ func()) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"mes`) // the client sees the cut, whatever this returns
			panic(http.ErrAbortHandler)
		},
		"timed out": func(_ http.ResponseWriter, cancel func()) { cancel(); panic(http.ErrAbortHandler) },
		"accepted with an unreadable answer": func(w http.ResponseWriter, _ func()) {
			_, _ = io.WriteString(w, "<html>OK</html>") // as above
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // read all of it: the provider has the answer
			breakOff(w, cancel)
		}))
		_, err := a.Send(ctx, o.conn(a.Info(), server.URL), o.Send.outbound())
		checkRefusal(o, Answer{Name: name, Want: fault.Uncertain}, err, t.Errorf)
		cancel()
		server.Close()
	}
}

// answered sends one answer to a provider that says the given thing, and counts the calls it got.
func answered(t *testing.T, a channel.Sender, o Options, answer Answer, out msg.Outbound) (msg.Receipt, int32, error) {
	t.Helper()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		_, _ = io.Copy(io.Discard, r.Body) // a client that went away is its own business
		w.Header().Set("Content-Type", "application/json")
		for name, value := range answer.Header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(answer.Status)
		_, _ = io.WriteString(w, answer.Body) // as above
	}))
	defer server.Close()
	receipt, err := a.Send(t.Context(), o.conn(a.Info(), server.URL), out)
	return receipt, calls.Load(), err
}

func checkReceipt(of string, r msg.Receipt, err error, problem report) {
	if err != nil {
		problem("an accepted answer: %v", err)
		return
	}
	if r.Of != of && r.MessageID != of {
		problem("the receipt is of %q (Message-ID %q), want %q", r.Of, r.MessageID, of)
	}
	if r.State.Rank() < msg.Accepted.Rank() || r.State == msg.Failed {
		problem("the receipt has state %q, want accepted or further", r.State)
	}
}

func checkRefusal(o Options, want Answer, err error, problem report) {
	switch {
	case err == nil:
		problem("%s: want %s, got no error", want.Name, want.Want)
		return
	case fault.Of(err) != want.Want:
		problem("%s: want %s, got %s: %v", want.Name, want.Want, fault.Of(err), err)
	case want.Code != "" && fault.Code(err) != want.Code:
		problem("%s: want code %q, got %q: %v", want.Name, want.Code, fault.Code(err), err)
	case fault.After(err) < want.AtLeast:
		problem("%s: want a wait of at least %s, got %s", want.Name, want.AtLeast, fault.After(err))
	}
	// An error ends up in logs and before agents' eyes (FAULTS 56).
	private := []string{o.Send.Outbound.To.Value, o.Send.Outbound.Text}
	for _, values := range o.Secrets {
		private = append(private, values...)
	}
	for _, secret := range private {
		if len(secret) > 3 && strings.Contains(err.Error(), secret) {
			problem("%s: the error repeats a secret, an address or the text: %v", want.Name, err)
		}
	}
}

func checkMailing(a channel.Sender, o Options, problem report) {
	ctx := context.Background()
	conn := o.conn(a.Info(), "http://127.0.0.1:0")
	conn.Mail = mailer{id: o.Send.Of}
	receipt, err := a.Send(ctx, conn, o.Send.outbound())
	checkReceipt(o.Send.Of, receipt, err, problem)
	for _, kind := range []fault.Kind{fault.Permanent, fault.Retry, fault.Uncertain} {
		conn.Mail = mailer{err: &fault.Error{Kind: kind, Code: "relay", After: time.Minute, Err: errors.New("the relay said so")}}
		_, err := a.Send(ctx, conn, o.Send.outbound())
		checkRefusal(o, Answer{Name: fmt.Sprintf("a relay that is %s", kind), Want: kind}, err, problem)
	}
}

type mailer struct {
	id  string
	err error
}

func (m mailer) SendMail(context.Context, string, []string, []byte, string) (string, error) {
	return m.id, m.err
}

func (s *Send) outbound() msg.Outbound {
	out := s.Outbound
	if out.Entry == "" {
		out.Entry = "entry-1"
	}
	if out.Attempt == 0 {
		out.Attempt = 1
	}
	if out.Time == 0 {
		out.Time = ReceivedAt
	}
	return out
}

func (o Options) conn(info channel.Info, base string) channel.Conn {
	setting := o.Send.BaseSetting
	if setting == "" {
		setting = "api_base"
	}
	account := o.account(info, nil)
	if slices.ContainsFunc(info.Settings, func(s channel.Setting) bool { return s.Name == setting }) {
		account.Settings[setting] = base
	}
	return channel.Conn{Account: account, HTTP: &http.Client{
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}
