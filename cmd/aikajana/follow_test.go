package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/app/local"
)

// serveForm serves a desk with a web form until the function that it returns is called.
func serveForm(t *testing.T, folder, address string) (at string, end func()) {
	t.Helper()
	config := filepath.Join(folder, "accounts.json")
	if err := os.WriteFile(config, []byte(`{"accounts":[{"channel":"form","account":"main"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ready := new(output)
	server, err := local.Open(local.Options{Data: filepath.Join(folder, "desk"), HTTP: address, Config: config, Token: adminToken, AdminPassword: "correct horse battery", Out: ready})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx) }()
	ready.awaits(t, "listening")
	return server.HTTPAddr(), func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func fillIn(t *testing.T, at, text string) {
	t.Helper()
	body := fmt.Sprintf(`{"id":%q,"name":"Maija","email":"maija@posti.example","message":%q}`, text, text)
	response, err := http.Post("http://"+at+"/forms/main", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusAccepted {
		t.Fatalf("the form answered with status %d: %s", response.StatusCode, answer)
	}
}

func TestFollowingGoesOnWhereItWasAfterTheServerRestarted(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	at, end := serveForm(t, folder, "127.0.0.1:0")
	fillIn(t, at, "ensimmäinen")
	where := []string{"--server", "http://" + at, "--token", adminToken}
	var found, errs output
	for deadline := time.Now().Add(waitingLimit); run(t.Context(), append(where, "timeline", "email.unverified:maija@posti.example"), streams{strings.NewReader(""), &found, &errs}) != exitOK; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the form never became a timeline: %s", errs.String())
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var followed output
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, append(where, "timeline", "email.unverified:maija@posti.example", "-f"), streams{strings.NewReader(""), &followed, &errs})
	}()
	followed.awaits(t, "ensimmäinen")
	fillIn(t, at, "toinen")
	followed.awaits(t, ": toinen\n") // its case, which was opened meanwhile, by name
	followed.awaits(t, "       toinen\n")
	end()
	_, end = serveForm(t, folder, at)
	fillIn(t, at, "kolmas") // perhaps before the follower is back
	followed.awaits(t, "       kolmas\n")
	stop()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	end()
	for _, text := range []string{"ensimmäinen", "toinen", "kolmas"} {
		if n := strings.Count(followed.String(), "\n       "+text+"\n"); n != 1 {
			t.Errorf("%q was drawn %d times:\n%s", text, n, followed.String())
		}
	}
}
