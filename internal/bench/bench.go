// Package bench measures the local binary from outside: it starts the real program on a fresh data folder, plays the provider
// with signed webhooks and an agent with a socket, and puts the figures next to what the bare store does with the same writes
// on the same disk in the same run. Ratios within one run are what can be compared; absolute figures belong to one machine.
//
// "make bench" runs it through cmd/bench; docs/bench keeps what it printed.
package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Token is the API token of the measured program: it guards nothing but a throw-away data folder.
const Token = "a-token-for-measuring-0123456789" //nolint:gosec // see above

// Program is "aikajana serve" as a process of its own.
type Program struct {
	// Addr is where it listens for HTTP; Started how long it took from exec to saying so.
	Addr    string
	Started time.Duration

	cmd    *exec.Cmd
	out    *bytes.Buffer
	client *http.Client
}

// accounts is the configuration: one WhatsApp number.
const accounts = `{"accounts":[{"channel":"whatsapp","account":"main","settings":{"phone_number_id":"1055","api_base":"http://127.0.0.1:9"},
 "secrets":{"app_secret":"literal:` + appSecret + `","verify_token":"literal:verify","access_token":"literal:token"}}]}`

const appSecret = "secret-of-a-measurement" //nolint:gosec // guards nothing

// Start runs binary on a data folder until Stop. extra is added to its environment.
func Start(ctx context.Context, binary, data string, extra ...string) (*Program, error) {
	conf := data + ".json"
	if err := os.WriteFile(conf, []byte(accounts), 0o600); err != nil {
		return nil, fmt.Errorf("configure the program: %w", err)
	}
	p := &Program{out: new(bytes.Buffer), client: &http.Client{Timeout: 60 * time.Second}}
	p.cmd = exec.CommandContext(ctx, binary, "serve", "--data", data, "--http", "127.0.0.1:0", "--smtp", "127.0.0.1:0", //nolint:gosec // ours
		"--config", conf, "--allow-private", "--log-level", "error")
	p.cmd.Env = append(append(os.Environ(), "AIKAJANA_TOKEN="+Token), extra...)
	p.cmd.Stderr = p.out
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	begun := time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: it said nothing: %w: %s", binary, err, p.out), p.cmd.Wait())
	}
	p.Started = time.Since(begun)
	var smtp string
	if _, err := fmt.Sscanf(line, "listening http=%s smtp=%s", &p.Addr, &smtp); err != nil {
		return nil, fmt.Errorf("start %s: it said %q: %w", binary, line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // ends with the program
	return p, nil
}

// Stop ends the program in order and waits for it.
func (p *Program) Stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the program: %w", err)
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the program did not end in order: %w: %s", err, p.out)
	}
	return nil
}

// Kill ends the program with signal 9 and waits until it is gone.
func (p *Program) Kill() error {
	if err := p.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill the program: %w", err)
	}
	var killed *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &killed) {
		return fmt.Errorf("kill the program: %w", err)
	}
	return nil
}

// Said is what it wrote to its log.
func (p *Program) Said() string { return p.out.String() }

// Memory is the resident size in bytes now, and the most that it ever was.
func (p *Program) Memory() (now, most int64, err error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, 0, fmt.Errorf("read the program's memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		var kb int64
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			now = kb << 10
		}
		if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kb); err == nil {
			most = kb << 10
		}
	}
	return now, most, nil
}

// CPU is the processor time that the program has used, in user and system mode together.
func (p *Program) CPU() (time.Duration, error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "stat"))
	if err != nil {
		return 0, fmt.Errorf("read the program's processor time: %w", err)
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])) // proc(5): utime and stime are fields 14 and 15
	if len(fields) < 13 {
		return 0, errors.New("read the program's processor time: unknown form")
	}
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the program's processor time: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * (time.Second / 100), nil // USER_HZ is 100 on Linux
}

// OwnCPU is the processor time of this process.
func OwnCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Call calls the API and decodes the answer into out.
func (p *Program) Call(ctx context.Context, method, path string, out any) error {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+p.Addr+path, nil)
	if err != nil {
		return fmt.Errorf("call %s: %w", path, err)
	}
	r.Header.Set("Authorization", "Bearer "+Token)
	resp, err := p.client.Do(r)
	if err != nil {
		return fmt.Errorf("call %s: %w", path, err)
	}
	b, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("call %s: %w", path, err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("call %s: %s: %s", path, resp.Status, b)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("call %s: %w", path, err)
	}
	return nil
}

// Queued is how many envelopes wait or are being worked on.
func (p *Program) Queued(ctx context.Context) (int, error) {
	var r struct {
		Items []struct {
			Balanced  bool
			Envelopes struct{ Queued int }
		}
	}
	if err := p.Call(ctx, http.MethodGet, "/api/v1/reconciliation", &r); err != nil {
		return 0, err
	}
	queued := 0
	for _, i := range r.Items {
		queued += i.Envelopes.Queued
		if !i.Balanced {
			return 0, errors.New("the ledger is not even: something was lost")
		}
	}
	return queued, nil
}

// DiskBytes is what a folder takes.
func DiskBytes(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error { // files come and go while it is walked
		if err != nil || d.IsDir() {
			return nil //nolint:nilerr // see above
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}
