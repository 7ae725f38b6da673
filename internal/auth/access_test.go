package auth_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/table"
)

func request(method, target string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
	}
	return r
}

func TestFault43a_AnUnsafeRequestFromAnotherOriginWithACookieIsRefused(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	in := signIn(t, s, "aino")
	for _, test := range []struct {
		name   string
		method string
		header []string
		want   string
	}{
		{"own page", "POST", []string{"Sec-Fetch-Site", "same-origin"}, ""},
		{"own page, old browser", "POST", []string{"Origin", "http://localhost:8080"}, ""},
		{"no browser", "POST", nil, ""},
		{"reading is harmless", "GET", []string{"Sec-Fetch-Site", "cross-site"}, ""},
		{"other site", "POST", []string{"Sec-Fetch-Site", "cross-site"}, auth.CodeCrossOrigin},
		{"neighbour on the same site", "DELETE", []string{"Sec-Fetch-Site", "same-site"}, auth.CodeCrossOrigin},
		{"other site, old browser", "PATCH", []string{"Origin", "https://evil.example"}, auth.CodeCrossOrigin},
		{"sandboxed page", "POST", []string{"Origin", "null"}, auth.CodeCrossOrigin},
	} {
		r := request(test.method, "http://localhost:8080/api/v1/merges", test.header...)
		r.AddCookie(s.Cookie(r, in))
		_, err := s.Authenticate(r)
		if fault.Code(err) != test.want {
			t.Errorf("%s: got %v, want code %q", test.name, err, test.want)
		}
	}
}

func TestFault43a_ATokenNeedsNoOrigin(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	_, token, err := s.CreateToken(t.Context(), "root", auth.Token{Name: "script", Roles: []auth.Role{auth.Agent}})
	if err != nil {
		t.Fatal(err)
	}
	r := request("POST", "http://localhost/api/v1/merges", "Authorization", "Bearer "+token, "Sec-Fetch-Site", "cross-site")
	if _, err := s.Authenticate(r); err != nil {
		t.Fatal(err)
	}
}

func TestAWrongHeaderIsNotMadeUpForByACookie(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	in := signIn(t, s, "aino")
	for _, header := range []string{"Bearer wrong", "Bearer", "Bearer ", "Basic YWlubzp4", in.Secret, "Bearer " + in.Secret} {
		r := request("GET", "http://localhost/api/v1/cases", "Authorization", header)
		r.AddCookie(s.Cookie(r, in))
		_, err := s.Authenticate(r)
		wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
	}
}

func TestTheCookieIsSecureUnlessTheMachineTalksToItself(t *testing.T) {
	t.Parallel()
	_, b := setup(t)
	https, _ := url.Parse("https://desk.example")
	for _, test := range []struct {
		name, target string
		base         *url.URL
		tls          bool
		secure       bool
	}{
		{"plain loopback", "http://127.0.0.1:8080/", nil, false, false},
		{"plain localhost", "http://localhost:8080/", nil, false, false},
		{"plain IPv6 loopback", "http://[::1]:8080/", nil, false, false},
		{"loopback behind our own TLS", "http://127.0.0.1:8080/", https, false, true},
		{"TLS on loopback", "https://localhost/", nil, true, true},
		{"plain on the network", "http://192.0.2.1/", nil, false, true},
		{"a name that only looks like loopback", "http://localhost.evil.example/", nil, false, true},
	} {
		s := b.service(t, auth.Config{BaseURL: test.base})
		r := request("GET", test.target)
		if r.TLS = nil; test.tls {
			r.TLS = &tls.ConnectionState{}
		}
		c := s.Cookie(r, auth.SignedIn{Secret: "x"})
		if c.Secure != test.secure || (c.Name == "__Host-aikajana") != test.secure {
			t.Errorf("%s: cookie %s", test.name, c)
		}
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%s: cookie %s", test.name, c)
		}
	}
}

func TestFault53_ForwardingHeadersOfTheClientAreIgnored(t *testing.T) {
	t.Parallel()
	_, b := setup(t)
	for _, test := range []struct {
		name    string
		proxies int
		remote  string
		forward string
		want    string
	}{
		{"no proxy", 0, "192.0.2.7:4711", "10.0.0.1", "192.0.2.7"},
		{"one proxy", 1, "10.0.0.1:4711", "6.6.6.6, 192.0.2.7", "192.0.2.7"},
		{"one proxy, header missing", 1, "10.0.0.1:4711", "", "unknown"},
		{"two proxies", 2, "10.0.0.1:4711", "6.6.6.6, 192.0.2.7, 10.0.0.2", "192.0.2.7"},
		{"fewer entries than proxies", 2, "10.0.0.1:4711", "6.6.6.6", "10.0.0.1"},
		{"IPv6 by its /64", 0, "[2001:db8:1:2:3:4:5:6]:1", "", "2001:db8:1:2::/64"},
		{"IPv4 in IPv6", 0, "[::ffff:192.0.2.7]:1", "", "192.0.2.7"},
		{"API Gateway's, without a port", 0, "192.0.2.7", "", "192.0.2.7"},
	} {
		s := b.service(t, auth.Config{TrustedProxies: test.proxies})
		r := request("GET", "http://localhost/", "X-Forwarded-For", test.forward, "X-Real-Ip", "6.6.6.6", "Forwarded", "for=6.6.6.6")
		r.RemoteAddr = test.remote
		if got := s.Client(r); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestASocketTicketWorksOnceSoonAndOnlyWhileItsSessionLives(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	withUser(t, s, "aino", auth.Agent)
	in := signIn(t, s, "aino")
	make1 := func() string {
		secret, _, err := s.Ticket(t.Context(), in.Principal)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	once := make1()
	if p, err := s.Redeem(t.Context(), once); err != nil || p.ID != "aino" {
		t.Fatalf("%+v, %v", p, err)
	}
	_, err := s.Redeem(t.Context(), once)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)

	old := make1()
	b.clock.pass(auth.TicketLife + time.Second)
	_, err = s.Redeem(t.Context(), old)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)

	ended := make1()
	if err := s.SignOut(t.Context(), in.Secret); err != nil {
		t.Fatal(err)
	}
	_, err = s.Redeem(t.Context(), ended)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
}

func TestASocketTicketRedeemedTwiceAtTheSameTimeOpensOneSocket(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	withUser(t, s, "aino", auth.Agent)
	secret, _, err := s.Ticket(t.Context(), signIn(t, s, "aino").Principal)
	if err != nil {
		t.Fatal(err)
	}
	if n := together(16, func(ctx context.Context) error { _, err := s.Redeem(ctx, secret); return err }); n != 1 {
		t.Fatalf("opened %d times", n)
	}
}

// together runs do n times at once and says how often it succeeded.
func together(n int, do func(context.Context) error) int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	worked := 0
	for range n {
		wg.Go(func() {
			if do(context.Background()) == nil {
				mu.Lock()
				worked++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return worked
}

func TestASocketIsNotOpenedForAPageOfAnotherOrigin(t *testing.T) {
	t.Parallel()
	s, _ := setup(t)
	if err := s.SameOriginSocket(request("GET", "http://localhost:8080/socket", "Origin", "http://localhost:8080")); err != nil {
		t.Fatal(err)
	}
	if err := s.SameOriginSocket(request("GET", "http://localhost:8080/socket")); err != nil {
		t.Fatal(err)
	}
	wantCode(t, s.SameOriginSocket(request("GET", "http://localhost:8080/socket", "Origin", "https://evil.example")),
		fault.Denied, auth.CodeCrossOrigin)
}

func TestATokenHasTheRightsItWasGivenUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	s, b := setup(t)
	made, secret, err := s.CreateToken(t.Context(), "root", auth.Token{
		Name: "dashboard", Roles: []auth.Role{auth.Lead}, Teams: []string{"sales"}, Scopes: []auth.Scope{auth.ScopeRead},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := request("GET", "http://localhost/", "Authorization", "Bearer "+secret)
	p, err := s.Authenticate(r)
	if err != nil || p.ID != "token:"+made.ID || !p.May(auth.ReadOperations) || p.May(auth.WorkCases) || p.May(auth.Replay) {
		t.Fatalf("%+v, %v", p, err)
	}
	if all, err := s.Tokens(t.Context(), "", 0); err != nil || len(all) != 1 || all[0].UsedAt.IsZero() {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := s.RevokeToken(t.Context(), "root", made.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.Authenticate(r)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
	_, err = s.Check(t.Context(), p.Credential)
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
	wantCode(t, s.RevokeToken(t.Context(), "root", made.ID), fault.Missing, "missing")

	_, short, err := s.CreateToken(t.Context(), "root", auth.Token{Name: "x", Roles: []auth.Role{auth.Agent}, ExpiresAt: now(b).Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	b.clock.pass(time.Hour)
	_, err = s.Authenticate(request("GET", "http://localhost/", "Authorization", "Bearer "+short))
	wantCode(t, err, fault.Denied, auth.CodeUnauthenticated)
}

func TestRolesBuildOnEachOtherAndTeamsBoundWhatIsSeen(t *testing.T) {
	t.Parallel()
	agent := auth.Principal{Kind: auth.KindUser, ID: "aino", Roles: []auth.Role{auth.Agent}, Teams: []string{"sales"}}
	lead := auth.Principal{Kind: auth.KindUser, ID: "eero", Roles: []auth.Role{auth.Lead}, Teams: []string{"sales"}}
	root := auth.Principal{Kind: auth.KindUser, ID: "root", Roles: []auth.Role{auth.Administrator}}
	nobody := auth.Principal{}
	for _, test := range []struct {
		who  *auth.Principal
		what auth.Action
		want bool
	}{
		{&agent, auth.WorkCases, true}, {&agent, auth.AssignOthers, false}, {&agent, auth.ReadOperations, false},
		{&lead, auth.WorkCases, true}, {&lead, auth.Replay, true}, {&lead, auth.ManageAccounts, false},
		{&root, auth.WorkCases, true}, {&root, auth.ManagePeople, true}, {&root, "unheard.of", false},
		{&nobody, auth.ReadCases, false},
	} {
		if got := test.who.May(test.what); got != test.want {
			t.Errorf("%s may %s: %t", test.who.ID, test.what, got)
		}
	}
	if !agent.Sees("sales", "") || !agent.Sees("", "") || !agent.Sees("billing", "aino") || agent.Sees("billing", "eero") || lead.Sees("billing", "") {
		t.Error("teams do not bound what is seen")
	}
	if !root.Sees("billing", "eero") || nobody.Sees("billing", "") {
		t.Error("an administrator sees all, nobody nothing")
	}
}

func FuzzAnyAddressIsAClientOfBoundedLength(f *testing.F) {
	for _, seed := range []string{"", "192.0.2.7:1", "[::1]:1", "fe80::1%eth0", "[fe80::1%25eth0]:80", "::ffff:1.2.3.4", strings.Repeat("1", 999)} {
		f.Add(seed, seed)
	}
	s, err := auth.New(auth.Config{Table: openless{}, TrustedProxies: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := request("GET", "http://localhost/")
		r.RemoteAddr = remote
		r.Header["X-Forwarded-For"] = []string{forwarded}
		if got := s.Client(r); got == "" || len(got) > 64 || strings.ContainsAny(got, " \r\n#") {
			t.Fatalf("%q", got)
		}
	})
}

// openless is a table that is never asked.
type openless struct{ table.Table }
