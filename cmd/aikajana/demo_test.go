package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/client"
)

// output is what a command prints while it runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// waitingLimit is when a test that waits for a fact gives up: far beyond what it takes, also on a machine with too much to do.
const waitingLimit = 2 * time.Minute

// awaits waits until the output holds a text.
func (o *output) awaits(t *testing.T, text string) {
	t.Helper()
	o.matches(t, regexp.MustCompile(regexp.QuoteMeta(text)))
}

// matches waits until the output holds what is looked for.
func (o *output) matches(t *testing.T, what *regexp.Regexp) {
	t.Helper()
	deadline := time.Now().Add(waitingLimit)
	for !what.MatchString(o.String()) {
		if time.Now().After(deadline) {
			t.Fatalf("it never printed %q, only:\n%s", what, o.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestTheDemonstrationTouchesEveryChannelCanBeFollowedAndLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	for name, value := range map[string]string{"COLUMNS": "100", "LANG": "C.UTF-8", "LC_ALL": "", "AIKAJANA_TOKEN": "", "AIKAJANA_SERVER": ""} {
		t.Setenv(name, value)
	}
	ctx, stop := context.WithCancel(t.Context())
	var out, errs, followed output
	ended := make(chan int, 2)
	go func() {
		ended <- run(ctx, []string{"demo", "--http", "127.0.0.1:0", "--smtp", "127.0.0.1:0"}, streams{strings.NewReader(""), &out, &errs})
	}()
	out.awaits(t, "Ctrl-C ends it")
	found := regexp.MustCompile(`AIKAJANA_SERVER=(\S+) AIKAJANA_TOKEN=(\S+)(?s:.*)aikajana reply (\S+)`).FindStringSubmatch(out.String())
	if found == nil {
		t.Fatalf("it does not say where to look:\n%s", out.String())
	}
	where := []string{"--server", found[1], "--token", found[2]}
	go func() {
		ended <- run(ctx, append(where, "timeline", maijaAddress, "--follow"), streams{strings.NewReader(""), &followed, &errs})
	}()
	for _, text := range []string{"◉ whatsapp ←", "▤ form ←", "✉ email ←", "⇥ webhook ←", "▣ picture", "✎ note Aino Virtanen", "✎ edited", "◉ whatsapp → Aino Virtanen", "unverified sender", "Kiitos nopeasta"} {
		followed.awaits(t, text)
	}
	var said output
	if code := run(ctx, append(where, "reply", found[3], "Uusi lamppu lähti tänään."), streams{strings.NewReader(""), &said, &errs}); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	followed.awaits(t, "Uusi lamppu lähti tänään.")
	// Drawn as a change of what stood there, or at once as read when all of it was faster than the socket.
	followed.matches(t, regexp.MustCompile(`✓✓ read\s+Uusi lamppu`))
	followed.awaits(t, "Selvä, kiitos avusta!") // she answers back
	if strings.Count(followed.String(), "Kiitos nopeasta vastauksesta") != 1 {
		t.Errorf("what resuming repeats was drawn twice:\n%s", followed.String())
	}
	failed := run(ctx, append(where, "timeline", pekka.Phone), streams{strings.NewReader(""), &said, &errs})
	if failed != exitOK || !strings.Contains(said.String(), "✗ FAILED") || !strings.Contains(said.String(), "NOT DELIVERED") {
		t.Errorf("an answer that failed is not loud (exit %d):\n%s", failed, said.String())
	}
	stop()
	for range 2 {
		if code := <-ended; code != exitOK {
			t.Errorf("it ended with exit code %d: %s", code, errs.String())
		}
	}
	left, err := filepath.Glob(filepath.Join(temp, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("it left %v behind (%v)", left, err)
	}
	if _, err := os.Stat(temp); err != nil {
		t.Error(err)
	}
}

func TestDestructiveCommandsDoNothingWithoutYes(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "no\n", "yes\n"} { // whatever comes from a pipe is not a person's answer
		r := &remote{streams: streams{in: strings.NewReader(answer), out: new(bytes.Buffer), err: new(bytes.Buffer)}}
		if err := r.confirm(false, "erase everybody"); err == nil {
			t.Errorf("%q from a pipe was taken for consent", answer)
		}
		if err := r.confirm(true, "erase everybody"); err != nil {
			t.Errorf("--yes: %v", err)
		}
	}
}

func TestFault33_ErrorsCannotSteerTheTerminal(t *testing.T) {
	t.Parallel()
	var errs bytes.Buffer
	code := exitCode(streams{err: &errs}, &client.Problem{Doing: "erase", Status: 409, Detail: "customer \x1b]0;owned\x07 \u202e\nnext line"})
	if code != exitFailed || errs.String() != "aikajana: erase: customer ␛]0;owned next line\n" {
		t.Errorf("exit %d, %q", code, errs.String())
	}
}
