package coldstart

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets this very binary play a function when it is started as one.
func TestMain(m *testing.M) {
	runtime := os.Getenv("AWS_LAMBDA_RUNTIME_API")
	if runtime == "" {
		os.Exit(m.Run())
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
	results, err := Measure(t.Context(), function(t, "webhook"), []string{"webhook"}, 3)
	if err != nil {
		t.Fatal(err)
	}
	r := results[0]
	if len(r.Start) != 3 || r.Start[0] <= 0 || r.Start[2] < r.Start[0] || r.Median() != r.Start[1] || r.Size == 0 {
		t.Errorf("got %+v", r)
	}
}

func TestFunctionThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	_, err := Measure(t.Context(), function(t, "broken"), []string{"broken"}, 1)
	if err == nil || !strings.Contains(err.Error(), "there is no deployment key") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("got %v", err)
	}
}
