//go:build parts

package webhook_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/webhook"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// The shell example of the documentation, run as it stands with the machine's sh, openssl and curl.
func TestDocumentedShellExampleSignsRight(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	account := &channel.Account{ID: "crm", Secrets: map[string][]string{"signing_secret": {secret}}}
	texts := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.URL.Path == "/hooks/webhook/crm" {
			_, err = webhook.Adapter{}.Verify(&channel.Request{Account: account, Method: r.Method, URL: r.URL, Header: r.Header, Body: body, Now: msg.TimeOf(time.Now())})
		}
		if err != nil {
			t.Error(err)
			w.WriteHeader(fault.Of(err).Status())
			return
		}
		events, err := webhook.Adapter{}.Parse(channel.Envelope{Channel: "webhook", Account: "crm", Header: r.Header, Body: body})
		if err != nil || len(events) != 1 || events[0].Message == nil {
			t.Errorf("want one message, got %+v, %v", events, err)
		} else {
			texts <- events[0].Message.Text
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	command := exec.CommandContext(t.Context(), "sh", "-eu", "-c", block(t, "sh", "openssl dgst"))
	command.Env = append(command.Environ(), "DESK="+server.URL, "SECRET="+secret)
	out, err := command.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "202" {
		t.Fatalf("the example printed %q, %v", out, err)
	}
	if got := <-texts; got != "Hei, lasku on väärin." {
		t.Errorf("got text %q", got)
	}
}
