package whatsapp_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/channeltest"
	"github.com/aikajana/aikajana/internal/channel/whatsapp"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

func TestChannel(t *testing.T) { channeltest.Run(t, whatsapp.Adapter{}, options()) }

func FuzzParse(f *testing.F) { channeltest.Fuzz(f, whatsapp.Adapter{}, options()) }

func options() channeltest.Options {
	return channeltest.Options{
		Settings: map[string]string{"phone_number_id": "1055", "api_version": "v25.0"},
		Secrets:  map[string][]string{"app_secret": {"app-secret"}, "verify_token": {"verify-token"}, "access_token": {"access-token-of-the-account"}},
		Address:  normalised,
		Unknown:  []string{"unknown_type", "unsupported", "unknown_interactive", "field_unknown"},
		Webhook: &channeltest.Webhook{
			Secret: "app_secret", Header: "X-Hub-Signature-256", Sign: sign,
			HandshakeSecret: "verify_token", Handshake: handshake, Echo: "1158201444",
		},
		Send: &channeltest.Send{
			Outbound: msg.Outbound{To: msg.Address{Kind: "whatsapp.phone", Value: "358401234567"}, Thread: "358401234567", Text: "Katson heti.", ReplyTo: "wamid.Q"},
			Of:       "wamid.OUT",
			Accepted: channeltest.Answer{Status: 200, Body: `{"messaging_product":"whatsapp","contacts":[{"input":"358401234567","wa_id":"358401234567"}],"messages":[{"id":"wamid.OUT"}]}`},
			Answers:  answers(),
		},
	}
}

// sign follows create-webhook-endpoint, "Validating payloads" (read 2026-11-22).
func sign(r *channel.Request, secret string) {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(r.Body)
	r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
}

func handshake(account *channel.Account, token string) *channel.Request {
	query := url.Values{"hub.mode": {"subscribe"}, "hub.challenge": {"1158201444"}}
	if token != "" {
		query.Set("hub.verify_token", token)
	}
	return &channel.Request{Account: account, Method: http.MethodGet, Header: http.Header{}, Now: channeltest.ReceivedAt,
		URL: &url.URL{Scheme: "https", Host: "desk.example", Path: "/hooks/whatsapp/main", RawQuery: query.Encode()}}
}

var forms = map[string]*regexp.Regexp{
	"whatsapp.phone":  regexp.MustCompile(`^[0-9]{3,20}$`),
	"whatsapp.user":   regexp.MustCompile(`^[A-Z]{2}\.[A-Za-z0-9]{1,128}$`),
	"whatsapp.parent": regexp.MustCompile(`^[A-Z]{2}\.ENT\.[A-Za-z0-9]{1,128}$`),
}

func normalised(a msg.Address) error {
	if !forms[a.Kind].MatchString(a.Value) {
		return fmt.Errorf("%q is no %s", a.Value, a.Kind)
	}
	return nil
}

func refused(code int, message string) string {
	return fmt.Sprintf(`{"error":{"message":"(#%d) %s","type":"OAuthException","code":%d,"error_data":{"messaging_product":"whatsapp","details":"to 358401234567"},"fbtrace_id":"A1"}}`, code, message, code)
}

// answers is the error table of support/error-codes (updated 2026-05-15), with the HTTP statuses that it names.
func answers() []channeltest.Answer {
	return []channeltest.Answer{
		{Name: "pair rate limit", Status: 400, Body: refused(131056, "pair rate limit hit by 358401234567"), Want: fault.Retry, Code: "rate_limited", AtLeast: 6 * time.Second},
		{Name: "throughput", Status: 429, Body: refused(130429, "Rate limit hit"), Want: fault.Retry, Code: "rate_limited", AtLeast: time.Second},
		{Name: "app calls", Status: 400, Body: refused(4, "Application request limit reached"), Want: fault.Retry, Code: "rate_limited", AtLeast: time.Minute},
		{Name: "account calls", Status: 400, Body: refused(80007, "Rate limit"), Want: fault.Retry, Code: "rate_limited", AtLeast: time.Minute},
		{Name: "spam limit", Status: 400, Body: refused(131048, "Spam rate limit hit"), Want: fault.Retry, Code: "rate_limited", AtLeast: time.Minute},
		{Name: "window closed", Status: 400, Body: refused(131047, "Re-engagement message"), Want: fault.Permanent, Code: "window_closed"},
		{Name: "undeliverable", Status: 400, Body: refused(131026, "Message undeliverable"), Want: fault.Permanent, Code: "undeliverable"},
		{Name: "token expired", Status: 401, Body: refused(190, "Error validating access token"), Want: fault.Retry, Code: "auth", AtLeast: time.Minute},
		{Name: "not authenticated", Status: 401, Body: refused(0, "AuthException"), Want: fault.Retry, Code: "auth"},
		{Name: "permission", Status: 403, Body: refused(200, "Permissions error"), Want: fault.Retry, Code: "auth"},
		{Name: "payment", Status: 400, Body: refused(131042, "Business eligibility payment issue"), Want: fault.Retry, Code: "auth"},
		{Name: "user ID not supported", Status: 400, Body: refused(131062, "Recipient not supported"), Want: fault.Permanent, Code: "needs_phone"},
		{Name: "parameter", Status: 400, Body: refused(100, "Invalid parameter"), Want: fault.Permanent, Code: "100"},
		{Name: "sender is recipient", Status: 400, Body: refused(131021, "Recipient cannot be sender"), Want: fault.Permanent, Code: "131021"},
		{Name: "a code that is new", Status: 400, Body: refused(139999, "Something new"), Want: fault.Permanent, Code: "139999"},
		{Name: "service down", Status: 503, Body: refused(131016, "Service unavailable"), Want: fault.Retry, Code: "unavailable"},
		{Name: "maintenance", Status: 500, Body: refused(131057, "Account in maintenance mode"), Want: fault.Retry, Code: "unavailable"},
		{Name: "throttled with a 500", Status: 500, Body: refused(130429, "Rate limit hit"), Want: fault.Retry, Code: "rate_limited"},
		{Name: "something went wrong", Status: 500, Body: refused(131000, "Something went wrong"), Want: fault.Uncertain, Code: "131000"},
		{Name: "a code that is new with a 500", Status: 500, Body: refused(139999, "Something new"), Want: fault.Uncertain, Code: "139999"},
		{Name: "429 by a proxy", Status: 429, Body: "slow down", Want: fault.Retry, Code: "rate_limited"},
		{Name: "401 by a proxy", Status: 401, Body: "", Want: fault.Retry, Code: "auth"},
		{Name: "404 by a proxy", Status: 404, Body: "<html>", Want: fault.Permanent, Code: "http_404"},
		{Name: "408 by a proxy", Status: 408, Body: "", Want: fault.Uncertain, Code: "http_408"},
		{Name: "500 by a proxy", Status: 500, Body: "oops", Want: fault.Uncertain, Code: "http_500"},
		{Name: "502 by a proxy", Status: 502, Body: "<html>", Want: fault.Uncertain, Code: "http_502"},
		{Name: "504 by a proxy", Status: 504, Body: "", Want: fault.Uncertain, Code: "http_504"},
		{Name: "redirect", Status: 302, Header: map[string]string{"Location": "https://elsewhere.example/"}, Want: fault.Retry, Code: "redirect"},
		{Name: "accepted without an ID", Status: 200, Body: `{"messages":[]}`, Want: fault.Uncertain, Code: "answer"},
	}
}
