package standin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	startTimeout = 3 * time.Minute // a loaded machine takes ten times as long as an idle one, and more
	stopTimeout  = 5 * time.Second
	tries        = 3 // a port that was free may be taken in the meantime
)

// process is one running stand-in.
type process struct {
	endpoint string
	cmd      *exec.Cmd
	// out is what the part wrote last; read it after done is closed, or under its lock.
	out  tail
	done chan struct{}
}

// start runs the part and waits until it answers.
func start(ctx context.Context, cacheDir string, part Part) (*process, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var last error
	for range tries {
		port, err := FreePort(0)
		if err != nil {
			return nil, err
		}
		argv, err := command(cacheDir, part, port)
		if err != nil {
			return nil, err
		}
		p, err := run(argv, port)
		if err != nil {
			return nil, fmt.Errorf("start stand-in %s: %w", part, err)
		}
		if last = p.answers(ctx); last == nil {
			return p, nil
		}
		p.stop()
		last = fmt.Errorf("start stand-in %s on %s: %w; it wrote last:\n%s", part, p.endpoint, last, p.out.String())
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// run starts the command. The kernel ends it together with the thread that started it (see endWithParent), so one goroutine
// keeps that thread until the command has ended.
func run(argv []string, port string) (*process, error) {
	p := &process{endpoint: fmt.Sprintf("http://127.0.0.1:%s", port), done: make(chan struct{})}
	p.cmd = exec.Command(argv[0], argv[1:]...) //nolint:gosec // argv is made in this package
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	// A part must not find a real account's credentials, or wait for the metadata of a machine in EC2.
	p.cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=standin", "AWS_SECRET_ACCESS_KEY=standin", "AWS_SESSION_TOKEN=",
		"AWS_DEFAULT_REGION="+Region, "AWS_REGION="+Region, "AWS_EC2_METADATA_DISABLED=true", "JAVA_TOOL_OPTIONS=")
	endWithParent(p.cmd)
	begun := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := p.cmd.Start()
		begun <- err
		if err == nil {
			_ = p.cmd.Wait() // it was killed, or what it wrote says why it ended
			close(p.done)
		}
	}()
	if err := <-begun; err != nil {
		return nil, err
	}
	return p, nil
}

// answers waits for the first HTTP answer of any status.
func (p *process) answers(ctx context.Context) error {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.endpoint+"/", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body) // any answer will do
			return resp.Body.Close()
		}
		select {
		case <-p.done:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended already; Kill below settles the rest
	select {
	case <-p.done:
		return
	case <-time.After(stopTimeout):
	}
	_ = p.cmd.Process.Kill()
	<-p.done
}

// FreePort is wanted, or when that is 0 a port of 127.0.0.1 that was free a moment ago: for a program that cannot choose one by
// itself. It is none of those that the kernel gives to whoever does not care (net.ipv4.ip_local_port_range, from 32768 on): another
// test would be given it before the program listens on it, and answer in its place.
func FreePort(wanted int) (string, error) {
	const from, to, attempts = 20_000, 32_000, 50
	var last error
	for range attempts {
		port := wanted
		if wanted == 0 {
			port = from + rand.IntN(to-from)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return strconv.Itoa(port), l.Close()
		}
		if last = err; wanted != 0 {
			break
		}
	}
	return "", fmt.Errorf("find a free port: %w", last)
}

// tail keeps the last lines written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

const tailSize = 4096

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.buf))
}
