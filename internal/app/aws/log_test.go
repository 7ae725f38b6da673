package aws

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

// line reads one line of a log as Lambda does with the log format JSON.
func line(t *testing.T, raw []byte) (message, level string) {
	t.Helper()
	var l struct {
		Timestamp, Level, Msg string
		Time                  *string
	}
	if err := json.Unmarshal(raw, &l); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	if _, err := time.Parse(time.RFC3339, l.Timestamp); err != nil || l.Time != nil {
		t.Errorf("%s has no timestamp that Lambda reads, or two: %v", raw, err)
	}
	return l.Msg, l.Level
}

func TestLinesOfTheLogAreWhatLambdaTakesAsTheyAre(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := logger(&out, "debug")
	log.Debug("one", "time", "of the customer's", "n", 1)
	if msg, level := line(t, bytes.ReplaceAll(out.Bytes(), []byte(`"time":"of the customer's"`), []byte(`"other":""`))); msg != "one" || level != "DEBUG" {
		t.Errorf("got %q at %q", msg, level)
	}
	out.Reset()
	log.Error("two")
	if msg, level := line(t, out.Bytes()); msg != "two" || level != "ERROR" {
		t.Errorf("got %q at %q", msg, level)
	}
}

func TestProgramFiltersItsLogItself(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1, "": 3, "loud": 3} {
		var out bytes.Buffer
		log := logger(&out, level)
		log.Debug("d")
		log.Info("i")
		log.Warn("w")
		log.Error("e")
		if got := bytes.Count(out.Bytes(), []byte("\n")); got != want {
			t.Errorf("at %q %d of four lines, want %d", level, got, want)
		}
	}
}

// TestFunctionThatCannotStartSaysSoInALineOfTheLog runs itself as that function.
func TestFunctionThatCannotStartSaysSoInALineOfTheLog(t *testing.T) {
	t.Parallel()
	if os.Getenv("EXIT") != "" {
		Exit(errors.New("start: no table"))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "EXIT=yes")
	var said bytes.Buffer
	cmd.Stderr = &said
	var ended *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &ended) || ended.ExitCode() != 1 {
		t.Errorf("it ended with %v", err)
	}
	if msg, level := line(t, said.Bytes()); msg != "not started" || level != "ERROR" || !bytes.Contains(said.Bytes(), []byte("start: no table")) {
		t.Errorf("it said %s", said.Bytes())
	}
}
