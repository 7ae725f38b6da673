// Package standin runs the local stand-ins for AWS: DynamoDB Local, ElasticMQ for SQS, and moto for S3, SNS, SES and others.
//
// Tests with build tag "parts" use [DynamoDB], [SQS] and [Moto], which start a stand-in once per test binary. Programs (make
// local-aws, cost and soak runs) use [Start]. The parts are installed by scripts/parts.sh; nothing here installs anything.
// Every stand-in keeps its data in memory, listens on a free port of 127.0.0.1 only and, on Linux, ends with the process that
// started it, however that ends.
package standin

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Part is one stand-in.
type Part string

// The stand-ins that can be started.
const (
	PartDynamoDB Part = "dynamodb"
	PartSQS      Part = "sqs"
	PartMoto     Part = "moto"
)

// Region is the region that [Config] names. ElasticMQ calls its own "elasticmq" in ARNs, whatever the client says.
const Region = "eu-north-1"

// ErrNotInstalled is wrapped when a part has to be installed first; the error's text says how.
var ErrNotInstalled = errors.New("not installed")

//go:embed parts/pins.env
var pins string

// CacheDir is where scripts/parts.sh installs: $AIKAJANA_CACHE, or aikajana in the user's ~/.cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("AIKAJANA_CACHE"); dir != "" {
		if !filepath.IsAbs(dir) {
			return "", fmt.Errorf("find the cache of stand-ins: AIKAJANA_CACHE is %q: make it an absolute path, because tests run in many folders", dir)
		}
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the cache of stand-ins: %w (set AIKAJANA_CACHE)", err)
	}
	return filepath.Join(home, ".cache", "aikajana"), nil
}

// Config is an AWS configuration for the stand-in at the endpoint: dummy credentials, [Region], and nothing read from the
// environment or from ~/.aws, so that no test can reach a real account.
func Config(endpoint string) aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(endpoint),
		Credentials:  credentials.NewStaticCredentialsProvider("standin", "standin", ""),
	}
}

// Stack is a set of running stand-ins. The endpoint of a part that was not asked for is empty.
type Stack struct {
	// Endpoints are base URLs like "http://127.0.0.1:34567".
	DynamoDB, SQS, Moto string

	running []*process
}

// Start starts the named parts, all when none is named, from what scripts/parts.sh installed in cacheDir (empty: [CacheDir]),
// and returns once each of them answers. An error wraps [ErrNotInstalled] or carries the last lines that the part wrote;
// nothing is left running then. ctx bounds the starting only: the stack runs until Stop.
func Start(ctx context.Context, cacheDir string, parts ...Part) (*Stack, error) {
	if cacheDir == "" {
		dir, err := CacheDir()
		if err != nil {
			return nil, err
		}
		cacheDir = dir
	}
	if len(parts) == 0 {
		parts = []Part{PartDynamoDB, PartSQS, PartMoto}
	}
	type started struct {
		part Part
		p    *process
		err  error
	}
	results := make(chan started, len(parts))
	for _, part := range parts {
		go func() {
			p, err := start(ctx, cacheDir, part)
			results <- started{part, p, err}
		}()
	}
	s := &Stack{}
	var failed error
	for range parts {
		r := <-results
		if r.err != nil {
			failed = errors.Join(failed, r.err)
			continue
		}
		s.running = append(s.running, r.p)
		switch r.part {
		case PartDynamoDB:
			s.DynamoDB = r.p.endpoint
		case PartSQS:
			s.SQS = r.p.endpoint
		case PartMoto:
			s.Moto = r.p.endpoint
		}
	}
	if failed != nil {
		s.Stop()
		return nil, failed
	}
	return s, nil
}

// Stop ends what Start started and waits until it is gone. Calling it again does nothing.
func (s *Stack) Stop() {
	for _, p := range s.running {
		p.stop()
	}
	s.running = nil
}

// command is how the part is run on a port.
func command(cacheDir string, part Part, port string) ([]string, error) {
	dir, err := installed(cacheDir, part)
	if err != nil {
		return nil, err
	}
	classes := filepath.Join(dir, "classes") + string(os.PathListSeparator) + filepath.Join(dir, "lib", "*")
	switch part {
	case PartDynamoDB:
		return []string{
			"java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dsqlite4java.library.path=" + filepath.Join(dir, "lib"),
			"-cp", classes, "Loopback", "-inMemory", "-sharedDb", "-disableTelemetry", "-port", port,
		}, nil
	case PartSQS:
		return []string{
			"java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
			"-Dnode-address.host=127.0.0.1", "-Dnode-address.port=" + port,
			"-Drest-sqs.bind-hostname=127.0.0.1", "-Drest-sqs.bind-port=" + port, "-Drest-stats.enabled=false",
			"-cp", classes, "org.elasticmq.server.Main",
		}, nil
	}
	return []string{filepath.Join(dir, "bin", "python"), filepath.Join(dir, "serve.py"), "-H", "127.0.0.1", "-p", port}, nil
}

// installed is the folder of the pinned version, or an error that says how to get it.
func installed(cacheDir string, part Part) (string, error) {
	version, err := pin(part)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cacheDir, string(part)+"-"+version)
	if _, err := os.Stat(filepath.Join(dir, "stamp")); err != nil {
		return "", fmt.Errorf("start stand-in %s %s: %w in %s: run \"make parts\" (or \"scripts/parts.sh %s\") first",
			part, version, ErrNotInstalled, dir, part)
	}
	return dir, nil
}

// pin is the version of the part in pins.env.
func pin(part Part) (string, error) {
	for line := range strings.Lines(pins) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && key == strings.ToUpper(string(part)) {
			return value, nil
		}
	}
	return "", fmt.Errorf("start stand-in %q: pins.env has no such part", part)
}
