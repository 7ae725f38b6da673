package localaws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// service is a program that runs beside this one and ends with it.
type service struct {
	cmd   *exec.Cmd
	hold  io.WriteCloser
	ended chan struct{}
}

// keeper runs a program and ends it when its own standard input ends, which happens when whoever started it ends, however
// that comes about: a killed test leaves no container engine behind. Then it tidies up. It writes nothing itself: whoever read
// it may be gone.
const keeper = `exec 3<&0
"$@" 3<&- </dev/null & program=$!
trap '' PIPE
exec >/dev/null 2>&1
( read -r _ <&3; kill -TERM $program 2>/dev/null ) & watcher=$!
wait $program
kill $watcher 2>/dev/null
eval "$TIDY"`

// forever is longer than anybody waits, for a program that does nothing but be kept: what counts is the tidying.
const forever = "2147483647"

// keep starts a program under a keeper, in a process group of its own, so that Ctrl-C reaches it through us only. A nil
// environment is this process's; more is added to it. tidy is a shell command for afterwards.
func keep(log io.Writer, environment []string, tidy string, more []string, argv ...string) (*service, error) {
	if environment == nil {
		environment = os.Environ()
	}
	cmd := exec.Command("sh", append([]string{"-c", keeper, "keeper"}, argv...)...) //nolint:gosec,noctx // argv is made in this package; it ends by its keeper
	cmd.Env = append(append(environment, more...), "TIDY="+tidy)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second
	hold, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &service{cmd, hold, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(s.ended) }() // how it ends does not matter
	return s, nil
}

// stop ends the program and waits until it is gone and everything is tidied up.
func (s *service) stop() {
	_ = s.hold.Close() // it may have ended already
	select {
	case <-s.ended:
	case <-time.After(30 * time.Second):
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL) // it had its time
		<-s.ended
	}
}

// startTime is how long a program may take until it answers: sam needs two seconds, and a minute on a machine that is busy with
// twenty other things.
const startTime = 5 * time.Minute

// answers waits until the service listens.
func (s *service) answers(ctx context.Context, address string) error {
	within, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(within, "tcp", address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-s.ended:
			return errors.New("it ended at once; the log says why")
		case <-within.Done():
			return fmt.Errorf("%s does not answer: %w", address, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
