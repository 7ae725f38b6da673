//go:build parts

package localaws

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// engineFolder is below /tmp, because the engine's socket lies in it and its path may have 107 bytes.
func engineFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "aikajana-aws-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // a test that is through has seen to it
	return dir
}

func private(t *testing.T) *engine {
	t.Helper()
	e := &engine{dir: filepath.Join(engineFolder(t), "engine"), log: t.Output()}
	if err := e.startPrivate(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.stop(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// runningDocker is an engine that runs already: this machine's, or one that the test starts.
func runningDocker(t *testing.T) *engine {
	t.Helper()
	e := &engine{}
	if _, err := e.docker(t.Context(), nil, "version"); err == nil {
		return e
	}
	e = private(t)
	t.Setenv("DOCKER_HOST", e.host)
	return e
}

func images(t *testing.T, e *engine) string {
	t.Helper()
	out, err := e.docker(t.Context(), nil, "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestARunningDockerIsTakenAndLeftAsItWas(t *testing.T) {
	docker := runningDocker(t)
	before := images(t, docker)
	dir := filepath.Join(engineFolder(t), "engine")
	e, err := openEngine(t.Context(), dir, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if e.private != nil || e.host != "" || e.environment() != nil {
		t.Errorf("an engine of its own was started: %+v", e)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder was made for it: %v", err)
	}
	if err := e.makeImage(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now := images(t, docker); !strings.Contains(now, image) {
		t.Errorf("the image is not in the engine that runs:\n%s", now)
	}
	// A container as sam leaves one behind when it is killed: running, of an image that was built on ours.
	build := strings.NewReader("FROM " + image + "\nCMD [\"x\"]\n")
	if _, err := e.docker(t.Context(), build, "build", "-q", "-t", "aikajana-left:behind", "-"); err != nil {
		t.Fatal(err)
	}
	left, err := e.docker(t.Context(), nil, "run", "-d", "--entrypoint", "/bin/sleep", "aikajana-left:behind", "1000")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.stop(); err != nil {
		t.Error(err)
	}
	if now := images(t, docker); now != before {
		t.Errorf("the images were\n%s\nand are\n%s", before, now)
	}
	all, err := docker.docker(t.Context(), nil, "ps", "-aq", "--no-trunc")
	if err != nil {
		t.Fatalf("the engine that ran before answers no more: %v", err)
	}
	if strings.Contains(string(all), strings.TrimSpace(string(left))) {
		t.Errorf("the container is still there")
	}
}

func TestPrivateEnginesRunSideBySide(t *testing.T) {
	a, b := private(t), private(t)
	if a.bridge.name == b.bridge.name || a.host == b.host {
		t.Errorf("they share %q %q", a.bridge.name, a.host)
	}
	for _, e := range []*engine{a, b} {
		if _, err := e.docker(t.Context(), nil, "info"); err != nil {
			t.Error(err)
		}
	}
}

// startAndBeKilled is what this binary does when a test starts it again: it starts an engine and waits for its end.
func startAndBeKilled(t *testing.T, dir string) {
	t.Helper()
	e := &engine{dir: filepath.Join(dir, "engine"), log: io.Discard}
	if err := e.startPrivate(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := e.makeImage(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := e.docker(context.Background(), nil, "run", "-d", "--stop-timeout", "1", "--entrypoint", "/bin/sleep", image, "1000"); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("up\n") // the other side reads it, or has gone
	select {}
}

func TestNothingIsLeftOfAStackThatWasKilled(t *testing.T) {
	if dir := os.Getenv("STACK_OF_A_CHILD"); dir != "" {
		startAndBeKilled(t, dir)
	}
	for name, kill := range map[string]func(pids []int){
		"TheProcessAlone": func([]int) {},
		"ItsKeepersToo": func(pids []int) {
			for _, pid := range pids {
				_ = syscall.Kill(pid, syscall.SIGKILL) // all at once, the engine and its containers' helpers included
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := engineFolder(t)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestNothingIsLeftOfAStackThatWasKilled$")
			child.Env = append(os.Environ(), "STACK_OF_A_CHILD="+dir)
			out, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for lines.Scan() && lines.Text() != "up" {
				t.Log(lines.Text())
			}
			bridges, err := bridgesOf(dir)
			if err != nil || len(bridges) != 1 {
				t.Fatalf("its networks are %q, %v", bridges, err)
			}
			var pids []int
			until(t, "what runs in its container is among its processes", func() bool {
				pids = processesOf(dir)
				return slices.ContainsFunc(pids, func(pid int) bool { return strings.HasPrefix(string(procFile(pid, "cmdline")), "/bin/sleep\x001000") })
			})
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			kill(pids)
			_ = child.Wait() // it was killed
			if err := Leftovers(t.Context(), dir); err != nil {
				t.Error(err)
			}
			for _, pid := range pids {
				if syscall.Kill(pid, 0) == nil && len(procFile(pid, "cmdline")) > 0 {
					t.Errorf("process %d still runs: %q", pid, procFile(pid, "cmdline"))
				}
			}
			if _, err := net.InterfaceByName(bridges[0]); err == nil {
				t.Errorf("the network %s is still there", bridges[0])
			}
			if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the folder is still there: %v", err)
			}
			if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), dir) {
				t.Errorf("something is still mounted, %v", err)
			}
		})
	}
}

func TestLeftoversOfNothingIsNothing(t *testing.T) {
	t.Parallel()
	if err := Leftovers(t.Context(), filepath.Join(t.TempDir(), "never")); err != nil {
		t.Error(err)
	}
}

// TestWhoMayNotStartAnEngineIsToldWhatToInstall runs this binary as somebody who may do nothing, without a running engine.
func TestWhoMayNotStartAnEngineIsToldWhatToInstall(t *testing.T) {
	if dir := os.Getenv("ENGINE_OF_NOBODY"); dir != "" {
		_, err := openEngine(context.Background(), filepath.Join(dir, "engine"), io.Discard)
		if !errors.Is(err, ErrNoEngine) {
			t.Fatalf("nobody was told %v", err)
		}
		_, _ = os.Stdout.WriteString(err.Error() + "\n") // the other side reads it
		return
	}
	dir := engineFolder(t)
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // somebody else is to read it
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if out, err := exec.CommandContext(t.Context(), "cp", os.Args[0], program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	child := exec.CommandContext(t.Context(), program, "-test.run=^TestWhoMayNotStartAnEngineIsToldWhatToInstall$")
	child.Dir = dir
	child.Env = append(os.Environ(), "ENGINE_OF_NOBODY="+dir, "DOCKER_HOST=unix://"+filepath.Join(dir, "none.sock"), "HOME="+dir)
	if os.Geteuid() == 0 {
		child.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, word := range []string{"start Docker", "group docker", "docker.io busybox-static", "make run"} {
		if !strings.Contains(string(out), word) {
			t.Errorf("it does not say %q: %s", word, out)
		}
	}
	if strings.Count(strings.TrimSuffix(string(out), "PASS\n"), "\n") != 1 {
		t.Errorf("it is not one paragraph: %q", out)
	}
}
