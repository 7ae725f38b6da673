package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
)

// connections is a strict stand-in for a gateway: what was never open, or is closed, is gone.
type connections struct {
	mu   sync.Mutex
	open map[string][]event
}

func (c *connections) Post(_ context.Context, id string, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.open[id]; !ok {
		return fmt.Errorf("410: %w", api.ErrGone)
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	c.open[id] = append(c.open[id], e)
	return nil
}

func (c *connections) Drop(_ context.Context, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, id)
	return nil
}

func (c *connections) told(id string) (cases []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.open[id] {
		cases = append(cases, e.Type+" "+e.Case)
	}
	return cases
}

func (c *connections) isOpen(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.open[id]
	return ok
}

// gateway is a desk whose sockets are held by a gateway.
func gateway(t *testing.T) (*desk, *api.Gateway, *connections) {
	t.Helper()
	d := setup(t)
	c := &connections{open: map[string][]event{}}
	g := api.NewGateway(d.api, c)
	d.pipe.Push = g
	return d, g, c
}

// connect opens connection id as the gateway does: it asks first, and holds it open when it may.
func connect(t *testing.T, c *client, g *api.Gateway, held *connections, id string) {
	t.Helper()
	ticket := c.do("POST", "/api/v1/socket-ticket", nil).want(201)
	must(t, g.Open(t.Context(), httptest.NewRequest(http.MethodGet, ticket.text("url"), nil), id))
	held.mu.Lock()
	defer held.mu.Unlock()
	held.open[id] = nil
}

func TestFault44_AGatewayTellsEachConnectionWhatItsPersonMaySee(t *testing.T) {
	t.Parallel()
	d, g, held := gateway(t)
	connect(t, d.user("aino", auth.Agent, "sales"), g, held, "a")
	connect(t, d.user("eero", auth.Agent, "billing"), g, held, "b")
	_, bill, _ := d.write("email", "bills", "maija@mail.example", "Lasku")
	_, sale, _ := d.write("whatsapp", "main", "358401234567", "Hei")
	if got := held.told("a"); !slices.Equal(got, []string{"entry " + sale}) {
		t.Errorf("sales was told %v", got)
	}
	if got := held.told("b"); !slices.Equal(got, []string{"entry " + bill}) {
		t.Errorf("billing was told %v", got)
	}
}

func TestFault65_AConnectionThatIsGoneIsForgottenAndItsClientResumes(t *testing.T) {
	t.Parallel()
	d, g, held := gateway(t)
	aino := d.user("aino", auth.Agent, "sales")
	connect(t, aino, g, held, "old")
	start := aino.do("POST", "/api/v1/socket-ticket", nil).want(201).text("cursor")
	must(t, held.Drop(t.Context(), "old")) // the network took it; nobody said so
	_, id, _ := d.write("whatsapp", "main", "358401234567", "Hei")
	connect(t, aino, g, held, "new")
	must(t, g.Said(t.Context(), "new", []byte(`{"type":"resume","cursor":"`+start+`"}`)))
	if got := held.told("new"); !slices.Equal(got, []string{"entry " + id}) {
		t.Fatalf("resumed, the client was told %v", got)
	}
	// Had the old one not been forgotten, speaking under its ID would be answered.
	held.mu.Lock()
	held.open["old"] = nil
	held.mu.Unlock()
	must(t, g.Said(t.Context(), "old", []byte(`{"type":"ping"}`)))
	if held.isOpen("old") {
		t.Fatal("a connection that was gone is still known")
	}
}

func TestFault45_AGatewaysBadFrameGetsAGenericError(t *testing.T) {
	t.Parallel()
	d, g, held := gateway(t)
	connect(t, d.user("aino", auth.Agent, "sales"), g, held, "a")
	for _, frame := range []string{"", "{", `{"type":"resume","cursor":"nonsense"}`, "\xff", `{"type":"ping"}`} {
		must(t, g.Said(t.Context(), "a", []byte(frame)))
	}
	if got := held.told("a"); !slices.Equal(got, []string{"error ", "error ", "error ", "error ", "pong "}) {
		t.Fatalf("%v", got)
	}
}

func TestEndingASessionDropsTheConnectionsOfAGateway(t *testing.T) {
	t.Parallel()
	d, g, held := gateway(t)
	aino := d.user("aino", auth.Agent, "sales")
	connect(t, aino, g, held, "a")
	aino.do("DELETE", "/api/v1/sessions/current", nil).want(204)
	d.clock.pass(time.Minute)
	d.write("whatsapp", "main", "358401234567", "Hei")
	if held.isOpen("a") {
		t.Fatal("the connection outlives its session")
	}
}

func TestAGatewayOpensForAFreshTicketOfOurOriginAlone(t *testing.T) {
	t.Parallel()
	d, g, _ := gateway(t)
	aino := d.user("aino", auth.Agent, "sales")
	url := aino.do("POST", "/api/v1/socket-ticket", nil).want(201).text("url")
	foreign := httptest.NewRequest(http.MethodGet, url, nil)
	foreign.Header.Set("Origin", "https://evil.example")
	if err := g.Open(t.Context(), foreign, "x"); fault.Code(err) != auth.CodeCrossOrigin {
		t.Errorf("another origin: %v", err)
	}
	must(t, g.Open(t.Context(), httptest.NewRequest(http.MethodGet, url, nil), "x"))
	if err := g.Open(t.Context(), httptest.NewRequest(http.MethodGet, url, nil), "y"); fault.Code(err) != auth.CodeUnauthenticated {
		t.Errorf("a ticket used twice: %v", err)
	}
	must(t, g.Closed(t.Context(), "x"))
	must(t, g.Closed(t.Context(), "x"))
}
