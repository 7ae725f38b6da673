package localaws

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStoppedProgramIsGoneAndTidiedUpAfter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := keep(io.Discard, nil, `echo done > "$KEPT/tidied"`, []string{"KEPT=" + dir}, "sleep", "1000")
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	if _, err := os.Stat(filepath.Join(dir, "tidied")); err != nil {
		t.Error(err)
	}
}

func TestProgramThatEndsByItselfIsNoticed(t *testing.T) {
	t.Parallel()
	s, err := keep(io.Discard, nil, "", nil, "false")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.answers(t.Context(), "127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("got %v", err)
	}
	s.stop()
}

// TestProgramEndsAndIsTidiedUpWhenItsStarterIsKilled starts this very binary again, has it keep a program, and kills it.
func TestProgramEndsAndIsTidiedUpWhenItsStarterIsKilled(t *testing.T) {
	if dir := os.Getenv("KEEP_CHILD"); dir != "" {
		if _, err := keep(io.Discard, nil, `echo done > "$KEPT/tidied"`, []string{"KEPT=" + dir}, "sh", "-c", `echo $$ > "$KEPT/pid"; exec sleep 1000`); err != nil {
			t.Fatal(err)
		}
		fmt.Println("kept")
		select {} // until it is killed
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "KEEP_CHILD="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "kept\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	pid := 0
	until(t, "the program runs", func() bool {
		body, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(body)))
		return err == nil
	})
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	until(t, "it was tidied up", func() bool { _, err := os.Stat(filepath.Join(dir, "tidied")); return err == nil })
	until(t, "the program is gone", func() bool { return syscall.Kill(pid, 0) != nil })
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestContainersReachLoopbackByTheBridgesAddress(t *testing.T) {
	t.Parallel()
	f := forwarders{}
	if got, err := f.reach("http://127.0.0.1:4566/queue/inbound"); err != nil || got != "http://host.docker.internal:4566/queue/inbound" {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := f.reach("http://127.0.0.1"); err == nil {
		t.Error("an address without a port was taken")
	}
}
