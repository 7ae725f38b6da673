package doctor_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/app/local"
	"github.com/aikajana/aikajana/internal/doctor"
	"golang.org/x/net/dns/dnsmessage"
)

const token = "a-token-for-tests-0123456789"

// desk is the whole program, with an account of each channel.
func desk(t *testing.T) string {
	t.Helper()
	at, _ := deskOn(t, filepath.Join(t.TempDir(), "data"))
	return at
}

// deskOn is the same on a data folder that stays; end ends it.
func deskOn(t *testing.T, data string) (at string, end func()) {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "accounts.json")
	body := `{"accounts":[
		{"channel":"whatsapp","account":"main","settings":{"phone_number_id":"1055"},
		 "secrets":{"app_secret":"literal:secret","verify_token":"literal:verify","access_token":"literal:token"}},
		{"channel":"webhook","account":"shop","secrets":{"signing_secret":"literal:a secret of twenty-four characters"}},
		{"channel":"email","account":"main","settings":{"address":"help@good.example, old@bare.example"}},
		{"channel":"form","account":"main"}]}`
	if err := os.WriteFile(conf, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := local.Open(local.Options{
		Data: data, HTTP: "127.0.0.1:0", Config: conf, Token: token, AdminPassword: "correct-horse-battery",
		Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	end = sync.OnceFunc(func() {
		stop()
		if err := <-served; err != nil {
			t.Errorf("it did not end in order: %v", err)
		}
	})
	t.Cleanup(end)
	return "http://" + s.HTTPAddr(), end
}

// zone is a name server on loopback that knows these records and nothing else. TXT records of "SERVFAIL" make it fail.
func zone(t *testing.T, mx map[string][]string, txt map[string][]string) doctor.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it ends the loop below
	go func() {
		packet := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(packet)
			if err != nil {
				return
			}
			if answer := answered(packet[:n], mx, txt); answer != nil {
				_, _ = conn.WriteTo(answer, from) // who does not hear it asks again
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func answered(packet []byte, mx, txt map[string][]string) []byte {
	var m dnsmessage.Message
	if m.Unpack(packet) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
	m.Response, m.Authoritative, m.Additionals = true, true, nil
	header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 60}
	switch q.Type {
	case dnsmessage.TypeMX:
		for _, host := range mx[name] {
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.MXResource{Pref: 10, MX: dnsmessage.MustNewName(host)}})
		}
	case dnsmessage.TypeTXT:
		for _, text := range txt[name] {
			if text == "SERVFAIL" {
				m.RCode = dnsmessage.RCodeServerFailure
				continue
			}
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.TXTResource{TXT: []string{text}}})
		}
	}
	if len(m.Answers) == 0 && m.RCode == 0 {
		m.RCode = dnsmessage.RCodeNameError
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

// states are the findings by "check subject"; each must say what to do unless it is fine.
func states(t *testing.T, found []doctor.Finding) map[string]doctor.State {
	t.Helper()
	all := map[string]doctor.State{}
	for _, f := range found {
		if (f.Do == "") != (f.State == doctor.OK) {
			t.Errorf("%s %s is %s, found %q, and says to do %q", f.Check, f.Subject, f.State, f.Found, f.Do)
		}
		worst := all[f.Check+" "+f.Subject]
		if worst == "" || worst == doctor.OK {
			all[f.Check+" "+f.Subject] = f.State
		}
	}
	return all
}

func want(t *testing.T, got, want map[string]doctor.State) {
	t.Helper()
	for what, state := range want {
		if got[what] != state {
			t.Errorf("%s is %q, want %q", what, got[what], state)
		}
	}
}

func TestDeploymentIsLookedAtFromOutsideAndItsMailDomainsInDNS(t *testing.T) {
	t.Parallel()
	at := desk(t)
	found, err := doctor.Run(t.Context(), doctor.Options{
		Server: at, Token: token, Selectors: []string{"s1"},
		Resolver: zone(t,
			map[string][]string{"good.example": {"inbound-smtp.eu-north-1.amazonaws.com."}},
			map[string][]string{
				"good.example": {"v=spf1 include:amazonses.com -all", "something else"}, "s1._domainkey.good.example": {"v=DKIM1; k=rsa; p=MIGf"},
				"_dmarc.good.example": {"v=DMARC1; p=quarantine"},
			}),
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, states(t, found), map[string]doctor.State{
		"health /healthz": doctor.OK, "queue inbound": doctor.OK, "ledger whatsapp/main": doctor.OK, "route GET /api/v1/cases": doctor.OK, "route POST /hooks/no-such-channel/main": doctor.OK,
		"route GET /s/aaaaaaaaaaaaaaaaaaaaaaaaaa": doctor.OK, "route GET /forms/no-such-form": doctor.OK,
		"signature whatsapp/main": doctor.OK, "signature webhook/shop": doctor.OK, "handshake whatsapp/main": doctor.OK, "form form/main": doctor.OK,
		"socket " + strings.TrimPrefix(at, "http://") + "/socket": doctor.OK,
		"mail: MX good.example":                                   doctor.OK, "mail: SPF good.example": doctor.OK, "mail: DKIM s1._domainkey.good.example": doctor.OK, "mail: DMARC good.example": doctor.OK,
		"mail: MX bare.example": doctor.Problem, "mail: SPF bare.example": doctor.Problem, "mail: DKIM s1._domainkey.bare.example": doctor.Problem,
		"mail: DMARC bare.example": doctor.Problem,
	})
	if !doctor.Sick(found) {
		t.Error("a domain without records is no problem?")
	}
	for _, said := range []string{
		"handshake whatsapp/main: the right token is answered with the challenge", "signature whatsapp/main: an account that does not exist looks the same",
		"signature webhook/shop: a delivery with a wrong signature is refused", "socket " + strings.TrimPrefix(at, "http://") + "/socket: it opens with a ticket",
	} {
		if !slices.ContainsFunc(found, func(f doctor.Finding) bool { return f.Check+" "+f.Subject+": "+f.Found == said }) {
			t.Errorf("it does not say %q: %+v", said, found)
		}
	}
}

func TestRecordsThatHelpNobodyAreToldApart(t *testing.T) {
	t.Parallel()
	found, err := doctor.Run(t.Context(), doctor.Options{
		Server: "http://127.0.0.1:1", Addresses: []string{"a@null.example", "a@open.example", "a@two.example", "a@sub.parent.example", "a@down.example"}, Selectors: []string{"s1"},
		Resolver: zone(t,
			map[string][]string{"null.example": {"."}},
			map[string][]string{
				"open.example": {"v=spf1 +all"}, "two.example": {"v=spf1 -all", "v=spf1 ~all"}, "null.example": {"v=spf1 include:amazonses.com"},
				"_dmarc.open.example": {"v=DMARC1; p=none"}, "_dmarc.two.example": {"v=DMARC1; p=none", "v=DMARC1; p=reject"}, "_dmarc.null.example": {"v=DMARC1; rua=x"},
				"_dmarc.parent.example": {"v=DMARC1; p=reject"}, "s1._domainkey.open.example": {"v=DKIM1; p="},
				"down.example": {"SERVFAIL"}, "_dmarc.down.example": {"SERVFAIL"}, "s1._domainkey.down.example": {"SERVFAIL"},
			}),
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, states(t, found), map[string]doctor.State{
		"mail: MX null.example": doctor.Problem, "mail: SPF null.example": doctor.Warning, "mail: DMARC null.example": doctor.Problem,
		"mail: SPF open.example": doctor.Problem, "mail: DMARC open.example": doctor.Warning, "mail: DKIM s1._domainkey.open.example": doctor.Problem,
		"mail: SPF two.example": doctor.Problem, "mail: DMARC two.example": doctor.Problem, "mail: DMARC sub.parent.example": doctor.OK,
		"mail: SPF down.example": doctor.Unknown, "mail: DMARC down.example": doctor.Unknown, "mail: DKIM s1._domainkey.down.example": doctor.Unknown,
		"health 127.0.0.1:1": doctor.Problem,
	})
}

func TestMailThatDoesNotComeInByTheRegionsSESIsAWarningOnAWS(t *testing.T) {
	t.Parallel()
	at := desk(t)
	names := zone(t, map[string][]string{
		"here.example": {"INBOUND-SMTP.eu-north-1.amazonaws.com."}, "both.example": {"mx.other.example.", "inbound-smtp.eu-north-1.amazonaws.com."},
		"past.example": {"mx.other.example."}, "elsewhere.example": {"inbound-smtp.eu-west-1.amazonaws.com."},
	}, nil)
	own := behind(t, at, answers(http.StatusCreated, "application/json", `{"ticket":"t","url":"wss://ws1.execute-api.eu-north-1.amazonaws.com/live"}`, below("POST", "/api/v1/socket-ticket")))
	// Whatever name is asked for, the desk answers.
	there := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(own, "http://"))
	}}
	t.Cleanup(there.CloseIdleConnections)
	for name, c := range map[string]struct {
		server, token string
		past          doctor.State
	}{
		"its name is API Gateway's":                {"http://ab1.execute-api.eu-north-1.amazonaws.com", "", doctor.Warning},
		"it has a name of its own, its socket not": {"http://desk.example", token, doctor.Warning},
		"nothing tells that it is on AWS":          {"http://desk.example", "", doctor.OK},
		"it only looks as if":                      {"http://ab1.execute-api.eu-north-1.amazonaws.com.example", "", doctor.OK},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := doctor.Run(t.Context(), doctor.Options{
				Server: c.server, Token: c.token, Resolver: names, Transport: there,
				Addresses: []string{"a@here.example", "a@both.example", "a@past.example", "a@elsewhere.example", "a@bare.example"},
			})
			if err != nil {
				t.Fatal(err)
			}
			want(t, states(t, found), map[string]doctor.State{
				"mail: MX here.example": doctor.OK, "mail: MX both.example": doctor.OK, "mail: MX past.example": c.past, "mail: MX elsewhere.example": c.past,
				"mail: MX bare.example": doctor.Problem,
			})
			for _, f := range found {
				if f.Check == "mail: MX" && f.State == doctor.Warning && (!strings.Contains(f.Found, "mail goes to ") || !strings.Contains(f.Do, "10 inbound-smtp.eu-north-1.amazonaws.com")) {
					t.Errorf("it does not say what there is and what to publish: %+v", f)
				}
			}
		})
	}
}

func TestSomebodyElseAtTheAddressIsNoticed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		if r.Header.Get("Authorization") != "" {
			t.Error("a stranger was sent credentials")
		}
		w.WriteHeader(http.StatusOK) // whatever is asked
	}))
	t.Cleanup(server.Close)
	o := doctor.Options{Server: server.URL, Accounts: []doctor.Account{{Channel: "whatsapp", Name: "main"}, {Channel: "webhook", Name: "shop"}}, Transport: server.Client().Transport}
	found, err := doctor.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want(t, states(t, found), map[string]doctor.State{
		"clock " + strings.TrimPrefix(server.URL, "https://"): doctor.Problem, "tls " + strings.TrimPrefix(server.URL, "https://"): doctor.OK,
		"route GET /api/v1/cases": doctor.Problem, "signature whatsapp/main": doctor.Problem, "handshake whatsapp/main": doctor.Problem, "signature webhook/shop": doctor.Problem,
	})
	if n := asked.Load(); n > 12 {
		t.Errorf("it asked %d times", n)
	}

	o.Now = func() time.Time { return server.Certificate().NotAfter.Add(-time.Hour) }
	if found, err = doctor.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	want(t, states(t, found), map[string]doctor.State{"tls " + strings.TrimPrefix(server.URL, "https://"): doctor.Warning})

	o.Transport = nil // which trusts no certificate of a test
	if found, err = doctor.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	want(t, states(t, found), map[string]doctor.State{"tls " + strings.TrimPrefix(server.URL, "https://"): doctor.Problem})
}

func TestAddressThatIsNoneIsAMistakeOfTheCaller(t *testing.T) {
	t.Parallel()
	for _, server := range []string{"desk.example", "ftp://desk.example", "https:/desk.example", "https://desk.example/?x=1", "https://root@desk.example"} {
		if _, err := doctor.Run(t.Context(), doctor.Options{Server: server}); err == nil {
			t.Errorf("%q was taken", server)
		}
	}
}
