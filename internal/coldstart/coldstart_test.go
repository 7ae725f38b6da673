package coldstart

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestMain lets this very binary play a function when it is started as one.
func TestMain(m *testing.M) {
	runtime := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	if runtime == "" {
		os.Exit(m.Run())
	}
	if strings.HasSuffix(os.Args[0], "tuned") && os.Getenv("GOGC") != "400" {
		fmt.Println("it is not tuned")
		os.Exit(1)
	}
	if strings.HasSuffix(os.Args[0], "broken") {
		fmt.Println("there is no deployment key")
		os.Exit(1)
	}
	answer, err := http.Get("http://" + runtime + "/2018-06-01/runtime/invocation/next")
	if err == nil {
		_ = answer.Body.Close() // it is killed before there is one
	}
	os.Exit(0)
}

// function puts this binary into a folder under a name.
func function(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestStartsAreCountedFromExecToTheFirstPoll(t *testing.T) {
	t.Parallel()
	results, err := Measure(t.Context(), function(t, "webhook"), []string{"webhook"}, nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if len(r.Start) != 3 || r.Start[0] <= 0 || r.Start[2] < r.Start[0] || Quantile(r.Start, 0.5) != r.Start[1] || r.Size == 0 {
		t.Errorf("got %+v", r)
	}
	if len(r.Processor) != 3 || r.Processor[0] <= 0 {
		t.Errorf("processor time: %v", r.Processor)
	}
}

func TestFunctionThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := Measure(t.Context(), function(t, "broken"), []string{"broken"}, nil, 1)
	if err == nil || !strings.Contains(err.Error(), "there is no deployment key") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
}

func TestWhatTheTemplateSetsOfGosRuntimeAppliesToAll(t *testing.T) {
	t.Parallel()
	template := filepath.Join(t.TempDir(), "template.yaml")
	text := "Globals:\n  Function:\n    Environment:\n      Variables:\n        AIKAJANA_TABLE: !Ref Table\n        GOGC: 400\n"
	if err := os.WriteFile(template, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tuning, err := Tuning(template)
	if err != nil || !slices.Equal(tuning, []string{"GOGC=400"}) {
		t.Fatalf("%v %v", tuning, err)
	}
	if _, err := Measure(t.Context(), function(t, "tuned"), []string{"tuned"}, tuning, 1); err != nil {
		t.Error(err)
	}
	if _, err := Measure(t.Context(), function(t, "tuned"), []string{"tuned"}, nil, 1); err == nil || !strings.Contains(err.Error(), "it is not tuned") {
		t.Errorf("without the template's setting: %v", err)
	}
}

func TestQuantilesAreTakenFromWhatWasSeen(t *testing.T) {
	t.Parallel()
	sorted := []time.Duration{1, 2, 3, 4, 5}
	for share, want := range map[float64]time.Duration{0: 1, 0.25: 2, 0.5: 3, 0.75: 4, 1: 5} {
		if got := Quantile(sorted, share); got != want {
			t.Errorf("%v of five: %d, want %d", share, got, want)
		}
	}
}

func TestProcessThatWantsToHearOfItsEndIsRegistered(t *testing.T) {
	t.Parallel()
	rt, err := newRuntime(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rt.close)
	answer, err := http.Post("http://"+rt.lambda.Addr().String()+"/2020-01-01/extension/register", "application/json", strings.NewReader(`{"events":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close() // its head is what counts
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Lambda-Extension-Identifier") == "" {
		t.Errorf("answered %d %v", answer.StatusCode, answer.Header)
	}
	select {
	case <-rt.polled:
		t.Error("registering counts as the first poll")
	default:
	}
}
