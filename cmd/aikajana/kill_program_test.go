package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is "aikajana serve" as a process.
type program struct {
	t          *testing.T
	data, conf string
	cmd        *exec.Cmd
	http, smtp string
	log        *os.File
}

// start runs the program on the same data as before and waits until it listens.
func (p *program) start() {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(self, "serve", "--data", p.data, "--http", "127.0.0.1:0", "--smtp", "127.0.0.1:0", "--config", p.conf, "--allow-private", "--log-level", "error")
	p.cmd.Env = append(os.Environ(), asProgram+"=1", "AIKAJANA_TOKEN="+adminToken, "AIKAJANA_ADMIN_PASSWORD=correct-horse-battery")
	p.cmd.Stderr = p.log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("the program did not start: %v; see its log:\n%s", err, tail(p.log.Name()))
	}
	if _, err := fmt.Sscanf(line, "listening http=%s smtp=%s", &p.http, &p.smtp); err != nil {
		p.t.Fatalf("it printed %q: %v", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
}

// kill is kill -9: the process has no chance to do anything.
func (p *program) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// stop ends it in order; it must exit with 0.
func (p *program) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("it did not end in order: %v\n%s", err, tail(p.log.Name()))
	}
}

// check runs "aikajana check" on the stopped data.
func (p *program) check() {
	p.t.Helper()
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"check", "--data", p.data}, streams{strings.NewReader(""), &out, &errs}); code != exitOK {
		p.t.Fatalf("check found problems:\n%s%s", out.String(), errs.String())
	}
}

func tail(path string) string {
	b, _ := os.ReadFile(path)
	return string(b[max(0, len(b)-4000):])
}

func (p *program) call(method, path string, body any, header http.Header) (int, []byte) {
	var in io.Reader
	if body != nil {
		b, _ := json.Marshal(body)
		in = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.http+path, in)
	if err != nil {
		return 0, nil
	}
	for name, values := range header {
		r.Header[name] = values
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, nil
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	_ = resp.Body.Close()
	return resp.StatusCode, b
}
