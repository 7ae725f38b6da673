package desk

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi/types"

	"github.com/aikajana/aikajana/internal/app/apptest"
	appaws "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// strict is a management API that knows who is connected: everybody else is gone. moto cannot play it: its post_to_connection
// makes a connection of any ID that it is told (5.2.5, apigatewaymanagementapi/models.py), so nothing is ever 410 there.
type strict struct {
	mu   sync.Mutex
	open map[string][]string
}

func (g *strict) PostToConnection(_ context.Context, in *apigatewaymanagementapi.PostToConnectionInput, _ ...func(*apigatewaymanagementapi.Options)) (*apigatewaymanagementapi.PostToConnectionOutput, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.open[*in.ConnectionId]; !ok {
		return nil, &types.GoneException{}
	}
	if len(in.Data) > 128<<10 {
		return nil, &types.PayloadTooLargeException{}
	}
	g.open[*in.ConnectionId] = append(g.open[*in.ConnectionId], string(in.Data))
	return &apigatewaymanagementapi.PostToConnectionOutput{}, nil
}

func (g *strict) DeleteConnection(_ context.Context, in *apigatewaymanagementapi.DeleteConnectionInput, _ ...func(*apigatewaymanagementapi.Options)) (*apigatewaymanagementapi.DeleteConnectionOutput, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.open[*in.ConnectionId]; !ok {
		return nil, &types.GoneException{}
	}
	delete(g.open, *in.ConnectionId)
	return &apigatewaymanagementapi.DeleteConnectionOutput{}, nil
}

// heard is what a connection was told; nil when it is not open.
func (g *strict) heard(id string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.open[id])
}

// bench is the sockets over the whole program.
type bench struct {
	*Sockets
	*apptest.Desk
	t       *testing.T
	gateway *strict
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{Desk: apptest.New(t, apptest.Options{}), t: t, gateway: &strict{open: map[string][]string{}}}
	b.Sockets = newSockets(b.People, &appaws.System{App: b.App, Log: slog.New(slog.DiscardHandler)}, "desk.example", b.gateway)
	b.Pipeline.Push, b.Pipeline.Watch = b.Sockets, b.Watch
	return b
}

// agent makes somebody of a team and returns how they sign in.
func (b *bench) agent(team string) auth.Principal {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, "/", http.NoBody)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.Token(team, auth.Agent, team))
	return must(b.Auth.Authenticate(r))(b.t)
}

// open opens a socket for a principal, as API Gateway does: it is there once $connect was answered.
func (b *bench) open(id string, p auth.Principal, cursor string) int {
	b.t.Helper()
	return b.openAs(id, p, cursor, "")
}

// openAs is open with more in the address.
func (b *bench) openAs(id string, p auth.Principal, cursor, more string) int {
	b.t.Helper()
	ticket, _, err := b.Auth.Ticket(b.t.Context(), p)
	if err != nil {
		b.t.Fatal(err)
	}
	r := handshake(b.t, ticket, cursor, "https://desk.example")
	r.URL.RawQuery += more
	status := b.Connect(b.t.Context(), id, r)
	if status == http.StatusOK {
		b.gateway.mu.Lock()
		b.gateway.open[id] = []string{}
		b.gateway.mu.Unlock()
	}
	return status
}

func handshake(t *testing.T, ticket, cursor, origin string) *http.Request {
	t.Helper()
	u := "/socket?ticket=" + url.QueryEscape(ticket)
	if cursor != "" {
		u += "&cursor=" + url.QueryEscape(cursor)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "ws1.execute-api.eu-north-1.amazonaws.com"
	r.Header.Set("Origin", origin)
	return r
}

// write has a customer write, and React follow it up.
func (b *bench) write(text string) {
	b.t.Helper()
	b.Write("whatsapp", "main", "358401234567", text)
}

// notifications are those of a team, with the entries as they are now.
func (b *bench) notifications(team string) []*store.Notification {
	b.t.Helper()
	return must(b.Store.Notifications(b.t.Context(), team, "", 100))(b.t)
}

func (b *bench) connections() int {
	b.t.Helper()
	return len(must(b.Sockets.open(b.t.Context()))(b.t))
}

func TestFault44_EachSocketHearsOnlyWhatItsPrincipalMaySee(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.openAll(map[string]string{"seller": "sales", "biller": "billing"})
	b.write("Hei, se on rikki")
	if heard := strings.Join(b.gateway.heard("seller"), "\n"); !strings.Contains(heard, "Hei, se on rikki") {
		t.Errorf("the team's agent heard %q", heard)
	}
	if heard := b.gateway.heard("biller"); len(heard) != 0 {
		t.Errorf("another team's agent heard %q", heard)
	}
}

func (b *bench) openAll(teams map[string]string) {
	b.t.Helper()
	for id, team := range teams {
		if status := b.open(id, b.agent(team), ""); status != http.StatusOK {
			b.t.Fatalf("socket %s was answered %d", id, status)
		}
	}
}

func TestFault65_GoneConnectionIsRemovedAndTheClientResumesByCursor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.agent("sales")
	if b.open("old", p, "") != http.StatusOK {
		t.Fatal("not opened")
	}
	b.write("first")
	heard := b.gateway.heard("old")
	if len(heard) == 0 {
		t.Fatal("nothing was heard")
	}
	var last struct{ Cursor string }
	if err := json.Unmarshal([]byte(heard[len(heard)-1]), &last); err != nil || last.Cursor == "" {
		t.Fatalf("no cursor in %q: %v", heard, err)
	}
	b.gateway.mu.Lock()
	delete(b.gateway.open, "old")
	b.gateway.mu.Unlock()
	b.Clock.Pass(time.Minute)
	b.write("missed")
	if n := b.connections(); n != 0 {
		t.Errorf("%d connections are still stored", n)
	}
	if b.open("new", p, last.Cursor) != http.StatusOK {
		t.Fatal("not opened again")
	}
	if err := b.Message(t.Context(), "new", []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	heard = b.gateway.heard("new")
	if len(heard) < 2 || !strings.Contains(heard[0], "pong") || !strings.Contains(strings.Join(heard, "\n"), "missed") {
		t.Errorf("after resuming it heard %q", heard)
	}
	before := len(heard)
	if err := b.Message(t.Context(), "new", []byte(`{"type":"ping"}`)); err != nil || len(b.gateway.heard("new")) != before+1 {
		t.Errorf("the second ping resumed again: %q, %v", b.gateway.heard("new")[before:], err)
	}
	if err := b.Message(t.Context(), "new", []byte(`{"type":"resume","cursor":"`+last.Cursor+`"}`)); err != nil || !strings.Contains(strings.Join(b.gateway.heard("new")[before+1:], "\n"), "missed") {
		t.Errorf("resume was answered %q, %v", b.gateway.heard("new")[before+1:], err)
	}
}

func TestConnectionWhoseHandshakeIsNotOverIsKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if b.open("young", b.agent("sales"), "") != http.StatusOK {
		t.Fatal("not opened")
	}
	b.gateway.mu.Lock()
	delete(b.gateway.open, "young") // API Gateway answers 410 until $connect has been answered
	b.gateway.mu.Unlock()
	b.write("early")
	if n := b.connections(); n != 1 {
		t.Errorf("%d connections are stored, want the young one", n)
	}
}

func TestTicketWorksOnceAndOnlyFromOurPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.agent("sales")
	ticket, _, err := b.Auth.Ticket(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if status := b.Connect(t.Context(), "c", handshake(t, ticket, "", "https://evil.example")); status != http.StatusForbidden {
		t.Errorf("another page's socket was answered %d", status)
	}
	if status := b.Connect(t.Context(), "c", handshake(t, ticket, "", "https://desk.example")); status != http.StatusOK {
		t.Errorf("our page's socket was answered %d", status)
	}
	if status := b.Connect(t.Context(), "d", handshake(t, ticket, "", "https://desk.example")); status/100 != 4 {
		t.Errorf("the used ticket was answered %d", status)
	}
	if n := b.connections(); n != 1 {
		t.Errorf("%d connections are stored", n)
	}
}

func TestEndedSessionClosesItsSocketsAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p, other := b.agent("sales"), b.agent("sales")
	for id, who := range map[string]auth.Principal{"c": p, "d": other} {
		if b.open(id, who, "") != http.StatusOK {
			t.Fatal("not opened")
		}
	}
	b.write("before") // so that who is at the other end is known for a while
	if err := b.Auth.RevokeToken(t.Context(), "test", strings.TrimPrefix(p.ID, "token:")); err != nil {
		t.Fatal(err)
	}
	b.React() // nobody says anything, and nobody writes
	if heard := b.gateway.heard("c"); heard != nil {
		t.Errorf("the socket is open and heard %q", heard)
	}
	if b.gateway.heard("d") == nil {
		t.Error("somebody else's socket was closed")
	}
	if n := b.connections(); n != 1 {
		t.Errorf("%d connections are stored", n)
	}
}

func TestSocketWhoseEndWasNotHeardOfClosesWhenItIsToldSomething(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.agent("sales")
	if b.open("c", p, "") != http.StatusOK {
		t.Fatal("not opened")
	}
	b.write("before")
	b.Pipeline.Watch = nil // the change is passed over
	if err := b.Auth.RevokeToken(t.Context(), "test", strings.TrimPrefix(p.ID, "token:")); err != nil {
		t.Fatal(err)
	}
	before := len(b.gateway.heard("c"))
	b.Clock.Pass(live.RecheckEvery)
	b.write("after")
	if heard := b.gateway.heard("c"); heard != nil {
		t.Errorf("the socket is open and heard %q", heard[min(before, len(heard)):])
	}
	if n := b.connections(); n != 0 {
		t.Errorf("%d connections are stored", n)
	}
}

func TestFault45_BadFramesAndUnknownConnectionsAreAnsweredWithoutFailing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if b.open("c", b.agent("sales"), "") != http.StatusOK {
		t.Fatal("not opened")
	}
	for _, frame := range []string{"", "{", `{"type":"resume"}`, `{"type":"open the door"}`, strings.Repeat("[", 30000)} {
		if err := b.Message(t.Context(), "c", []byte(frame)); err != nil {
			t.Errorf("frame %.20q: %v", frame, err)
		}
	}
	for _, said := range b.gateway.heard("c") {
		if !strings.Contains(said, `"error"`) {
			t.Errorf("answered %q", said)
		}
	}
	if err := b.Message(t.Context(), "never", []byte(`{"type":"ping"}`)); err != nil {
		t.Errorf("a frame of an unknown connection: %v", err)
	}
	if err := b.Disconnect(t.Context(), "never"); err != nil {
		t.Errorf("the end of an unknown connection: %v", err)
	}
}

func TestFault66_ConnectionThatOutlivedItsTimeIsNotTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if b.open("c", b.agent("sales"), "") != http.StatusOK {
		t.Fatal("not opened")
	}
	b.Clock.Pass(connectionLife + time.Second)
	b.write("late")
	if heard := b.gateway.heard("c"); len(heard) != 0 {
		t.Errorf("it heard %q", heard)
	}
}

func TestWhatHappensTogetherGoesInOneFrameToWhoeverTakesThat(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.agent("sales")
	for id, batch := range map[string]string{"plain": "", "batch": "&batch=yes"} {
		if b.openAs(id, p, "", batch) != http.StatusOK {
			t.Fatal("not opened")
		}
	}
	b.Quietly(func() { b.write("one") })
	var told []*store.Notification
	for _, n := range b.notifications("sales") {
		told = append(told, n, n) // the same entry, changed twice in a batch
	}
	b.Quietly(func() { b.write("two"); b.write("three") })
	told = append(told, b.notifications("sales")[1:]...)
	b.Push(t.Context(), told)
	if heard := b.gateway.heard("plain"); len(heard) != 3 || !strings.HasPrefix(heard[0], "{") {
		t.Errorf("who takes one message in a frame heard %q", heard)
	}
	heard := b.gateway.heard("batch")
	var events []struct {
		Cursor string
		Entry  struct{ Message struct{ Text string } }
	}
	if len(heard) != 1 || json.Unmarshal([]byte(heard[0]), &events) != nil || len(events) != 3 {
		t.Fatalf("who takes several heard %q", heard)
	}
	for i, text := range []string{"one", "two", "three"} {
		if events[i].Entry.Message.Text != text || i > 0 && events[i].Cursor == events[i-1].Cursor {
			t.Errorf("event %d is %+v, want %s", i, events[i], text)
		}
	}
}

// counting counts how often some of the items are read.
type counting struct {
	table.Table
	wanted func(table.Key) bool
	mu     sync.Mutex
	reads  int
}

func (c *counting) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if c.wanted(k) {
		c.mu.Lock()
		c.reads++
		c.mu.Unlock()
	}
	return c.Table.Get(ctx, k)
}

func TestCaseIsReadOnceForAllThatIsToldOfItTogether(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if b.open("c", b.agent("sales"), "") != http.StatusOK {
		t.Fatal("not opened")
	}
	for _, text := range []string{"one", "two", "three"} {
		b.Quietly(func() { b.write(text) })
	}
	told := b.notifications("sales")
	counted := &counting{Table: b.Store.Table(), wanted: func(k table.Key) bool { return strings.HasPrefix(k.SK, "K#") }}
	over, err := store.New(store.Options{Table: counted, Key: make([]byte, 32), Now: b.Store.Now, NewID: b.Store.NewID})
	if err != nil {
		t.Fatal(err)
	}
	events, err := live.New(live.Deps{Store: over, Auth: b.Auth, Hub: live.NewHub()})
	if err != nil {
		t.Fatal(err)
	}
	all, err := events.Messages(t.Context(), told, nil)
	if err != nil || len(all) != len(told) || counted.reads != 1 {
		t.Errorf("%d messages of %d, the case read %d times, %v", len(all), len(told), counted.reads, err)
	}
}

func TestOnlySocketsThatMayHearOfItAreLookedAt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sessions := func(k table.Key) bool { return strings.HasPrefix(k.PK, "U#token#") }
	counted := &counting{Table: b.Store.Table(), wanted: sessions}
	who, err := auth.New(auth.Config{Table: counted, Now: func() time.Time { return b.Store.Now().Time() }})
	if err != nil {
		t.Fatal(err)
	}
	for _, team := range []string{"sales", "billing", "support"} {
		if b.open(team, b.agent(team), "") != http.StatusOK {
			t.Fatal("not opened")
		}
	}
	b.People.Auth = who
	b.Clock.Pass(live.RecheckEvery)
	b.write("for sales")
	if heard := b.gateway.heard("sales"); len(heard) != 1 || counted.reads != 1 {
		t.Errorf("sales heard %q, and %d sessions were looked at", heard, counted.reads)
	}
}

func TestSocketHearsOfATeamThatItsUserCameToSince(t *testing.T) {
	t.Parallel()
	b := setup(t)
	join := b.aino()
	b.React()
	b.write("before")
	join("billing", "sales")
	b.React()
	b.write("after")
	if heard := b.gateway.heard("c"); len(heard) != 1 || !strings.Contains(heard[0], "after") {
		t.Errorf("it heard %q", heard)
	}
}

func TestNewRightsAreNotForgottenForWhatAnotherProcessStillBelieves(t *testing.T) {
	t.Parallel()
	b := setup(t)
	join := b.aino()
	b.React()
	other := newSockets(b.People, &appaws.System{App: b.App, Log: slog.New(slog.DiscardHandler)}, "desk.example", b.gateway)
	ping := func() {
		if err := other.Message(t.Context(), "c", []byte(`{"type":"ping"}`)); err != nil {
			t.Fatal(err)
		}
	}
	ping() // it knows of billing alone now
	b.Clock.Pass(time.Second)
	join("billing", "sales")
	b.React()
	ping()
	b.write("after")
	if heard := strings.Join(b.gateway.heard("c"), "\n"); !strings.Contains(heard, "after") {
		t.Errorf("it heard %q", heard)
	}
}

// aino opens socket "c" as a user of team billing, and returns what puts her into teams.
func (b *bench) aino() (join func(teams ...string)) {
	b.t.Helper()
	ctx := b.t.Context()
	if _, err := b.Auth.CreateUser(ctx, "test", auth.User{ID: "aino", Name: "Aino", Roles: []auth.Role{auth.Agent}, Teams: []string{"billing"}}, "a password of a test"); err != nil {
		b.t.Fatal(err)
	}
	in := must(b.Auth.SignIn(ctx, "aino", "a password of a test", "192.0.2.1", ""))(b.t)
	if b.open("c", in.Principal, "") != http.StatusOK {
		b.t.Fatal("not opened")
	}
	return func(teams ...string) {
		b.t.Helper()
		user := must(b.Auth.User(ctx, "aino"))(b.t)
		if _, err := b.Auth.ChangeUser(ctx, "test", "aino", auth.UserChange{Teams: &teams}, user.Revision); err != nil {
			b.t.Fatal(err)
		}
	}
}
