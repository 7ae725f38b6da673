package awslambda

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aikajana/aikajana/internal/queue"
)

// played is the environment variable by which this test binary is started as a function: "stay", or "leave" for one that has
// something to say before it ends.
const played = "PLAYED_FUNCTION"

// TestMain lets this very binary play a function.
func TestMain(m *testing.M) {
	handler := SQS(func(context.Context, []queue.Message) []string { return []string{"second"} })
	switch os.Getenv(played) {
	case "stay":
		Start(handler)
	case "leave":
		StartAndLeave(handler, func() { fmt.Print("left"); os.Exit(0) })
	}
	os.Exit(m.Run())
}

// runtimeAPI is Lambda's runtime API with one event to hand out, and its extensions API
// (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html and runtimes-extensions-api.html, read on 2026-11-30).
type runtimeAPI struct {
	event      string
	handed     atomic.Bool
	answers    chan string
	registered atomic.Bool
}

func (l *runtimeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/runtime/invocation/next") && l.handed.CompareAndSwap(false, true):
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "one")
		w.Header().Set("Lambda-Runtime-Deadline-Ms", "4102444800000")
		_, _ = io.WriteString(w, l.event) // the function reads it or the test waits for ever
	case strings.HasSuffix(r.URL.Path, "/runtime/invocation/one/response"):
		body, err := io.ReadAll(r.Body)
		l.answers <- fmt.Sprint(string(body), err)
		w.WriteHeader(http.StatusAccepted)
	case strings.HasSuffix(r.URL.Path, "/extension/register"):
		l.registered.Store(true)
		w.Header().Set("Lambda-Extension-Identifier", "extension")
	default: // nothing more to hand out
		<-r.Context().Done()
	}
}

// function starts this binary as a function that has answered its event.
func function(t *testing.T, kind string) (*runtimeAPI, *exec.Cmd, *bytes.Buffer) {
	t.Helper()
	event, err := os.ReadFile("../../infra/events/process.json")
	if err != nil {
		t.Fatal(err)
	}
	l := &runtimeAPI{event: string(event), answers: make(chan string, 1)}
	api := httptest.NewServer(l)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, said := exec.CommandContext(t.Context(), self), &bytes.Buffer{}
	cmd.Env = append(os.Environ(), played+"="+kind, "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(api.URL, "http://"))
	cmd.Stdout = said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		api.CloseClientConnections() // or a poll that never ends would keep the server
		api.Close()
	})
	if got := <-l.answers; got != `{"batchItemFailures":[{"itemIdentifier":"second"}]}<nil>` {
		t.Errorf("answered %s", got)
	}
	return l, cmd, said
}

func TestFunctionSaysWhatItHasToSayBeforeLambdaEndsIt(t *testing.T) {
	t.Parallel()
	l, cmd, said := function(t, "leave")
	if !l.registered.Load() {
		t.Fatal("it registered nothing, so that Lambda sends it no SIGTERM")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || said.String() != "left" {
		t.Errorf("ended with %v and said %q", err, said)
	}
}

func TestFunctionThatHasNothingToSayRegistersForNothing(t *testing.T) {
	t.Parallel()
	l, cmd, _ := function(t, "stay")
	if l.registered.Load() {
		t.Fatal("it registered an extension, which costs a call at each start")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it went on after SIGTERM, or ended as if all were well")
	}
}
