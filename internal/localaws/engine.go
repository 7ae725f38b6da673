package localaws

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// ErrNoEngine is wrapped when there is no container engine and none can be started; the text says what to install.
var ErrNoEngine = errors.New("no container engine: sam local runs each function in a container; start Docker and try again (as a user who may " +
	"use it: group docker), or, as root on Debian or Ubuntu, run \"scripts/parts.sh docker\" (apt-get install docker.io busybox-static iproute2): a private " +
	"engine is then started for the time being (everything but sam local works without: make run, go test ./...)")

// engine is the container engine in use.
type engine struct {
	// host is DOCKER_HOST, "" for the default.
	host string
	// gateway is the engine's end of the containers' network on this machine; nil where containers reach loopback by
	// host.docker.internal without help (Docker Desktop).
	gateway net.IP
	// private is the engine that was started here, images what cleans up in one that ran before; one of them is nil.
	private, images *service
	bridge          *bridge
	dir             string
	log             io.Writer
}

// openEngine takes a running Docker, or starts a private one below dir that stop takes down without a trace.
func openEngine(ctx context.Context, dir string, log io.Writer) (*engine, error) {
	e := &engine{dir: dir, log: log}
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, fmt.Errorf("start containers: %w", ErrNoEngine)
	}
	if _, err := e.docker(ctx, nil, "version", "--format", "{{.Server.Version}}"); err != nil {
		if err := e.startPrivate(ctx); err != nil {
			return nil, err
		}
	}
	out, err := e.docker(ctx, nil, "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
	if err != nil {
		return nil, errors.Join(err, e.stop())
	}
	if ip := net.ParseIP(strings.TrimSpace(string(out))); ip != nil && ours(ip) {
		e.gateway = ip
	}
	return e, nil
}

// ours says that the address is one of this machine's.
func ours(ip net.IP) bool {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.Equal(ip) {
			return true
		}
	}
	return false
}

// startPrivate starts dockerd over a bridge of its own and makes no other change to the network: no firewall rule, no
// forwarding. Containers reach this machine alone. Several may run side by side.
func (e *engine) startPrivate(ctx context.Context) error {
	daemon, err := exec.LookPath("dockerd")
	if err != nil || runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return fmt.Errorf("start containers: %w", ErrNoEngine)
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("start a private container engine: %w", err)
	}
	if e.bridge, err = openBridge(ctx, e.dir); err != nil {
		return errors.Join(fmt.Errorf("start a private container engine: %w", err), os.RemoveAll(e.dir))
	}
	e.host = "unix://" + filepath.Join(e.dir, "docker.sock")
	e.private, err = keep(e.log, nil, `ip link delete "$BRIDGE"; rm -rf "$KEPT"`, []string{"KEPT=" + e.dir, "BRIDGE=" + e.bridge.name}, daemon,
		"--host", e.host, "--log-level", "error", "--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "docker.pid"), "--bridge", e.bridge.name, "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--ip", "127.0.0.1")
	if err != nil {
		return errors.Join(fmt.Errorf("start a private container engine: %w", err), e.bridge.remove(ctx), os.RemoveAll(e.dir))
	}
	within, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		_, err := e.docker(within, nil, "version", "--format", "{{.Server.Version}}")
		if err == nil {
			return nil
		}
		select {
		case <-within.Done():
			return errors.Join(fmt.Errorf("start a private container engine: it does not answer: %w", err), e.stop())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop takes a private engine down: daemon, containers, bridge and files. One that ran before is left as it was.
func (e *engine) stop() error {
	if e.images != nil {
		e.images.stop()
		e.images = nil
	}
	if e.private == nil {
		return nil
	}
	e.private.stop()
	e.private = nil
	return errors.Join(e.bridge.gone(), os.RemoveAll(e.dir))
}

func (e *engine) environment() []string {
	if e.host == "" {
		return nil
	}
	return []string{"DOCKER_HOST=" + e.host}
}

func (e *engine) docker(ctx context.Context, in io.Reader, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "docker", args...) //nolint:gosec // the client of this machine
	cmd.Env = append(os.Environ(), e.environment()...)
	cmd.Stdin = in
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("docker %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// image is what sam puts its runtime emulator on. The tag is AWS's, so that nothing is pulled.
const image = "public.ecr.aws/lambda/provided:al2023-x86_64"

// sweep takes out of an engine that ran before what was put there: containers that sam left behind, when it was killed, and then
// the images. An image with AWS's name that is not AWS's would be taken for it by everybody else who uses sam.
const sweep = `for try in 1 2 3 4 5 6 7 8 9 10; do
	all=$(docker images -q --filter "label=$LABEL" | sort -u)
	[ -n "$all" ] || break
	for one in $all; do docker ps -aq --filter "ancestor=$one"; done | sort -u | xargs -r docker rm -f
	docker image rm -f $all || sleep 1
done`

// label marks the images that are made here, and those that sam builds on them.
const label = "aikajana.local-aws"

// makeImage makes a stand-in for AWS's base image: a shell and certificates, 2 MB. One that is there is taken as it is.
func (e *engine) makeImage(ctx context.Context) error {
	if _, err := e.docker(ctx, nil, "image", "inspect", image, "--format", "{{.Id}}"); err == nil {
		return nil
	}
	if e.private == nil {
		var err error
		if e.images, err = keep(e.log, nil, sweep, []string{"LABEL=" + label}, "sleep", forever); err != nil {
			return fmt.Errorf("make the base image: %w", err)
		}
	}
	files, err := rootFiles(ctx)
	if err != nil {
		return err
	}
	if _, err := e.docker(ctx, files, "import", "--change", `ENTRYPOINT ["/lambda-entrypoint.sh"]`, "--change", "LABEL "+label+"=yes", "-", image); err != nil {
		return fmt.Errorf("make the base image: %w", err)
	}
	if _, err := e.docker(ctx, nil, "tag", image, strings.TrimSuffix(image, "-x86_64")); err != nil {
		return fmt.Errorf("make the base image: %w", err)
	}
	return nil
}

// rootFiles is a root file system as a tar archive.
func rootFiles(ctx context.Context) (io.Reader, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("make the base image: busybox is missing: run \"scripts/parts.sh docker\" as root: %w", ErrNoEngine)
	}
	shell, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("make the base image: %w", err)
	}
	applets, err := exec.CommandContext(ctx, path, "--list").Output() //nolint:gosec // the busybox of this machine
	if err != nil {
		return nil, fmt.Errorf("make the base image: list the applets of busybox: %w", err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var errs []error
	add := func(h tar.Header, body []byte) {
		h.Size = int64(len(body))
		errs = append(errs, w.WriteHeader(&h))
		_, err := w.Write(body)
		errs = append(errs, err)
	}
	for _, d := range []string{"bin/", "etc/", "etc/ssl/", "etc/ssl/certs/", "opt/", "usr/", "usr/bin/", "var/", "var/task/", "var/runtime/", "var/rapid/", "root/"} {
		add(tar.Header{Name: d, Typeflag: tar.TypeDir, Mode: 0o755}, nil)
	}
	add(tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	add(tar.Header{Name: "bin/busybox", Mode: 0o755}, shell)
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			add(tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	add(tar.Header{Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0:root:/root:/bin/sh\nsbx_user1051:x:993:990::/tmp:/bin/sh\n"))
	add(tar.Header{Name: "lambda-entrypoint.sh", Mode: 0o755}, []byte("#!/bin/sh\nexec /var/rapid/aws-lambda-rie \"$@\"\n"))
	if roots, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt"); err == nil {
		add(tar.Header{Name: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644}, roots)
	}
	errs = append(errs, w.Close())
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("make the base image: %w", err)
	}
	return &b, nil
}
