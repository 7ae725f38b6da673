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
var ErrNoEngine = errors.New("no container engine: sam local runs each function in a container; start Docker and try again, " +
	"or, as root on Debian or Ubuntu, run \"scripts/parts.sh docker\" (apt-get install docker.io busybox-static): a private engine is then started " +
	"for the time being (everything but sam local works without: make run, go test ./...)")

// bridge is the private engine's network: an address block that hardly anybody uses.
const bridge = "172.31.255.1/24"

// engine is the container engine in use.
type engine struct {
	// host is DOCKER_HOST, "" for the default.
	host string
	// gateway is the engine's end of the containers' network on this machine; nil where containers reach loopback by
	// host.docker.internal without help (Docker Desktop).
	gateway net.IP
	private *service
	dir     string
}

// openEngine takes a running Docker, or starts a private one below dir that stop takes down without a trace.
func openEngine(ctx context.Context, dir string, log io.Writer) (*engine, error) {
	e := &engine{dir: dir}
	if _, err := exec.LookPath("docker"); err != nil {
		return nil, fmt.Errorf("start containers: %w", ErrNoEngine)
	}
	if _, err := e.docker(ctx, nil, "version", "--format", "{{.Server.Version}}"); err != nil {
		if err := e.startPrivate(ctx, log); err != nil {
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

// startPrivate starts dockerd. It makes the bridge docker0 and no other change to the network: no firewall rule, no
// forwarding. Containers reach this machine alone.
func (e *engine) startPrivate(ctx context.Context, log io.Writer) error {
	daemon, err := exec.LookPath("dockerd")
	if err != nil || runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return fmt.Errorf("start containers: %w", ErrNoEngine)
	}
	if _, err := net.InterfaceByName("docker0"); err == nil {
		return errors.New("start a private container engine: there is a network docker0 of an engine that does not answer; start that engine, or remove the network with \"ip link delete docker0\"")
	}
	e.host = "unix://" + filepath.Join(e.dir, "docker.sock")
	e.private, err = keep(log, nil, `ip link delete docker0; rm -rf "$KEPT"`, []string{"KEPT=" + e.dir}, daemon,
		"--host", e.host, "--log-level", "error", "--data-root", filepath.Join(e.dir, "data"), "--exec-root", filepath.Join(e.dir, "exec"),
		"--pidfile", filepath.Join(e.dir, "docker.pid"), "--bip", bridge, "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--ip", "127.0.0.1")
	if err != nil {
		return fmt.Errorf("start a private container engine: %w", err)
	}
	within, cancel := context.WithTimeout(ctx, 60*time.Second)
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
	if e.private == nil {
		return nil
	}
	e.private.stop()
	e.private = nil
	var errs []error
	if _, err := net.InterfaceByName("docker0"); err == nil {
		errs = append(errs, errors.New("the network docker0 is still there: remove it with \"ip link delete docker0\""))
	}
	return errors.Join(append(errs, os.RemoveAll(e.dir))...)
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

// makeImage makes a stand-in for AWS's base image: a shell and certificates, 2 MB. One that is there is taken as it is.
func (e *engine) makeImage(ctx context.Context) error {
	if _, err := e.docker(ctx, nil, "image", "inspect", image, "--format", "{{.Id}}"); err == nil {
		return nil
	}
	files, err := rootFiles(ctx)
	if err != nil {
		return err
	}
	if _, err := e.docker(ctx, files, "import", "--change", `ENTRYPOINT ["/lambda-entrypoint.sh"]`, "-", image); err != nil {
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
