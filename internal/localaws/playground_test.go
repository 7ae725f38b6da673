package localaws

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// playground is one whose project has no template, so that it starts nothing.
func playground(t *testing.T) (*Playground, *bytes.Buffer) {
	t.Helper()
	said := new(bytes.Buffer)
	return &Playground{Root: t.TempDir(), Dir: filepath.Join(t.TempDir(), "stack"), Out: said}, said
}

// nothingBeside looks for the files beside the folder.
func nothingBeside(t *testing.T, p *Playground) {
	t.Helper()
	for _, name := range []string{p.Dir, p.Dir + ".pid", p.Dir + ".log"} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

func TestStoppingWhatDoesNotRunSaysSoAndTakesTheOldLogAway(t *testing.T) {
	t.Parallel()
	p, said := playground(t)
	if err := os.WriteFile(p.Dir+".log", []byte("why it failed"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.End(t.Context()); err != nil {
		t.Error(err)
	}
	if said.String() != "local-aws: nothing runs\n" {
		t.Errorf("it said %q", said)
	}
	nothingBeside(t, p)
}

func TestASecondPlaygroundIsRefusedAndTheFirstGoesOn(t *testing.T) {
	t.Parallel()
	p, _ := playground(t)
	lock, before, err := p.lock()
	if err != nil || lock == nil || before != "" {
		t.Fatalf("locked %v, %q, %v", lock, before, err)
	}
	if _, err := lock.WriteString("4711"); err != nil {
		t.Fatal(err)
	}
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "runs already (process 4711)") || !strings.Contains(err.Error(), "make local-aws-stop") {
		t.Errorf("the second was told %v", err)
	}
	if body, err := os.ReadFile(p.Dir + ".pid"); err != nil || string(body) != "4711" {
		t.Errorf("the first is now process %q, %v", body, err)
	}
	if err := p.unlock(lock); err != nil {
		t.Error(err)
	}
	if lock, before, err = p.lock(); err != nil || lock == nil || before != "" {
		t.Fatalf("after it ended, locked %v, %q, %v", lock, before, err)
	}
	if err := p.unlock(lock); err != nil {
		t.Error(err)
	}
}

// TestAProcessThatOnlyHasTheNumberOfOneThatWasKilledIsLeftAlone: the kernel gives numbers again.
func TestAProcessThatOnlyHasTheNumberOfOneThatWasKilledIsLeftAlone(t *testing.T) {
	t.Parallel()
	p, said := playground(t)
	stranger := exec.CommandContext(t.Context(), "sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = stranger.Process.Kill(), stranger.Wait() }) // it is ours
	pid := strconv.Itoa(stranger.Process.Pid)
	if err := os.WriteFile(p.Dir+".pid", []byte(pid), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := p.End(t.Context()); err != nil {
		t.Error(err)
	}
	if want := fmt.Sprintf("local-aws: it was killed (process %s); tidying up after it\nlocal-aws: stopped, and nothing is left of it\n", pid); said.String() != want {
		t.Errorf("it said %q", said)
	}
	var status syscall.WaitStatus
	if ended, err := syscall.Wait4(stranger.Process.Pid, &status, syscall.WNOHANG, nil); err != nil || ended != 0 {
		t.Errorf("the stranger ended: %d, %v", ended, err)
	}
	nothingBeside(t, p)
}

func TestAPlaygroundThatCannotStartSaysWhyAndKeepsItsLogAlone(t *testing.T) {
	t.Parallel()
	p, _ := playground(t)
	if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "template") {
		t.Errorf("it said %v", err)
	}
	if _, err := os.Stat(p.Dir + ".log"); err != nil {
		t.Errorf("the log: %v", err)
	}
	if err := os.Remove(p.Dir + ".log"); err != nil {
		t.Error(err)
	}
	nothingBeside(t, p)
}
