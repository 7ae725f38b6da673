package guard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"code.dny.dev/ssrf"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/aikajana/aikajana/internal/fault"
)

// strict is a guard in its production form, except that it takes one listener of the test for a public address.
func strict(t *testing.T, server *httptest.Server, o Options) *Guard {
	t.Helper()
	p := policy{public: ssrf.New(ssrf.WithAnyPort())}
	if server != nil {
		p.exempt = netip.MustParseAddrPort(server.Listener.Addr().String())
	}
	g := newGuard(o, p)
	t.Cleanup(g.client.CloseIdleConnections)
	t.Cleanup(g.follower.CloseIdleConnections)
	return g
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func request(t *testing.T, method, address, body string) *http.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func closeBody(t *testing.T, resp *http.Response) {
	t.Helper()
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

func wantFault(t *testing.T, what string, err error, kind fault.Kind, code string) {
	t.Helper()
	if err == nil || fault.Of(err) != kind || fault.Code(err) != code {
		t.Errorf("%s: %v (%s %q), want %s %q", what, err, fault.Of(err), fault.Code(err), kind, code)
	}
}

// nameServer answers for every name with the next of its addresses, over UDP, as a stranger's name server may.
func nameServer(t *testing.T, addresses ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	var asked atomic.Int64
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(packet[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				next := addresses[min(int(asked.Add(1))-1, len(addresses)-1)]
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: netip.MustParseAddr(next).As4()},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func TestFault30_PrivateAddressesAreRefusedHoweverTheyAreWritten(t *testing.T) {
	t.Parallel()
	reached := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a private address was reached") })
	port := reached.Listener.Addr().(*net.TCPAddr).Port
	g := strict(t, nil, Options{})
	for _, host := range []string{
		"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "0.0.0.0", "[::]", "127.1.2.3", "10.0.0.1", "192.168.1.1",
		"172.16.0.1", "169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "[fe80::1]", "100.64.0.1", "100.100.100.200", "168.63.129.16",
		"[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fc00::1]", "224.0.0.1", "255.255.255.255", "198.18.0.1",
	} {
		for _, client := range []*http.Client{g.Client(), g.Follower()} {
			resp, err := Do(client, request(t, http.MethodPost, fmt.Sprintf("http://%s:%d/", host, port), "x"))
			if resp != nil {
				closeBody(t, resp)
			}
			wantFault(t, host, err, fault.Permanent, "private_address")
			if !errors.Is(err, ErrPrivate) {
				t.Errorf("%s: %v does not wrap ErrPrivate", host, err)
			}
		}
	}
}

func TestFault30_NameThatResolvesToAPrivateAddressTheSecondTimeIsRefused(t *testing.T) {
	t.Parallel()
	public := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	to := netip.MustParseAddrPort(public.Listener.Addr().String())
	g := strict(t, public, Options{Resolver: nameServer(t, "127.0.0.1", "127.0.0.2", "169.254.169.254")})
	address := fmt.Sprintf("http://rebind.example.com:%d/", to.Port())
	resp, err := Do(g.Client(), request(t, http.MethodGet, address, ""))
	if err != nil {
		t.Fatalf("the first time, while the name is public: %v", err)
	}
	closeBody(t, resp)
	for _, again := range []string{"second", "third"} {
		_, err := Do(g.Client(), request(t, http.MethodGet, address, ""))
		wantFault(t, "the "+again+" time", err, fault.Permanent, "private_address")
	}
}

func TestFault30_RedirectToAPrivateAddressIsRefusedAtTheHop(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]:80/", "http://localhost/", "http://127.0.0.1:1/", "http://[fd00:ec2::254]/"} {
		public := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				http.Redirect(w, r, "/again", http.StatusFound)
				return
			}
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		})
		g := strict(t, public, Options{})
		_, err := Do(g.Follower(), request(t, http.MethodGet, public.URL, ""))
		wantFault(t, "302 to "+target, err, fault.Permanent, "private_address")
		if strings.Contains(target, "169.254") { // closed even where private addresses are open
			g = New(Options{AllowPrivate: true})
			_, err = Do(g.Follower(), request(t, http.MethodGet, public.URL, ""))
			wantFault(t, "302 to "+target+" with AllowPrivate", err, fault.Permanent, "private_address")
		}
	}
}

func TestFault30_AnswerThatNeverComesTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	public := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	g := strict(t, public, Options{Header: 50 * time.Millisecond})
	_, err := Do(g.Follower(), request(t, http.MethodGet, public.URL, ""))
	wantFault(t, "a file that never comes", err, fault.Retry, "timeout")
	_, err = Do(g.Client(), request(t, http.MethodPost, public.URL, "hello"))
	wantFault(t, "a message whose answer never comes", err, fault.Uncertain, "timeout")
}

func TestFault30_AnswerOverTheCapIsRefused(t *testing.T) {
	t.Parallel()
	const limit = 1000
	for _, c := range []struct {
		size int
		ok   bool
	}{{0, true}, {1, true}, {999, true}, {1000, true}, {1001, false}, {100_000, false}} {
		body := Cap(io.NopCloser(strings.NewReader(strings.Repeat("x", c.size))), limit)
		got, err := io.ReadAll(body)
		if c.ok {
			if err != nil || len(got) != c.size {
				t.Errorf("%d of %d bytes: %d, %v", c.size, limit, len(got), err)
			}
			continue
		}
		wantFault(t, fmt.Sprintf("%d of %d bytes", c.size, limit), err, fault.Permanent, "too_large")
		if len(got) > limit {
			t.Errorf("%d bytes were given, %d are allowed", len(got), limit)
		}
		if n, err := body.Read(make([]byte, 1)); n != 0 || fault.Code(err) != "too_large" {
			t.Errorf("read on: %d, %v", n, err)
		}
	}
}

func TestFault29_CredentialsGoToListedHostsOnly(t *testing.T) {
	t.Parallel()
	hosts := []string{"graph.example.com", "*.cdn.example.com", "127.0.0.1:8080", "[::1]:9", "Straße.example"}
	for address, want := range map[string]bool{
		"https://graph.example.com/v1":            true,
		"https://GRAPH.example.com.:443/v1":       true,
		"http://graph.example.com/v1":             true, // held back by the client, unless private addresses are allowed
		"https://a.cdn.example.com/":              true,
		"https://a.b.cdn.example.com/":            true,
		"http://127.0.0.1:8080/":                  true,
		"https://[::1]:9/":                        true,
		"https://cdn.example.com/":                false,
		"https://graph.example.com:8443/":         false,
		"https://127.0.0.1:8081/":                 false,
		"https://127.0.0.1/":                      false,
		"https://evilgraph.example.com/":          false,
		"https://graph.example.com.evil.example/": false,
		"https://graph.example.com@evil.example/": false,
		"https://evil.example/graph.example.com":  false,
		"https://acdn.example.com/":               false,
		"https://example.com/":                    false,
	} {
		req := request(t, http.MethodGet, address, "")
		if got := WithCredentials(req, hosts, "Authorization", "Bearer canary"); got != want || (req.Header.Get("Authorization") != "") != want {
			t.Errorf("%s: given %v, want %v", address, got, want)
		}
	}
}

func TestFault29_CredentialsNeverCrossARedirect(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]http.Header{}
	record := func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.URL.Path] = r.Header.Clone()
	}
	foreign := serve(t, record)
	provider := serve(t, func(w http.ResponseWriter, r *http.Request) {
		record(w, r)
		switch r.URL.Path {
		case "/bot-canary/file":
			http.Redirect(w, r, "/same-host", http.StatusFound)
		case "/same-host":
			http.Redirect(w, r, foreign.URL+"/foreign", http.StatusFound)
		}
	})
	g := New(Options{AllowPrivate: true})
	req := request(t, http.MethodGet, provider.URL+"/bot-canary/file", "")
	req.Header.Set("Cookie", "session=canary")
	req.Header.Set("X-Api-Key", "canary")
	req.Header.Set("Accept", "image/jpeg")
	if !WithCredentials(req, []string{req.URL.Host}, "Authorization", "Bearer canary") || !WithCredentials(req, []string{req.URL.Host}, "D360-Api-Key", "canary") {
		t.Fatal("the provider's own host was refused")
	}
	resp, err := Do(g.Follower(), req)
	if err != nil {
		t.Fatal(err)
	}
	closeBody(t, resp)
	if got := seen["/bot-canary/file"]; got.Get("Authorization") != "Bearer canary" || got.Get("D360-Api-Key") != "canary" {
		t.Errorf("the provider itself got %v", got)
	}
	for _, hop := range []string{"/same-host", "/foreign"} {
		if got := fmt.Sprint(seen[hop]); strings.Contains(got, "canary") || !strings.Contains(got, "image/jpeg") {
			t.Errorf("the hop to %s got %s", hop, got)
		}
	}
}

func TestFault29_CredentialsDoNotTravelOverPlainHTTP(t *testing.T) {
	t.Parallel()
	public := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("credentials went out in clear") })
	req := request(t, http.MethodPost, public.URL, "x")
	if !WithCredentials(req, []string{req.URL.Host}, "Authorization", "Bearer canary") {
		t.Fatal("the host was refused")
	}
	_, err := Do(strict(t, public, Options{}).Client(), req)
	wantFault(t, "credentials over http", err, fault.Permanent, "credentials_plain")
	// Nor to another host, should the URL be changed afterwards.
	req.URL.Host = "elsewhere.example.com"
	_, err = Do(New(Options{AllowPrivate: true}).Client(), req)
	wantFault(t, "credentials to another host", err, fault.Permanent, "credentials_host")
}

func TestFollowerStopsAfterThreeRedirectsAndNeverLeavesTLS(t *testing.T) {
	t.Parallel()
	var hops atomic.Int64
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		hops.Add(1)
		http.Redirect(w, r, "/on", http.StatusFound)
	})
	_, err := Do(New(Options{AllowPrivate: true}).Follower(), request(t, http.MethodGet, endless.URL, ""))
	wantFault(t, "redirects without end", err, fault.Permanent, "redirects")
	if hops.Load() != maxRedirects+1 {
		t.Errorf("%d requests were made, want %d", hops.Load(), maxRedirects+1)
	}
	plain := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("followed to plain http") })
	secure := httptest.NewUnstartedServer(http.RedirectHandler(plain.URL, http.StatusFound))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // it is to be refused below
	secure.StartTLS()
	t.Cleanup(secure.Close)
	trust := secure.Client().Transport.(*http.Transport).TLSClientConfig
	_, err = Do(New(Options{AllowPrivate: true, TLS: trust}).Follower(), request(t, http.MethodGet, secure.URL, ""))
	wantFault(t, "https to http", err, fault.Permanent, "redirect_plain")
	_, err = Do(New(Options{AllowPrivate: true}).Client(), request(t, http.MethodPost, secure.URL, ""))
	wantFault(t, "a certificate that nobody knows", err, fault.Retry, "tls")
}

func TestClientGivesTheRedirectBackAsItIs(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	resp, err := Do(New(Options{AllowPrivate: true}).Client(), request(t, http.MethodPost, server.URL, "x"))
	if err != nil || resp.StatusCode != http.StatusTemporaryRedirect {
		t.Fatalf("%v, %v", resp, err)
	}
	closeBody(t, resp)
}

// rawServer lets a handler do with each connection what no HTTP server would.
func rawServer(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			handle(c)
			_ = c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestWhatWasWrittenDecidesBetweenRetryAndUncertain(t *testing.T) {
	t.Parallel()
	closed := func() string { // an address where nobody listens any more
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		return "http://" + l.Addr().String()
	}()
	readThenHangUp := rawServer(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 10)) })
	halfAnAnswer := rawServer(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 10_000))
		_, _ = io.WriteString(c, "HTTP/1.1 20")
	})
	g := New(Options{AllowPrivate: true})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		what, method, address string
		ctx                   context.Context
		kind                  fault.Kind
		code                  string
	}{
		{"nobody listens", "POST", closed, t.Context(), fault.Retry, "unreachable"},
		{"no such name", "POST", "http://nowhere.invalid/", t.Context(), fault.Retry, "dns"},
		{"context ended before", "POST", readThenHangUp, ended, fault.Retry, "cancelled"},
		{"hung up on a POST", "POST", readThenHangUp, t.Context(), fault.Uncertain, "broken"},
		{"hung up on a DELETE", "DELETE", readThenHangUp, t.Context(), fault.Uncertain, "broken"},
		{"hung up on a GET", "GET", readThenHangUp, t.Context(), fault.Retry, "broken"},
		{"half an answer to a POST", "POST", halfAnAnswer, t.Context(), fault.Uncertain, "failed"},
		{"not a web address", "POST", "ftp://example.com/", t.Context(), fault.Permanent, "request"},
		{"no host", "POST", "http:///path", t.Context(), fault.Permanent, "request"},
		{"password in the address", "POST", "https://a:b@example.com/", t.Context(), fault.Permanent, "url_credentials"},
	} {
		client := g.Client()
		if c.code == "dns" {
			client = New(Options{AllowPrivate: true, Resolver: &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, errors.New("no name server")
			}}}).Client()
		}
		req := request(t, c.method, c.address, strings.Repeat("x", 100)).WithContext(c.ctx)
		_, err := Do(client, req)
		wantFault(t, c.what, err, c.kind, c.code)
	}
	req := request(t, http.MethodPost, closed, "x")
	req.Header.Set("X-Name", "a\r\nb")
	_, err := Do(g.Client(), req)
	wantFault(t, "a line break in a header", err, fault.Permanent, "request")
}

func TestFault56_ErrorsHoldNoPathQueryOrHeader(t *testing.T) {
	t.Parallel()
	hangUp := rawServer(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 10)) })
	badRedirect := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://[canary/%zz?canary")
		w.WriteHeader(http.StatusFound)
	})
	for _, address := range []string{hangUp, badRedirect.URL, "http://127.0.0.1:1", "http://169.254.169.254", "ftp://example.com"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			req := request(t, method, address+"/botcanary/x?token=canary", "canary")
			WithCredentials(req, []string{req.URL.Host}, "Authorization", "canary")
			resp, err := Do(New(Options{AllowPrivate: true}).Follower(), req)
			if err == nil {
				closeBody(t, resp)
				continue
			}
			for _, text := range []string{err.Error(), fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err)} {
				if strings.Contains(text, "canary") {
					t.Errorf("%s %s: %s", method, address, text)
				}
			}
			if _, ok := errors.AsType[*url.Error](err); ok {
				t.Errorf("%s %s: the error still wraps the URL", method, address)
			}
		}
	}
}

func TestRetryAfterIsReadInSecondsAndAsADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "soon": 0, "999999999999": 24 * time.Hour,
		"Sun, 22 Nov 2026 10:01:00 GMT": time.Minute, "Sun, 22 Nov 2026 09:00:00 GMT": 0,
	} {
		if got := After(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("Retry-After %q: %s, want %s", value, got, want)
		}
	}
}

// Whatever the address, an IPv4 address is judged alike in all its IPv6 clothes, and only public ones pass.
func FuzzAddresses(f *testing.F) {
	for _, seed := range []string{"127.0.0.1", "8.8.8.8", "169.254.169.254", "10.1.2.3", "100.100.100.200", "224.0.0.1", "::1", "2001:4860:4860::8888", "64:ff9b::808:808"} {
		b, _ := netip.MustParseAddr(seed).MarshalBinary()
		f.Add(b, uint16(443))
	}
	strict := policy{public: ssrf.New(ssrf.WithAnyPort())}
	loose := policy{public: strict.public, allowPrivate: true}
	f.Fuzz(func(t *testing.T, raw []byte, port uint16) {
		ip, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		allowed := strict.check(netip.AddrPortFrom(ip, port)) == nil
		if allowed && (ip.IsPrivate() || ip.IsLoopback() || !ip.IsGlobalUnicast() || ip.Is4In6()) {
			t.Fatalf("%s passed", ip)
		}
		if allowed && loose.check(netip.AddrPortFrom(ip, port)) != nil {
			t.Fatalf("%s passes the strict guard and not the loose one", ip)
		}
		if !ip.Is4() {
			return
		}
		v4 := binary.BigEndian.Uint32(raw)
		for _, prefix := range []string{"::ffff:0:0", "64:ff9b::", "::", "64:ff9b:1::"} {
			v6 := netip.MustParseAddr(prefix).As16()
			binary.BigEndian.PutUint32(v6[12:], v4)
			if strict.check(netip.AddrPortFrom(netip.AddrFrom16(v6), port)) == nil {
				t.Fatalf("%s passed as %s", ip, netip.AddrFrom16(v6))
			}
		}
	})
}

// net/http makes a request with an Idempotency-Key again by itself. When the second attempt cannot even connect, the first may
// still have been carried out.
func TestAttemptThatTheTransportRepeatedStaysUncertain(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		buffer := make([]byte, 10_000)
		_, _ = c.Read(buffer)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		_, _ = c.Read(buffer)
		_ = l.Close()
		_ = c.Close()
	}()
	client := New(Options{AllowPrivate: true}).Client()
	for attempt := range 2 {
		req := request(t, http.MethodPost, "http://"+l.Addr().String(), "hello")
		req.Header.Set("Idempotency-Key", "k")
		resp, err := Do(client, req)
		if attempt == 1 {
			wantFault(t, "the second request", err, fault.Uncertain, "unreachable")
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		closeBody(t, resp)
	}
}
