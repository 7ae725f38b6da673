//go:build parts

package standin

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestEachStandInAnswersItsClient(t *testing.T) {
	ctx := t.Context()
	if _, err := dynamodb.NewFromConfig(Config(DynamoDB(t))).ListTables(ctx, &dynamodb.ListTablesInput{}); err != nil {
		t.Error(err)
	}
	if _, err := sqs.NewFromConfig(Config(SQS(t))).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String("answers")}); err != nil {
		t.Error(err)
	}
	if _, err := s3.NewFromConfig(Config(Moto(t))).ListBuckets(ctx, &s3.ListBucketsInput{}); err != nil {
		t.Error(err)
	}
}

func TestStandInIsStartedOncePerBinary(t *testing.T) {
	if a, b := Moto(t), Moto(t); a != b || a == "" {
		t.Errorf("got %q, then %q", a, b)
	}
}

func TestStopEndsEveryPart(t *testing.T) {
	s, err := Start(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	endpoints := []string{s.DynamoDB, s.SQS, s.Moto}
	s.Stop()
	s.Stop()
	for _, e := range endpoints {
		if listens(e) {
			t.Errorf("%s still listens", e)
		}
	}
}

// TestStandInEndsWhenTheTestBinaryIsKilled starts this very binary again, has it start moto, kills it and looks for moto.
func TestStandInEndsWhenTheTestBinaryIsKilled(t *testing.T) {
	if os.Getenv("STANDIN_CHILD") != "" {
		fmt.Fprintf(os.Stdout, "endpoint %s\n", Moto(t))
		select {} // until it is killed
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestStandInEndsWhenTheTestBinaryIsKilled$")
	child.Env = append(os.Environ(), "STANDIN_CHILD=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var said []byte
	for !bytes.HasSuffix(said, []byte("\n")) {
		b := make([]byte, 1)
		if _, err := out.Read(b); err != nil {
			t.Fatalf("the child said %q: %v", said, err)
		}
		said = append(said, b...)
	}
	endpoint := strings.TrimPrefix(strings.TrimSpace(string(said)), "endpoint ")
	if !listens(endpoint) {
		t.Fatalf("moto of the child does not listen on %s", endpoint)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	for end := time.Now().Add(10 * time.Second); listens(endpoint); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("moto still listens on %s after its starter was killed", endpoint)
		}
	}
}

func listens(endpoint string) bool {
	c, err := net.DialTimeout("tcp", strings.TrimPrefix(endpoint, "http://"), time.Second)
	if err != nil {
		return false
	}
	_ = c.Close() // only the dialling counts
	return true
}

func TestStandInsListenOnLoopbackOnly(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{DynamoDB(t), SQS(t), Moto(t)} {
		_, port, err := net.SplitHostPort(strings.TrimPrefix(endpoint, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range append(addrs, &net.IPNet{IP: net.IPv4(127, 0, 0, 2)}) {
			if ip := a.(*net.IPNet).IP; !ip.Equal(net.IPv4(127, 0, 0, 1)) && !ip.IsLinkLocalUnicast() && !ip.Equal(net.IPv6loopback) {
				if other := "http://" + net.JoinHostPort(ip.String(), port); listens(other) {
					t.Errorf("%s also listens on %s", endpoint, other)
				}
			}
		}
	}
}
