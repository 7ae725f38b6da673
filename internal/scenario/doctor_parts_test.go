//go:build parts

package scenario_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/doctor"
	"github.com/aikajana/aikajana/internal/scenario"
)

func TestDoctorFindsTheSameInBothShapes(t *testing.T) {
	t.Parallel()
	examined := map[string][]string{}
	for name, build := range worlds(t) {
		examined[name] = examine(t, build)
	}
	if !slices.Equal(examined["local"], examined["aws"]) {
		t.Errorf("local:\n%s\n\naws:\n%s", strings.Join(examined["local"], "\n"), strings.Join(examined["aws"], "\n"))
	}
	for _, line := range []string{
		"ok health /healthz: it answers and can write",
		"ok route GET /api/v1/cases: it answered 401 application/problem+json",
		"ok route POST /hooks/no-such-channel/main: it answered 403 text/plain",
		"ok route GET /forms/no-such-form: it answered 404 text/html",
		"ok route GET /s/aaaaaaaaaaaaaaaaaaaaaaaaaa: it answered 404 text/html",
		"ok socket desk.example/socket: a connection without a ticket is refused",
		"ok socket desk.example/socket: it opens with a ticket",
		"ok accounts desk.example: 4 connected",
		"ok queue inbound: no dead letters",
		"ok ledger whatsapp/main: accepted 0, processed 0, queued 0, dead 0",
		"ok form form/main: it is shown",
		"problem form form/gone: it answered 404 text/html instead of 200",
		"ok handshake whatsapp/main: a handshake with a wrong token is refused",
		"ok handshake whatsapp/main: the right token is answered with the challenge",
		"ok signature whatsapp/main: a delivery without a signature is refused",
		"ok signature whatsapp/main: a delivery with a wrong signature is refused",
		"ok signature whatsapp/main: an account that does not exist looks the same",
		"ok signature webhook/main: a delivery with a wrong signature is refused",
		"problem mail: MX desk.example: no host takes its mail",
	} {
		if !slices.Contains(examined["aws"], line) {
			t.Errorf("not found: %s, in\n%s", line, strings.Join(examined["aws"], "\n"))
		}
	}
}

// examine opens the world's door over TLS, under the name that the world believes to have, and looks at it from outside.
func examine(t *testing.T, build func(context.Context, *scenario.Stage) (scenario.World, error)) []string {
	t.Helper()
	ctx := t.Context()
	clock := scenario.NewClock(scenario.Start)
	world, err := build(ctx, &scenario.Stage{
		Clock: clock, Faults: scenario.NewFaults(clock), Dir: t.TempDir(), Key: bytes.Repeat([]byte("k"), 32), Rand: rand.NewChaCha8([32]byte{1}),
		Log: slog.New(slog.NewTextHandler(logger{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := scenario.Connect(ctx, world, "https://graph.example"); err != nil {
		t.Fatal(err)
	}
	_, token, err := world.People().Auth.CreateToken(ctx, "doctor", auth.Token{
		Name: "doctor", Roles: []auth.Role{auth.Administrator}, Scopes: []auth.Scope{auth.ScopeRead, auth.ScopeWrite},
	})
	if err != nil {
		t.Fatal(err)
	}
	address, err := world.Sockets(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := url.Parse(strings.Replace(strings.TrimSuffix(address, "/socket"), "ws", "http", 1))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/socket", httputil.NewSingleHostReverseProxy(sockets))
	mux.Handle("/", world.Door())
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	way := server.Client().Transport.(*http.Transport).Clone()
	way.TLSClientConfig.ServerName = "example.com" // as httptest's certificate has it
	way.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	found, err := doctor.Run(ctx, doctor.Options{
		Server: scenario.BaseURL, Token: token, Accounts: []doctor.Account{{Channel: "form", Name: "gone"}}, Resolver: nameless{}, Transport: way,
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, len(found))
	for i, f := range found {
		lines[i] = fmt.Sprintf("%s %s %s: %s", f.State, f.Check, f.Subject, f.Found)
	}
	return lines
}

// nameless is DNS where there is no such name: it is the same for both shapes, and package doctor's own tests ask a name server.
type nameless struct{}

// LookupMX implements doctor.Resolver.
func (nameless) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}

// LookupTXT implements doctor.Resolver.
func (nameless) LookupTXT(_ context.Context, name string) ([]string, error) {
	return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
}
