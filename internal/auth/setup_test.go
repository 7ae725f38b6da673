package auth_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/table"
)

// cheap keeps tests quick; what a password costs in production is DefaultCost.
var cheap = auth.Cost{MemoryKiB: 64, Passes: 1, AtOnce: 2}

const (
	password = "correct horse battery"
	client   = "192.0.2.7"
)

type bundle struct {
	table table.Table
	clock *clock
	audit *audit
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type audit struct {
	mu     sync.Mutex
	events []auth.Event
}

func (a *audit) Audit(_ context.Context, e auth.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, e)
}

func (a *audit) kinds() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []string
	for _, e := range a.events {
		all = append(all, e.Kind)
	}
	return all
}

func setup(t *testing.T) (*auth.Service, *bundle) {
	t.Helper()
	b := &bundle{clock: &clock{at: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}, audit: &audit{}}
	b.table = &recorder{Table: openTable(t, b.clock), partitions: map[string]bool{}}
	return b.service(t, auth.Config{}), b
}

func (b *bundle) service(t *testing.T, c auth.Config) *auth.Service {
	t.Helper()
	c.Table, c.Now, c.Audit = b.table, b.clock.now, b.audit
	if c.Cost == (auth.Cost{}) {
		c.Cost = cheap
	}
	s, err := auth.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func withUser(t *testing.T, s *auth.Service, id string, roles ...auth.Role) auth.User {
	t.Helper()
	u, err := s.CreateUser(t.Context(), "test", auth.User{
		ID: id, Name: id + " Virtanen", Email: id + "@desk.example", Roles: roles, Teams: []string{"sales"},
	}, password)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func signIn(t *testing.T, s *auth.Service, id string) auth.SignedIn {
	t.Helper()
	in, err := s.SignIn(t.Context(), id, password, client, "")
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func wantCode(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	if err == nil || fault.Of(err) != kind || fault.Code(err) != code {
		t.Fatalf("got %v (%s, code %q), want %s with code %q", err, fault.Of(err), fault.Code(err), kind, code)
	}
}

func wantKinds(t *testing.T, a *audit, want ...string) {
	t.Helper()
	if got := a.kinds(); !slices.Equal(got, want) {
		t.Fatalf("the audit log tells\n%v, want\n%v", got, want)
	}
}

func contains(text, part string) bool { return strings.Contains(text, part) }

// writes lists the partitions that were written to.
func (b *bundle) writes() []string {
	r := b.table.(*recorder)
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.partitions))
}

// recorder notes which partitions were written to.
type recorder struct {
	table.Table
	mu         sync.Mutex
	partitions map[string]bool
	// before, when set, runs once before the next write: something else that happens at the same time.
	before func()
}

func (r *recorder) Write(ctx context.Context, ops ...table.Op) error {
	r.mu.Lock()
	before := r.before
	r.before = nil
	r.mu.Unlock()
	if before != nil {
		before()
	}
	r.mu.Lock()
	for _, op := range ops {
		r.partitions[op.Item.PK] = true
	}
	r.mu.Unlock()
	return r.Table.Write(ctx, ops...)
}
