//go:build parts

package standin

import (
	"context"
	"sync"
	"testing"
)

// DynamoDB is the endpoint of this test binary's DynamoDB Local, started by the first test that asks. Its tables are shared by
// all tests of the binary: name yours after the test.
func DynamoDB(t testing.TB) string { t.Helper(); return shared.endpoint(t, PartDynamoDB) }

// SQS is the endpoint of this test binary's ElasticMQ, started by the first test that asks. Its queues are shared by all tests
// of the binary: name yours after the test.
func SQS(t testing.TB) string { t.Helper(); return shared.endpoint(t, PartSQS) }

// Moto is the endpoint of this test binary's moto server, started by the first test that asks. Its buckets and topics are
// shared by all tests of the binary: name yours after the test.
func Moto(t testing.TB) string { t.Helper(); return shared.endpoint(t, PartMoto) }

// shared is package state, against the rule: a test binary has no other place that outlives one test and that every test file
// reaches, and a JVM per test would take two seconds each. Only tests with tag "parts" ever link it.
var shared perBinary

// perBinary holds each part's process for as long as the test binary runs; the kernel ends them with it.
type perBinary struct {
	mu    sync.Mutex
	parts map[Part]*once
}

type once struct {
	sync.Once
	stack *Stack
	err   error
}

func (b *perBinary) endpoint(t testing.TB, part Part) string {
	t.Helper()
	b.mu.Lock()
	if b.parts == nil {
		b.parts = make(map[Part]*once)
	}
	one := b.parts[part]
	if one == nil || !endsWithParent { // without the kernel's help, each test has its own and ends it
		one = &once{}
		b.parts[part] = one
	}
	b.mu.Unlock()

	one.Do(func() { one.stack, one.err = Start(context.Background(), "", part) })
	if one.err != nil {
		t.Fatal(one.err)
	}
	if !endsWithParent {
		t.Cleanup(one.stack.Stop)
	}
	return one.stack.DynamoDB + one.stack.SQS + one.stack.Moto // one of them is set
}
