// Package coldstart measures how long a Lambda takes from being executed until it asks for its first event, how much of a
// processor it uses for that, and how large it is, next to bare programs with the same clients that are built and run in the
// same minutes.
//
// Functions run against a runtime API of two routes and a Systems Manager that knows one parameter, both in this process and
// on loopback: what a call over the network takes on AWS is not in the figures, only that the function waits for it.
package coldstart

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/awspolicy"
)

// The programs that functions are compared with: Bare calls config.LoadDefaultConfig, as everybody does, Literal makes an
// aws.Config by hand, which is the least that there is. Both make the clients that every function makes.
const (
	Bare    = "bare"
	Literal = "bare, literal"
)

// Functions are the program's functions.
func Functions() []string {
	return []string{"webhook", "process", "mail", "fetch", "deliver", "react", "tick", "api", "pages", "socket"}
}

// Result is what one program took.
type Result struct {
	Name string
	// Size is the binary's in bytes.
	Size int64
	// Start are the times from exec to the first poll, Processor what user and system time the process used until then; each
	// shortest first.
	Start, Processor []time.Duration
}

// Quantile is the time below which a share of the sorted times lies; 0.5 is the median.
func Quantile(sorted []time.Duration, share float64) time.Duration {
	return sorted[int(share*float64(len(sorted)-1)+0.5)]
}

// Build builds the programs into a folder as template.yaml does: for linux/amd64, because that is what runs here. The root is
// the module's. A function whose folder is missing is left out.
func Build(ctx context.Context, root, dir string) ([]string, error) {
	var names []string
	for _, name := range append([]string{Bare, Literal}, Functions()...) {
		source, more := "./functions/"+name, ""
		switch name {
		case Bare:
			source = "./internal/coldstart/functions/bare"
		case Literal:
			source, more = "./internal/coldstart/functions/bare", ",literal"
		}
		if _, err := os.Stat(filepath.Join(root, source)); err != nil {
			continue
		}
		c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags=lambda.norpc"+more, "-ldflags", "-s -w", "-o", filepath.Join(dir, name), source) //nolint:gosec // the names are above
		c.Dir = root
		c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if out, err := c.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", source, err, out)
		}
		names = append(names, name)
	}
	return names, nil
}

// Tuning is what template.yaml sets of Go's own runtime for every function (GOGC, GOMEMLIMIT), as an environment.
func Tuning(template string) ([]string, error) {
	doc, err := awspolicy.Document(template)
	if err != nil {
		return nil, err
	}
	var here any = doc
	for _, name := range []string{"Globals", "Function", "Environment", "Variables"} {
		of, _ := here.(map[string]any)
		here = of[name]
	}
	variables, _ := here.(map[string]any)
	var set []string
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if value, ok := variables[name].(string); ok {
			set = append(set, name+"="+value)
		}
	}
	return set, nil
}

// Measure starts each of the programs in dir n times, in turns, so that a busy moment of the machine meets all of them. Each
// round begins with another one, so that none always follows the same. All have the same environment, with tuning in it.
func Measure(ctx context.Context, dir string, names, tuning []string, n int) ([]*Result, error) {
	rt, err := newRuntime(ctx)
	if err != nil {
		return nil, err
	}
	rt.tuning = tuning
	defer rt.close()
	all := make([]*Result, len(names))
	for i, name := range names {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		all[i] = &Result{Name: name, Size: info.Size()}
	}
	for round := range n + 1 {
		for i := range all {
			r := all[(round+i)%len(all)]
			took, used, err := rt.start(ctx, filepath.Join(dir, r.Name))
			if err != nil {
				return nil, fmt.Errorf("start %s: %w", r.Name, err)
			}
			if round > 0 { // the first reads the binary from the disk
				r.Start, r.Processor = append(r.Start, took), append(r.Processor, used)
			}
		}
	}
	for _, r := range all {
		slices.Sort(r.Start)
		slices.Sort(r.Processor)
	}
	return all, nil
}

// runtime is Lambda's runtime API, as far as the first poll, and Systems Manager, as far as the deployment key.
type runtime struct {
	polled          chan time.Time
	lambda, service net.Listener
	servers         []*http.Server
	tuning          []string
}

func newRuntime(ctx context.Context) (*runtime, error) {
	rt := &runtime{polled: make(chan time.Time, 1)}
	serve := func(h http.HandlerFunc) (net.Listener, error) {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		s := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
		rt.servers = append(rt.servers, s)
		go func() { _ = s.Serve(l) }() // it ends with close
		return l, nil
	}
	var err error
	if rt.lambda, err = serve(rt.next); err == nil {
		rt.service, err = serve(parameter)
	}
	if err != nil {
		rt.close()
		return nil, err
	}
	return rt, nil
}

func (rt *runtime) close() {
	for _, s := range rt.servers {
		_ = s.Close() // nobody waits for an answer any more
	}
}

// next is GET /2018-06-01/runtime/invocation/next, which has nothing to hand out. A process that wants to hear of its end registers
// as an extension before (lambda.WithEnableSIGTERM) and asks for events of its own, which never come either; anything else is an
// error of the function.
func (rt *runtime) next(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	switch {
	case strings.HasSuffix(r.URL.Path, "/extension/register"):
		w.Header().Set("Lambda-Extension-Identifier", "1f2e3d4c")
		fmt.Fprint(w, `{"functionName":"coldstart","functionVersion":"$LATEST","handler":"bootstrap"}`)
		return
	case strings.HasSuffix(r.URL.Path, "/extension/event/next"):
		<-r.Context().Done()
		return
	case !strings.HasSuffix(r.URL.Path, "/invocation/next"):
		http.Error(w, "no such route", http.StatusNotFound)
		return
	}
	select {
	case rt.polled <- at:
	default:
	}
	<-r.Context().Done()
}

// parameter answers GetParameter with a deployment key, as secret/ssm stores it.
func parameter(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".GetParameter") {
		http.Error(w, "not before the first event", http.StatusBadRequest)
		return
	}
	key := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	fmt.Fprintf(w, `{"Parameter":{"Name":"key","Type":"SecureString","Value":%q,"Version":1}}`, `["`+key+`"]`)
}

// patience is how long a function may take to start.
const patience = 20 * time.Second

// start executes a program and waits for its first poll. used is what it used of processors by then: as good as nothing is added
// before it is killed.
func (rt *runtime) start(ctx context.Context, program string) (took, used time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var said bytes.Buffer
	c := exec.CommandContext(ctx, program)
	c.Env = rt.environment()
	c.Stdout, c.Stderr = &said, &said
	begun := time.Now()
	if err := c.Start(); err != nil {
		return 0, 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case at := <-rt.polled:
		_ = c.Process.Kill() // it waits for an event that never comes
		if err := <-ended; err == nil {
			return 0, 0, errors.New("it ended by itself after its first poll")
		}
		return at.Sub(begun), c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
	case err := <-ended:
		return 0, 0, fmt.Errorf("it ended before it asked for an event: %w: %s", errors.Join(err, ctx.Err()), strings.TrimSpace(said.String()))
	}
}

// environment is what template.yaml gives a function, pointed at this process.
func (rt *runtime) environment() []string {
	env := []string{
		"AWS_LAMBDA_RUNTIME_API=" + rt.lambda.Addr().String(), "AWS_LAMBDA_FUNCTION_NAME=coldstart", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"_HANDLER=bootstrap", "LAMBDA_TASK_ROOT=/var/task", "AWS_REGION=eu-north-1", "AWS_DEFAULT_REGION=eu-north-1",
		"AWS_ACCESS_KEY_ID=coldstart", "AWS_SECRET_ACCESS_KEY=coldstart", "AWS_SESSION_TOKEN=coldstart", "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ENDPOINT_URL=http://" + rt.service.Addr().String(), "PATH=/usr/local/bin:/usr/bin:/bin", "TZ=:UTC",
		"AIKAJANA_TABLE=aikajana", "AIKAJANA_BUCKET=aikajana-data", "AIKAJANA_SECRET_PATH=/aikajana/dev", "AIKAJANA_BASE_URL=https://desk.example",
		"AIKAJANA_TEAM=support", "AIKAJANA_TIME_ZONE=Europe/Helsinki", "AIKAJANA_CONFIGURATION_SET=aikajana", "AIKAJANA_LOG_LEVEL=INFO",
		"AIKAJANA_SOCKET_ENDPOINT=http://" + rt.service.Addr().String(),
	}
	for _, name := range []string{"INBOUND", "MAIL", "MEDIA", "WAKE"} {
		env = append(env, "AIKAJANA_QUEUE_"+name+"=http://"+rt.service.Addr().String()+"/"+name, "AIKAJANA_DEAD_"+name+"=http://"+rt.service.Addr().String()+"/DEAD"+name)
	}
	return append(env, rt.tuning...)
}
