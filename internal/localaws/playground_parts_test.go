//go:build parts

package localaws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/standin"
)

// program is scripts/local-aws as "make local-aws" runs it, and the client that its reader is told to build.
type program struct {
	bin, dir, http string
	// temp is its folder for temporary files.
	temp string
}

func buildProgram(t *testing.T) *program {
	t.Helper()
	port, err := standin.FreePort(0)
	if err != nil {
		t.Fatal(err)
	}
	p := &program{bin: filepath.Join(t.TempDir(), "bin"), dir: engineFolder(t), http: port, temp: t.TempDir()}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", p.bin+"/", "./scripts/local-aws", "./cmd/aikajana")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Remove(p.dir); err != nil { // the program makes it
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(p.dir + ".log") }) // only a failed one leaves it
	return p
}

// running is a program that was started; what it says so far is in said.
type running struct {
	*exec.Cmd
	said  *transcript
	ended chan error
}

type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (p *program) start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{exec.Command(filepath.Join(p.bin, "local-aws"), append([]string{"-dir", p.dir, "-http", p.http}, args...)...), new(transcript), make(chan error, 1)}
	r.Dir, r.Env, r.Stdout, r.Stderr = "../..", append(os.Environ(), "TMPDIR="+p.temp), r.said, r.said
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.Wait() }()
	t.Cleanup(func() { _ = r.Process.Kill() }) // it has ended, unless the test failed; then its keepers tidy up
	return r
}

// run waits for the end and returns what was said.
func (p *program) run(t *testing.T, args ...string) (said string, err error) {
	t.Helper()
	r := p.start(t, args...)
	err = <-r.ended
	return r.said.String(), err
}

// until waits for a word of the running program, or of its log.
func (p *program) until(t *testing.T, r *running, word string) {
	t.Helper()
	for end := time.Now().Add(startTime); ; pause(t.Context(), 100*time.Millisecond) {
		log, err := os.ReadFile(p.dir + ".log")
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if strings.Contains(r.said.String()+string(log), word) {
			return
		}
		select {
		case err := <-r.ended:
			t.Fatalf("it ended (%v) and said %s\n%s", err, r.said, tail(string(log)))
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("it does not say %q, but %s\n%s", word, r.said, tail(string(log)))
		}
	}
}

// nothingLeft looks for processes, the folder, networks, the files beside the folder, and temporary ones.
func (p *program) nothingLeft(t *testing.T, bridges []string) {
	t.Helper()
	for _, name := range bridges {
		if err := (&bridge{name}).gone(); err != nil {
			t.Error(err)
		}
	}
	if err := left(p.dir, nil); err != nil {
		t.Error(err)
	}
	if pids := processesOf(p.dir); len(pids) > 0 {
		t.Errorf("processes %v are left", pids)
	}
	for _, name := range []string{p.dir + ".pid", p.dir + ".log"} {
		if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if files, err := os.ReadDir(p.temp); err != nil || len(files) > 0 {
		t.Errorf("temporary files are left: %v, %v", files, err)
	}
}

// networks are those of a private engine; none where Docker runs anyway.
func (p *program) networks(t *testing.T) []string {
	t.Helper()
	all, err := bridgesOf(p.dir)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// typed are the commands that the program prints: the lines that are set in, below the first table.
func typed(said string) []string {
	var all []string
	for line := range strings.Lines(said) {
		if _, in := strings.CutPrefix(line, "  "); in && !regexp.MustCompile(`^  \S.*?  +\S`).MatchString(line) || strings.HasPrefix(line, "    -H") {
			all = append(all, strings.TrimSpace(line))
		}
	}
	return all
}

func TestWhatMakeLocalAWSPrintsWorksAsTypedAndStopLeavesNothing(t *testing.T) {
	p := buildProgram(t)
	t.Run("StopWithoutAStartSaysSo", func(t *testing.T) {
		if said, err := p.run(t, "-stop"); err != nil || said != "local-aws: nothing runs\n" {
			t.Errorf("it said %q, %v", said, err)
		}
		p.nothingLeft(t, nil)
	})
	t.Run("OneThatWasKilledIsTidiedUpAfter", func(t *testing.T) {
		r := p.start(t)
		p.until(t, r, "local-aws: building the functions") // the engine and the stand-ins run, and so does the compiler in a moment
		bridges := p.networks(t)
		eventually(t, "it builds", func() bool { return len(processesOf(p.dir)) > 4 })
		pids := processesOf(p.dir)
		if err := r.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := <-r.ended; err == nil {
			t.Error("it ended by itself")
		}
		said, err := p.run(t, "-stop")
		if err != nil || !strings.Contains(said, "it was killed") {
			t.Errorf("it said %q, %v", said, err)
		}
		p.nothingLeft(t, bridges)
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil && len(procFile(pid, "cmdline")) > 0 {
				t.Errorf("process %d still runs: %q", pid, procFile(pid, "cmdline"))
			}
		}
	})
	r := p.start(t)
	p.until(t, r, "leaves nothing behind")
	bridges := p.networks(t)
	if said := r.said.String(); strings.Contains(said, `{"time"`) {
		t.Errorf("the log is among what a person reads: %s", said)
	}
	t.Run("ASecondStartSaysThatOneRuns", func(t *testing.T) {
		if said, err := p.run(t); err == nil || !strings.Contains(said, "runs already (process") || !strings.Contains(said, "make local-aws-stop") {
			t.Errorf("it said %q, %v", said, err)
		}
	})
	t.Run("WhatIsPrintedIsTyped", func(t *testing.T) { p.typeAll(t, r.said.String()) })
	t.Run("ASampleEventIsGivenToItsFunction", func(t *testing.T) {
		invoke := exec.CommandContext(t.Context(), "../../scripts/local-invoke.sh", "process")
		cache, err := standin.CacheDir()
		if err != nil {
			t.Fatal(err)
		}
		invoke.Env = append(os.Environ(), "AIKAJANA_LOCAL_AWS="+p.dir, "AIKAJANA_CACHE="+cache, "TMPDIR="+p.temp, "HOME="+p.temp) // where nothing may be left
		var complaints bytes.Buffer
		invoke.Stderr = &complaints
		if said, err := invoke.Output(); err != nil || strings.TrimSpace(string(said)) != `{"batchItemFailures": []}` {
			t.Errorf("it said %q, %v\n%s", said, err, &complaints)
		}
	})
	t.Run("StopFromAnotherProcessLeavesNothing", func(t *testing.T) {
		if said, err := p.run(t, "-stop"); err != nil || said != "local-aws: stopped, and nothing is left of it\n" {
			t.Errorf("it said %q, %v", said, err)
		}
		if err := <-r.ended; err != nil {
			t.Errorf("what ran ended with %v", err)
		}
		if !strings.HasSuffix(r.said.String(), "local-aws: stopping\n") {
			t.Errorf("what ran said %s", r.said)
		}
		p.nothingLeft(t, bridges)
	})
}

// typeAll types what the program prints, in a shell of its own, and looks at what comes of it.
func (p *program) typeAll(t *testing.T, said string) {
	commands := typed(said)
	if len(commands) != 8 || commands[0] != "make build" {
		t.Fatalf("the commands are %q in\n%s", commands, said)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-e")
	shell.Dir = filepath.Dir(p.bin) // "make build" was done there
	shell.Stdin = strings.NewReader(strings.NewReplacer("make build\n", "", "\naikajana cases\n", "\naikajana cases | tee cases\nCASE=$(awk 'NR == 2 { print $1 }' cases)\n", " CASE", ` "$CASE"`).
		Replace(strings.Join(commands, "\n")) + "\n")
	var complaints bytes.Buffer
	shell.Stderr = &complaints
	out, err := shell.Output()
	if err != nil {
		t.Fatalf("%v: %s%s", err, out, &complaints)
	}
	for _, word := range []string{"Maija", "whatsapp ← Maija", "Hei, tilaukseni ei ole tullut.", "pending: it goes out on whatsapp"} {
		if !strings.Contains(string(out), word) {
			t.Errorf("%q is not in what the commands said: %s", word, out)
		}
	}
	client := func(args ...string) string {
		cmd := exec.CommandContext(ctx, filepath.Join(p.bin, "aikajana"), args...)
		cmd.Env = append(os.Environ(), "AIKAJANA_SERVER=http://127.0.0.1:"+p.http, "AIKAJANA_TOKEN="+regexp.MustCompile(`AIKAJANA_TOKEN=(\S+)`).FindStringSubmatch(said)[1])
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("aikajana %q: %v: %s", args, err, out)
		}
		return string(out)
	}
	reference, err := os.ReadFile(filepath.Join(shell.Dir, "cases"))
	if err != nil {
		t.Fatal(err)
	}
	of := strings.Fields(strings.Split(string(reference), "\n")[1])[0]
	eventually(t, "the answer is delivered", func() bool {
		line := client("timeline", of)
		return strings.Contains(line, "Katson heti.") && strings.Contains(line, "delivered")
	})
	eventually(t, "who wrote by hand has a case", func() bool { return strings.Contains(client("cases"), "Toimiiko?") })
	form := "http://127.0.0.1:" + p.http + "/forms/contact"
	if status, body := get(t, form); status != http.StatusOK || !strings.Contains(said, form) || !strings.Contains(body, "<form") {
		t.Errorf("%s is %d %.200s", form, status, body)
	}
	signIn, err := http.Post("http://127.0.0.1:"+p.http+"/api/v1/sessions", "application/json", strings.NewReader(`{"user":"admin","password":"`+password+`"}`)) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	if _ = signIn.Body.Close(); signIn.StatusCode != http.StatusCreated || !strings.Contains(said, "user admin, password "+password) {
		t.Errorf("signing in was answered %d", signIn.StatusCode)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	response, err := http.Get(url) //nolint:noctx,gosec // a test
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}
