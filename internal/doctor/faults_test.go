package doctor_test

import (
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/doctor"
)

// none is a name server that knows nothing.
func none(t *testing.T) doctor.Resolver { t.Helper(); return zone(t, nil, nil) }

// behind puts a proxy before the desk that answers itself when odd says so.
func behind(t *testing.T, desk string, odd func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	to, err := url.Parse(desk)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !odd(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// answers makes an oddity: whoever asks for something like that is answered so.
func answers(status int, kind, body string, when func(*http.Request) bool) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !when(r) {
			return false
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

func below(method, path string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == method && strings.HasPrefix(r.URL.Path, path) }
}

// wellFormed says that the request bears a signature in its channel's form, so that only a comparison can refuse it.
func wellFormed(r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/hooks/whatsapp/") {
		text, ok := strings.CutPrefix(r.Header.Get("X-Hub-Signature-256"), "sha256=")
		sum, err := hex.DecodeString(text)
		return ok && err == nil && len(sum) == 32
	}
	text, ok := strings.CutPrefix(r.Header.Get("Webhook-Signature"), "v1,")
	sum, err := base64.StdEncoding.DecodeString(text)
	seconds, late := strconv.ParseInt(r.Header.Get("Webhook-Timestamp"), 10, 64)
	return ok && err == nil && late == nil && len(sum) == 32 && time.Since(time.Unix(seconds, 0)).Abs() < time.Minute && r.Header.Get("Webhook-Id") != ""
}

func TestEachThingThatIsWrongWithADeploymentIsFoundAndNothingElse(t *testing.T) {
	t.Parallel()
	at := desk(t)
	const socket, whatsapp, shop = "socket", "signature whatsapp/main", "signature webhook/shop"
	for name, c := range map[string]struct {
		odd  func(http.ResponseWriter, *http.Request) bool
		want []string
	}{
		"nothing":                      {func(http.ResponseWriter, *http.Request) bool { return false }, nil},
		"any signature will do":        {answers(200, "text/plain", "", func(r *http.Request) bool { return below("POST", "/hooks/")(r) && wellFormed(r) }), []string{shop, whatsapp}},
		"none is needed":               {answers(200, "text/plain", "", func(r *http.Request) bool { return below("POST", "/hooks/webhook/shop")(r) && !wellFormed(r) }), []string{shop}},
		"401 is a refusal too":         {answers(401, "text/plain", "", below("POST", "/hooks/w")), nil},
		"a redirect is none":           {answers(302, "text/plain", "", below("POST", "/hooks/whatsapp/main")), []string{whatsapp}},
		"who is connected shows":       {answers(401, "text/plain; charset=utf-8", "Forbidden\n", below("POST", "/hooks/whatsapp/no-such-account")), []string{whatsapp}},
		"it shows in other words":      {answers(403, "text/plain; charset=utf-8", "no such account", below("POST", "/hooks/webhook/no-such-account")), []string{shop}},
		"it shows by the kind of text": {answers(403, "application/json", "Forbidden\n", below("POST", "/hooks/webhook/no-such-account")), []string{shop}},
		"the hook fails":               {answers(503, "text/plain", "", below("POST", "/hooks/webhook/shop")), []string{shop}},
		"the hook is throttled":        {answers(429, "text/plain", "", below("POST", "/hooks/webhook/shop")), []string{shop}},
		"hooks lead nowhere":           {answers(404, "application/json", "{}", below("POST", "/hooks/")), []string{"route POST /hooks/no-such-channel/main", shop, whatsapp}},
		"a gateway refuses hooks":      {answers(403, "application/json", "{}", below("POST", "/hooks/no-such-channel/")), []string{"route POST /hooks/no-such-channel/main"}},
		"any handshake will do": {func(w http.ResponseWriter, r *http.Request) bool {
			return answers(200, "text/plain", r.URL.Query().Get("hub.challenge"), below("GET", "/hooks/"))(w, r)
		}, []string{"handshake whatsapp/main"}},
		"the challenge is not echoed": {answers(200, "text/plain", "thanks", func(r *http.Request) bool { return r.URL.Query().Get("hub.verify_token") == "verify" }), []string{"handshake whatsapp/main"}},
		"the query gets lost":         {func(_ http.ResponseWriter, r *http.Request) bool { r.URL.RawQuery = ""; return false }, []string{"handshake whatsapp/main", socket}},
		"sockets need no ticket": {func(w http.ResponseWriter, r *http.Request) bool {
			if !below("GET", "/socket")(r) || r.URL.Query().Has("ticket") {
				return false
			}
			if c, err := websocket.Accept(w, r, nil); err == nil {
				_ = c.CloseNow()
			}
			return true
		}, []string{socket}},
		"a socket without a ticket fails": {answers(502, "text/plain", "", func(r *http.Request) bool { return below("GET", "/socket")(r) && !r.URL.Query().Has("ticket") }), []string{socket}},
		"sockets are not let through":     {func(_ http.ResponseWriter, r *http.Request) bool { r.Header.Del("Upgrade"); return false }, []string{socket}},
		"sockets lead nowhere":            {answers(404, "text/plain", "", below("GET", "/socket")), []string{socket}},
		"forms lead nowhere":              {answers(404, "application/json", "{}", below("GET", "/forms/")), []string{"form form/main", "route GET /forms/no-such-form"}},
		"status pages lead nowhere":       {answers(404, "application/json", "{}", below("GET", "/s/")), []string{"route GET /s/aaaaaaaaaaaaaaaaaaaaaaaaaa"}},
		"everybody may read": {answers(200, "application/json", "{}", func(r *http.Request) bool {
			return below("GET", "/api/v1/cases")(r) && r.Header.Get("Authorization") == ""
		}), []string{"route GET /api/v1/cases"}},
		"it cannot write": {answers(503, "application/json", "{}", below("GET", "/healthz")), []string{"health /healthz"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := doctor.Run(t.Context(), doctor.Options{Server: behind(t, at, c.odd), Token: token, Resolver: none(t)})
			if err != nil {
				t.Fatal(err)
			}
			var problems []string
			for what, state := range states(t, found) {
				if strings.HasPrefix(what, "socket ") {
					what = socket
				}
				if state != doctor.OK && !strings.HasPrefix(what, "mail: ") {
					problems = append(problems, what)
				}
				if state == doctor.Unknown && !strings.HasPrefix(what, "mail: ") {
					t.Errorf("%s is unknown", what)
				}
			}
			slices.Sort(problems)
			if !slices.Equal(problems, c.want) {
				t.Errorf("it finds %q, want %q: %+v", problems, c.want, found)
			}
			for _, f := range found {
				for _, secret := range []string{"ticket=", "verify_token=", token} {
					if strings.Contains(f.Subject+f.Found+f.Do, secret) {
						t.Errorf("it tells a secret: %+v", f)
					}
				}
			}
		})
	}
}

func TestClocksAgreeDifferOrAreTooFarApart(t *testing.T) {
	t.Parallel()
	here := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		asked, arrived time.Time
		off            time.Duration
		want           doctor.State
		found          string
	}{
		{here, here, 0, doctor.OK, "it agrees with this machine's"},
		{here, here, 30 * time.Second, doctor.OK, "it is 30s ahead of this machine's"},
		{here, here, -30 * time.Second, doctor.OK, "it is 30s behind this machine's"},
		{here, here, 31 * time.Second, doctor.Warning, "it is 31s ahead of this machine's"},
		{here, here, -31 * time.Second, doctor.Warning, "it is 31s behind this machine's"},
		{here, here, 4 * time.Minute, doctor.Warning, "it is 4m0s ahead of this machine's"},
		{here, here, -4 * time.Minute, doctor.Warning, "it is 4m0s behind this machine's"},
		{here, here, 4*time.Minute + time.Second, doctor.Problem, "it is 4m1s ahead of this machine's"},
		{here, here, -4*time.Minute - time.Second, doctor.Problem, "it is 4m1s behind this machine's"},
		// A Date has no fraction of a second, and an answer takes its time: neither is a wrong clock.
		{here.Add(999 * time.Millisecond), here.Add(999 * time.Millisecond), 0, doctor.OK, "it agrees with this machine's"},
		{here.Add(999 * time.Millisecond), here.Add(999 * time.Millisecond), -30 * time.Second, doctor.OK, "it is 30s behind this machine's"},
		{here, here.Add(10 * time.Second), 40 * time.Second, doctor.OK, "it is 30s ahead of this machine's"},
		{here, here.Add(10 * time.Second), 41 * time.Second, doctor.Warning, "it is 31s ahead of this machine's"},
		{here, here.Add(10 * time.Second), 5 * time.Second, doctor.OK, "it agrees with this machine's"},
	} {
		var now atomic.Value
		now.Store(c.asked)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", here.Add(c.off).Format(http.TimeFormat))
			now.Store(c.arrived)
		}))
		found, err := doctor.Run(t.Context(), doctor.Options{Server: server.URL, Resolver: none(t), Now: func() time.Time { return now.Load().(time.Time) }})
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(found, func(f doctor.Finding) bool { return f.Check == "clock" })
		if at < 0 || found[at].State != c.want || found[at].Found != c.found || (found[at].Do == "") != (c.want == doctor.OK) {
			t.Errorf("off by %s, asked for %s: %+v", c.off, c.arrived.Sub(c.asked), found)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }))
	t.Cleanup(server.Close)
	found, err := doctor.Run(t.Context(), doctor.Options{Server: server.URL, Resolver: none(t)})
	if err != nil {
		t.Fatal(err)
	}
	want(t, states(t, found), map[string]doctor.State{"clock " + strings.TrimPrefix(server.URL, "http://"): doctor.Unknown})
}

func TestWhatATokenMayNotSeeStaysUnknown(t *testing.T) {
	t.Parallel()
	at := desk(t)
	admin, err := client.New(client.Options{Server: at, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	made, err := admin.CreateToken(t.Context(), client.Token{Name: "lead", Roles: []string{"lead"}})
	if err != nil {
		t.Fatal(err)
	}
	here := strings.TrimPrefix(at, "http://")
	for name, c := range map[string]struct {
		o    doctor.Options
		want map[string]doctor.State
	}{
		"a lead's": {doctor.Options{Token: made.Value.Secret}, map[string]doctor.State{
			"accounts " + here: doctor.OK, "handshake whatsapp/main": doctor.Unknown, "signature whatsapp/main": doctor.OK, "socket " + here + "/socket": doctor.OK,
		}},
		"a wrong one": {doctor.Options{Token: "no-such-token"}, map[string]doctor.State{"accounts " + here: doctor.Problem, "socket " + here: doctor.Problem}},
		"none":        {doctor.Options{}, map[string]doctor.State{"accounts " + here: doctor.Unknown, "socket " + here: doctor.Unknown, "route POST /hooks/no-such-channel/main": doctor.OK}},
		"none, and an account": {doctor.Options{Accounts: []doctor.Account{{Channel: "whatsapp", Name: "main"}}}, map[string]doctor.State{
			"accounts " + here: "", "handshake whatsapp/main": doctor.OK, "signature whatsapp/main": doctor.OK,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.o.Server, c.o.Resolver = at, none(t)
			found, err := doctor.Run(t.Context(), c.o)
			if err != nil {
				t.Fatal(err)
			}
			want(t, states(t, found), c.want)
		})
	}
}

func TestFault16_LookingUsesUpNothingThatIsKeptOfRefusals(t *testing.T) {
	t.Parallel()
	at := desk(t)
	if _, err := doctor.Run(t.Context(), doctor.Options{Server: at, Token: token, Resolver: none(t)}); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Options{Server: at, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := c.Account(t.Context(), "whatsapp", "main"); err != nil || a.Value.LastRefusal == nil {
		t.Errorf("no refusal was noted, so nothing was provoked: %v", err)
	}
	forge := func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at+"/hooks/whatsapp/main", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Hub-Signature-256", "sha256=00")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	kept := func() int {
		list, err := c.Quarantine(t.Context(), true, "", 200)
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Value.Items)
	}
	if n := kept(); n != 0 {
		t.Errorf("%d bodies were kept", n)
	}
	for range 101 {
		forge()
	}
	if n := kept(); n != 100 {
		t.Errorf("%d bodies are kept of what came after, want the whole allowance of 100", n)
	}
}
