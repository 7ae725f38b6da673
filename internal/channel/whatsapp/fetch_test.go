package whatsapp_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/whatsapp"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/guard"
	"github.com/aikajana/aikajana/internal/msg"
)

const token = "access-token-of-the-account"

// desk is a connection to a provider that runs for the length of the test.
func desk(t *testing.T, o fake.Options) (*fake.Provider, channel.Conn) {
	t.Helper()
	o.AccessToken = token
	provider := fake.New(o)
	graph := httptest.NewServer(provider)
	t.Cleanup(func() { provider.Wait(); graph.Close() })
	// The client is the one of production; only private addresses are allowed, because the provider is on this machine.
	return provider, channel.Conn{HTTP: guard.New(guard.Options{AllowPrivate: true}).Client(), Account: &channel.Account{
		Channel: "whatsapp", ID: "main",
		Settings: map[string]string{"phone_number_id": "1055", "api_base": graph.URL},
		Secrets:  map[string][]string{"access_token": {token}},
	}}
}

// picture is a file as Parse would describe it.
func picture(t *testing.T, provider *fake.Provider, data string) msg.Media {
	t.Helper()
	id := provider.AddMedia("image/jpeg", []byte(data))
	events, err := whatsapp.Adapter{}.Parse(envelope(provider.Body(provider.Image(maija, id, "tässä"))))
	if err != nil || len(events) != 1 {
		t.Fatalf("parse the picture: %v", err)
	}
	return *events[0].Message.Parts[0].Media
}

func fetch(t *testing.T, conn channel.Conn, media msg.Media) (string, error) {
	t.Helper()
	body, err := whatsapp.Adapter{}.Fetch(t.Context(), conn, media)
	if err != nil {
		return "", err
	}
	defer func() { _ = body.Close() }()
	data, err := io.ReadAll(body)
	return string(data), err
}

func TestAFileIsLookedUpAndFetched(t *testing.T) {
	t.Parallel()
	provider, conn := desk(t, fake.Options{})
	media := picture(t, provider, "jpeg bytes")
	if data, err := fetch(t, conn, media); err != nil || data != "jpeg bytes" {
		t.Errorf("want the file, got %q, %v", data, err)
	}
}

func TestAFileWithOtherBytesThanAnnouncedIsRefusedAtItsEnd(t *testing.T) {
	t.Parallel()
	provider, conn := desk(t, fake.Options{})
	media := picture(t, provider, "jpeg bytes")
	provider.AlterMedia(media.ID, []byte("other bytes"))
	if _, err := fetch(t, conn, media); fault.Of(err) != fault.Retry || fault.Code(err) != "checksum" {
		t.Errorf("want the checksum noticed, got %v", err)
	}
}

func TestAFileThatFailsIsTriedAgainAndOneThatIsGoneIsNot(t *testing.T) {
	t.Parallel()
	provider, conn := desk(t, fake.Options{})
	media := picture(t, provider, "jpeg bytes")
	provider.FailMedia(media.ID, 1)
	if _, err := fetch(t, conn, media); fault.Of(err) != fault.Retry {
		t.Errorf("a failing download: want retry, got %v", err)
	}
	if data, err := fetch(t, conn, media); err != nil || data != "jpeg bytes" {
		t.Errorf("the next try: got %q, %v", data, err)
	}
	provider.ForgetMedia(media.ID)
	if _, err := fetch(t, conn, media); fault.Of(err) != fault.Permanent || fault.Code(err) != "gone" {
		t.Errorf("a file that is gone: want permanent, got %v", err)
	}
	conn.Account.Secrets["access_token"] = []string{"expired-token"}
	if _, err := fetch(t, conn, media); fault.Of(err) != fault.Retry || fault.Code(err) != "auth" || fault.After(err) < time.Minute {
		t.Errorf("an expired token: want a late retry, got %v", err)
	}
	conn.Account.Secrets = nil
	if _, err := fetch(t, conn, media); fault.Of(err) != fault.Retry || fault.Code(err) != "auth" {
		t.Errorf("no token: want a late retry, got %v", err)
	}
}

func TestAnAddressThatExpiredOnTheWayIsAskedForAgainAndTheFileNotTakenForGone(t *testing.T) {
	t.Parallel()
	provider, conn := desk(t, fake.Options{MediaLifetime: -time.Second})
	media := picture(t, provider, "jpeg bytes")
	if _, err := fetch(t, conn, media); fault.Of(err) != fault.Retry || fault.Code(err) != "expired" {
		t.Errorf("an address that the look-up gave: want retry, got %v", err)
	}
	webhooks := msg.Media{URL: conn.Account.Settings["api_base"] + "/files/" + media.ID + "?hash=old"}
	if _, err := fetch(t, conn, webhooks); fault.Of(err) != fault.Permanent || fault.Code(err) != "gone" {
		t.Errorf("an address that cannot be asked for again: want permanent, got %v", err)
	}
}

// elsewhere is a foreign host that notes the credentials it is given.
func elsewhere(t *testing.T, answer http.HandlerFunc) (string, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var given []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		given = append(given, r.Header.Get("Authorization"))
		mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return given
	}
}

func TestFault29_AForeignHostIsGivenNoCredentials(t *testing.T) {
	t.Parallel()
	foreign, given := elsewhere(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "jpeg bytes") })
	provider, conn := desk(t, fake.Options{})
	media := picture(t, provider, "jpeg bytes")
	provider.MoveMedia(media.ID, foreign+"/a.jpg")
	data, err := fetch(t, conn, media)
	if err != nil || data != "jpeg bytes" {
		t.Errorf("a file on a foreign host can still be fetched without credentials; got %q, %v", data, err)
	}
	if _, err := fetch(t, conn, msg.Media{URL: foreign + "/b.jpg"}); err != nil {
		t.Errorf("the webhook's own URL: %v", err)
	}
	if got := strings.Join(given(), ""); got != "" || len(given()) != 2 {
		t.Errorf("the foreign host was given %q in %d calls, want nothing in 2", got, len(given()))
	}
}

func TestFault29_CredentialsDoNotFollowARedirect(t *testing.T) {
	t.Parallel()
	foreign, given := elsewhere(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/again" {
			http.Redirect(w, r, "/again", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "jpeg bytes")
	})
	for path, want := range map[string]string{"/file": "", "/again": "redirect"} {
		var trusted []string
		graph := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			trusted = append(trusted, r.Header.Get("Authorization"))
			http.Redirect(w, r, foreign+path, http.StatusFound)
		}))
		conn := channel.Conn{HTTP: graph.Client(), Account: &channel.Account{ID: "main",
			Settings: map[string]string{"api_base": graph.URL}, Secrets: map[string][]string{"access_token": {token}}}}
		data, err := fetch(t, conn, msg.Media{URL: graph.URL + "/start"})
		if fault.Code(err) != want || want == "" && data != "jpeg bytes" {
			t.Errorf("%s: want code %q, got %q, %v", path, want, data, err)
		}
		if len(trusted) != 1 || trusted[0] != "Bearer "+token {
			t.Errorf("%s: api_base itself was given %q", path, trusted)
		}
		graph.Close()
	}
	if got := strings.Join(given(), ""); got != "" {
		t.Errorf("the redirect's target was given %q", got)
	}
}

// A trusted host that redirects to itself gets the token once: who wrote the redirect is not known.
func TestFault29_NotEvenToTheSameHostAcrossARedirect(t *testing.T) {
	t.Parallel()
	var given []string
	graph := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given = append(given, r.Header.Get("Authorization"))
		if r.URL.Path == "/start" {
			http.Redirect(w, r, "/file", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "jpeg bytes")
	}))
	defer graph.Close()
	conn := channel.Conn{HTTP: graph.Client(), Account: &channel.Account{ID: "main",
		Settings: map[string]string{"api_base": graph.URL}, Secrets: map[string][]string{"access_token": {token}}}}
	if data, err := fetch(t, conn, msg.Media{URL: graph.URL + "/start"}); err != nil || data != "jpeg bytes" {
		t.Errorf("want the file, got %q, %v", data, err)
	}
	if len(given) != 2 || given[0] != "Bearer "+token || given[1] != "" {
		t.Errorf("the calls were given %q, want the token in the first only", given)
	}
}

func TestFault29_OnlyTheListedHostsOverHTTPSAreGivenCredentials(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]bool{
		"https://lookaside.fbsbx.com/whatsapp_business/attachments/?mid=1": true,
		"https://LOOKASIDE.fbsbx.com:443/x":                                true,
		"https://graph.facebook.com/v25.0/1":                               true,
		"http://lookaside.fbsbx.com/x":                                     false,
		"https://lookaside.fbsbx.com:8443/x":                               false,
		"https://lookaside.fbsbx.com.evil.example/x":                       false,
		"https://evil.example/lookaside.fbsbx.com":                         false,
		"https://lookaside.fbsbx.com@evil.example/x":                       false,
		"https://x:y@lookaside.fbsbx.com/x":                                false,
		"https://fbsbx.com/x":                                              false,
		"https://a.lookaside.fbsbx.com/x":                                  false,
		"https://[::1]/x":                                                  false,
	} {
		seen := &recorder{}
		conn := channel.Conn{HTTP: &http.Client{Transport: seen}, Account: &channel.Account{ID: "main", Secrets: map[string][]string{"access_token": {token}}}}
		if _, err := fetch(t, conn, msg.Media{URL: at}); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		if got := seen.given == "Bearer "+token; got != want || !want && seen.given != "" && !strings.HasPrefix(seen.given, "Basic ") {
			t.Errorf("%s: was given %q, want the token: %v", at, seen.given, want)
		}
	}
}

// recorder answers every call itself and notes the credentials, so that names need not resolve.
type recorder struct{ given string }

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.given = request.Header.Get("Authorization")
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader([]byte("x"))), Request: request, Header: http.Header{}}, nil
}
