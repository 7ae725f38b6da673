package localaws

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Leftovers waits until nothing is left of a stack in dir whose process is gone, and takes away what nobody else does: usually
// keepers tidy up after a stack that was killed, and here is what is done when they were killed too. It must not be called
// while the stack runs.
func Leftovers(ctx context.Context, dir string) error {
	bridges, err := bridgesOf(dir)
	if err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for kept(dir) && patience.Err() == nil {
		pause(patience, 100*time.Millisecond)
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for _, pid := range processesOf(dir) {
			_ = syscall.Kill(pid, signal) // it may have ended in the meantime
		}
		for end := time.Now().Add(20 * time.Second); len(processesOf(dir)) > 0 && time.Now().Before(end); {
			pause(ctx, 100*time.Millisecond)
		}
	}
	var errs []error
	if left := processesOf(dir); len(left) > 0 {
		errs = append(errs, fmt.Errorf("processes %v of %s do not end", left, dir))
	}
	for _, name := range bridges {
		if _, err := net.InterfaceByName(name); err == nil {
			errs = append(errs, (&bridge{name}).remove(ctx))
		}
	}
	return errors.Join(append(errs, unmount(dir), os.RemoveAll(dir))...)
}

// bridgesOf are the bridges that engines below dir made.
func bridgesOf(dir string) ([]string, error) {
	name, err := os.ReadFile(filepath.Join(dir, "engine", bridgeFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("look for what is left of %s: %w", dir, err)
	case !strings.HasPrefix(string(name), "aikajana"):
		return nil, fmt.Errorf("look for what is left of %s: %q is no network of ours", dir, name)
	}
	return []string{string(name)}, nil
}

// kept says that a keeper of the stack in dir is still at work.
func kept(dir string) bool {
	return slices.ContainsFunc(processesOf(dir), func(pid int) bool {
		return bytes.Contains(procFile(pid, "cmdline"), []byte("\x00keeper\x00"))
	})
}

// processesOf are the processes that the stack in dir started: keepers, what inherited their environment, and what runs in
// containers, whose root lies below dir.
func processesOf(dir string) []int {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil // the pattern is right
	}
	var found []int
	for _, p := range all {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if inherits(pid, dir) || contained(pid, dir) {
			found = append(found, pid)
		}
	}
	return found
}

func inherits(pid int, dir string) bool {
	for one := range bytes.SplitSeq(procFile(pid, "environ"), []byte{0}) {
		if value, ok := bytes.CutPrefix(one, []byte("KEPT=")); ok && (string(value) == dir || bytes.HasPrefix(value, []byte(dir+"/"))) {
			return true
		}
	}
	return false
}

// contained says that the process's root is an overlay whose upper layer lies below dir (proc(5), mountinfo).
func contained(pid int, dir string) bool {
	for line := range bytes.Lines(procFile(pid, "mountinfo")) {
		if fields := bytes.Fields(line); len(fields) > 4 && string(fields[4]) == "/" {
			return bytes.Contains(line, []byte("upperdir="+dir+"/"))
		}
	}
	return false
}

// procFile is what the kernel says of a process; nothing when it is gone or somebody else's.
func procFile(pid int, name string) []byte {
	body, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		return nil
	}
	return body
}

// unmount takes away what a killed engine had mounted below dir, the innermost first.
func unmount(dir string) error {
	body, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil //nolint:nilerr // a system without it has no engine of ours
	}
	var below []string
	for line := range strings.Lines(string(body)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], dir+"/") {
			below = append(below, fields[1])
		}
	}
	slices.SortFunc(below, func(a, b string) int { return len(b) - len(a) })
	var errs []error
	for _, at := range below {
		if err := detach(at); err != nil {
			errs = append(errs, fmt.Errorf("unmount %s: %w", at, err))
		}
	}
	return errors.Join(errs...)
}
