package channeltest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// toy is a channel as small as one can be; its fields break it in one way each.
type toy struct {
	panics, forgets, dropsRest, impure, badKind, leaks, trustsEmpty bool
	calls                                                           *atomic.Int32
}

func (toy) Info() channel.Info {
	return channel.Info{
		ID: "toy", Name: "Toy", Mark: "T", Reference: "none: a test", Identities: []string{"toy.user"}, Scope: "number",
		Settings: []channel.Setting{{Name: "number", Required: true, Help: "The number."}, {Name: "key", Secret: true, Help: "The key."}},
	}
}

func (a toy) Parse(e channel.Envelope) ([]msg.Event, error) {
	var body struct{ Items []json.RawMessage }
	if err := json.Unmarshal(e.Body, &body); err != nil || len(body.Items) == 0 {
		return nil, &channel.Rejected{Cause: channel.CauseMalformed, Detail: "items is not an array with something in it"}
	}
	var events []msg.Event
	var errs []error
	for _, raw := range body.Items {
		var item struct{ ID, From, Text string }
		if err := json.Unmarshal(raw, &item); err != nil || item.ID == "" || strings.TrimSpace(item.From) != item.From || item.From == "" {
			switch {
			case a.panics && string(raw) == "17":
				panic("seventeen")
			case a.forgets:
				continue
			case a.dropsRest:
				return nil, &channel.Rejected{Cause: channel.CauseMalformed, Detail: "one is bad, so all are"}
			}
			errs = append(errs, &channel.Rejected{Cause: channel.CauseMalformed, Detail: "an item has no id or sender", Raw: raw})
			continue
		}
		if a.impure {
			item.Text += fmt.Sprint(a.calls.Add(1))
		}
		event := msg.Event{
			Channel: e.Channel, Account: e.Account, ID: item.ID, Kind: msg.KindMessage, Direction: msg.In, Thread: item.From,
			From: msg.Address{Kind: "toy.user", Value: item.From}, Message: &msg.Message{Text: item.Text},
		}
		if a.badKind {
			event.Kind = msg.KindReceipt
		}
		events = append(events, event)
	}
	return events, errors.Join(errs...)
}

func (a toy) Verify(r *channel.Request) (*channel.Reply, error) {
	given, err := hex.DecodeString(r.Header.Get("X-Toy-Signature"))
	for _, secret := range r.Account.Secrets["key"] {
		if secret == "" && !a.trustsEmpty {
			continue
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(r.Body)
		if err == nil && hmac.Equal(mac.Sum(nil), given) {
			return nil, nil
		}
		if a.leaks {
			return nil, fault.Newf(fault.Denied, "signature", "not signed with %s", secret)
		}
	}
	return nil, fault.Newf(fault.Denied, "signature", "the signature is wrong")
}

func toyOptions() Options {
	return Options{Settings: map[string]string{"number": "1"}, Webhook: &Webhook{
		Secret: "key", Header: "X-Toy-Signature",
		Sign: func(r *channel.Request, secret string) {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write(r.Body)
			r.Header.Set("X-Toy-Signature", hex.EncodeToString(mac.Sum(nil)))
		},
	}}
}

func toyFixture() Fixture {
	return Fixture{
		Case: "two", Path: "testdata/two.http", Source: "none", Method: "POST", URL: &url.URL{Path: "/"}, Header: map[string][]string{},
		Settings: map[string]string{"number": "1"}, info: toy{}.Info(),
		Body: []byte(`{"items":[{"id":"1","from":"a","text":"Hei"},{"id":"2","from":"b","text":"Moi"}]}`),
	}
}

// everyCheck runs what Run runs on one fixture and collects the problems.
func everyCheck(a toy) []string {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	o, f := toyOptions(), toyFixture()
	checkInfo(a, add)
	checkParse(a, o, f, add)
	checkMutations(a, o, []Fixture{f}, add)
	checkLimits(a, o, add)
	checkSignature(a, o, f, add)
	return problems
}

func TestASoundChannelPasses(t *testing.T) {
	t.Parallel()
	if problems := everyCheck(toy{}); len(problems) > 0 {
		t.Errorf("a sound channel has problems:\n%s", strings.Join(problems, "\n"))
	}
}

func TestEachWayOfBeingWrongIsCaught(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	for what, broken := range map[string]struct {
		a    toy
		says string
	}{
		"panics on junk":                    {toy{panics: true}, "Parse panicked"},
		"forgets a bad item":                {toy{forgets: true}, "nothing was rejected in its place"},
		"loses a batch with a bad item":     {toy{dropsRest: true}, "loses the event"},
		"is not pure":                       {toy{impure: true, calls: &calls}, "gives something else the next time"},
		"sets another payload than its own": {toy{badKind: true}, "has the payloads"},
		"tells its secret":                  {toy{leaks: true}, "gives a secret away"},
		"takes an empty secret":             {toy{trustsEmpty: true}, "want fault.Denied"},
	} {
		problems := strings.Join(everyCheck(broken.a), "\n")
		if !strings.Contains(problems, broken.says) {
			t.Errorf("a channel that %s passes: want a problem with %q, got:\n%.500s", what, broken.says, problems)
		}
	}
}

func TestARefusalOfTheWrongKindOrWithSecretsIsCaught(t *testing.T) {
	t.Parallel()
	o := Options{Secrets: map[string][]string{"key": {"the-secret"}}, Send: &Send{Outbound: msg.Outbound{To: msg.Address{Value: "358401234567"}, Text: "Katson heti"}}}
	want := Answer{Name: "limited", Want: fault.Retry, Code: "rate_limited", AtLeast: time.Minute}
	for what, c := range map[string]struct {
		err  error
		says string
	}{
		"sound":             {fault.RetryAfter(time.Minute, "rate_limited", "wait"), ""},
		"no error":          {nil, "got no error"},
		"untyped":           {errors.New("wait"), "want retry, got internal"},
		"another code":      {fault.RetryAfter(time.Minute, "slow", "wait"), "want code"},
		"no wait":           {fault.RetryAfter(time.Second, "rate_limited", "wait"), "want a wait"},
		"holds the secret":  {fault.RetryAfter(time.Minute, "rate_limited", "the-secret"), "repeats a secret"},
		"holds the address": {fault.RetryAfter(time.Minute, "rate_limited", "to 358401234567"), "repeats a secret"},
		"holds the text":    {fault.RetryAfter(time.Minute, "rate_limited", "say Katson heti"), "repeats a secret"},
	} {
		var problems []string
		checkRefusal(o, want, c.err, func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) })
		if got := strings.Join(problems, "; "); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: want a problem with %q, got %q", what, c.says, got)
		}
	}
}

func TestAFixtureWithoutASourceIsRefused(t *testing.T) {
	t.Parallel()
	_, err := Fixtures(toy{}.Info(), Options{Dir: filepath.Join("testdata", "sourceless")})
	if err == nil || !strings.Contains(err.Error(), "does not say what it follows") {
		t.Errorf("want the missing source refused, got %v", err)
	}
}

func TestAMailFixtureKeepsItsBytesAndFacts(t *testing.T) {
	t.Parallel()
	fixtures, err := Fixtures(toy{}.Info(), Options{Dir: filepath.Join("testdata", "mail")})
	if err != nil || len(fixtures) != 1 {
		t.Fatalf("got %d fixtures, %v", len(fixtures), err)
	}
	e := fixtures[0].Envelope()
	if want := "From: Maija <maija@example.fi>\nX-Fixture-Source: not ours, it is further down\n\nHei\n"; string(e.Body) != want {
		t.Errorf("the mail is %q, want %q", e.Body, want)
	}
	if e.Mail == nil || e.Mail.DMARC != "PASS" || e.Settings["address"] != "help@desk.example" {
		t.Errorf("the mail's facts or the case's settings are lost: %+v, %v", e.Mail, e.Settings)
	}
}

func TestFault21_ComparingASecretTheLeakyWayIsFound(t *testing.T) {
	t.Parallel()
	for snippet, leaks := range map[string]bool{
		`if signature == expected {}`:                                       true,
		`if r.Header.Get("X-Hub-Signature-256") != want {}`:                 true,
		`if bytes.Equal(mac.Sum(nil), given) {}`:                            true,
		`if strings.EqualFold(token, other) {}`:                             true,
		`if r.URL.Query().Get("hub.verify_token") == other {}`:              true,
		`if query["hub.verify_token"] == account.Secret("verify_token") {}`: true,
		`switch token { case other: }`:                                      true,
		`if hex.EncodeToString(mac.Sum(nil)) == other {}`:                   true,
		`if slices.Contains(all, secret) {}`:                                true,
		`if !hmac.Equal(mac.Sum(nil), signature) {}`:                        false,
		`if subtle.ConstantTimeCompare(token, other) == 1 {}`:               false,
		`if token == "" || secret == nil || len(signature) != 32 {}`:        false,
		`if setting.Secret && kind == other {}`:                             false,
		`if q.Get("hub.mode") == "subscribe" {}`:                            false,
	} {
		problems, _ := constantTime("snippet.go", []byte("package p\nfunc f() {\n"+snippet+"\n}\n"))
		if (len(problems) > 0) != leaks {
			t.Errorf("%s: found %v, want leaky %v", snippet, problems, leaks)
		}
	}
}

// Run asks the same of each channel that takes webhooks; this finds the ones that forgot to call it. Folders that neither verify
// nor sign anything are left out: "token" and "signature" mean other things in a mail.
func TestFault21_SignaturesAreComparedInConstantTimeInEveryChannel(t *testing.T) {
	t.Parallel()
	sources, err := filepath.Glob(filepath.Join("..", "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	verifies := regexp.MustCompile(`"crypto/(hmac|subtle)"|(?m)^func \(.*\) Verify\(`)
	folders, compares := map[string]bool{}, 0
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		if verifies.Match(text) && !strings.HasSuffix(source, "_test.go") {
			folders[filepath.Dir(source)] = true
		}
	}
	for folder := range folders {
		problems, n := ConstantTime(folder)
		for _, p := range problems {
			t.Errorf("%s: %s", folder, p)
		}
		compares += n
	}
	if compares == 0 {
		t.Error("no channel compares anything in constant time: the check reads the wrong folder")
	}
}
