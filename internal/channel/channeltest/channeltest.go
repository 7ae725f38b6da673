// Package channeltest is what every channel has to pass: golden files for what its provider sends, and checks of the
// contract of package channel that hold for all of them.
//
// A channel's test is three lines:
//
//	func TestChannel(t *testing.T) { channeltest.Run(t, form.Adapter{}, options()) }
//	func FuzzParse(f *testing.F)   { channeltest.Fuzz(f, form.Adapter{}, options()) }
//
// # Fixtures
//
// testdata/<case>.http is a webhook request: a request line, headers, an empty line and the body, byte for byte as it comes
// over the wire (a newline at the end of the file belongs to the body). <case>.eml is a mail, with what the receiving side
// knows of it in <case>.mail.json (a [channel.Mail]). <case>.json and <case>.raw are bodies without a request.
//
// Every fixture says which page or published example of the provider it follows, and when that was read. In .http and .eml
// files that is a pseudo header among the first lines, taken out before use; elsewhere it is the text file <case>.source:
//
//	X-Fixture-Source: https://provider.example/docs/webhooks (2026-11-22)
//	X-Fixture-Setting: name=value
//
// The second form overrides one setting of the account for this case.
//
// What must come of it is in <case>.events.json (an array of events) and <case>.err (one line "cause: detail" for each
// rejected item); both, where an envelope is understood in part. "go test -run <test> <package> -update" rewrites them:
// read the difference before committing it.
package channeltest

import (
	"flag"
	"maps"
	"testing"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

var update = flag.Bool("update", false, "rewrite the golden files of the channels' fixtures")

// Options says what the runner cannot know of a channel. The zero value runs the golden files of testdata and the checks of
// Info and Parse.
type Options struct {
	// Dir holds the fixtures; "testdata" when empty.
	Dir string
	// Settings and Secrets are the account's. Secrets are named as in Info.Settings.
	Settings map[string]string
	Secrets  map[string][]string
	// Address, when set, says what is wrong with an address that the channel made: beyond being of a declared kind, not
	// empty, trimmed and valid UTF-8, which is always checked.
	Address func(msg.Address) error
	// Unknown names the cases that hold a type nobody knows yet: each must come out as a message with a readable raw part,
	// or as a Rejected of cause unsupported that carries the item.
	Unknown []string
	// AllowEmpty says that an input may well hold nothing at all (an empty batch). Otherwise every input must give an event
	// or a rejection: nothing disappears.
	AllowEmpty bool
	// Mutations is about how many broken variants of all fixtures together are parsed; 4,000 when 0. Lower it where
	// parsing is slow.
	Mutations int
	// Webhook must be set for a [channel.Webhook], Send for a [channel.Sender].
	Webhook *Webhook
	Send    *Send
}

// Account is the name of the account in every envelope of the runner, and ReceivedAt the time of its receipt.
const Account = "main"

// ReceivedAt is 2026-11-22T12:00:00Z: when every envelope of the runner was received.
const ReceivedAt msg.Time = 1795348800000

// Run checks the adapter against its fixtures and the contract of package channel. Call it from the channel's own folder:
// the sources there are read too.
func Run(t *testing.T, a channel.Adapter, o Options) {
	t.Helper()
	info := a.Info()
	t.Run("Info", func(t *testing.T) { checkInfo(a, t.Errorf) })

	fixtures, err := Fixtures(info, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(fixtures) == 0 {
		t.Fatalf("there is no fixture in %s", o.dir())
	}
	t.Run("Golden", func(t *testing.T) {
		for _, f := range fixtures {
			t.Run(f.Case, func(t *testing.T) { t.Parallel(); golden(t, a, f) })
		}
	})
	t.Run("Contract", func(t *testing.T) {
		for _, f := range fixtures {
			t.Run(f.Case, func(t *testing.T) { t.Parallel(); checkParse(a, o, f, t.Errorf) })
		}
		t.Run("Mutations", func(t *testing.T) { t.Parallel(); checkMutations(a, o, fixtures, t.Errorf) })
		t.Run("Limits", func(t *testing.T) { t.Parallel(); checkLimits(a, o, t.Errorf) })
		t.Run("Unknown", func(t *testing.T) { t.Parallel(); checkUnknown(a, o, fixtures, t.Errorf) })
	})
	if w, ok := a.(channel.Webhook); ok {
		t.Run("Webhook", func(t *testing.T) { runWebhook(t, w, o, fixtures) })
	}
	if s, ok := a.(channel.Sender); ok {
		t.Run("Send", func(t *testing.T) { runSend(t, s, o) })
	}
}

// parse is adapter.Parse with a panic turned into a value.
func parse(a channel.Adapter, e channel.Envelope) (events []msg.Event, panicked any, err error) {
	defer func() { panicked = recover() }()
	events, err = a.Parse(e)
	return events, nil, err
}

// report is t.Errorf, or whatever collects problems when the checks themselves are under test.
type report func(format string, args ...any)

func (o Options) dir() string {
	if o.Dir == "" {
		return "testdata"
	}
	return o.Dir
}

func (o Options) mutations() int {
	if o.Mutations == 0 {
		return 4000
	}
	return o.Mutations
}

// account makes the account under test; extra settings win.
func (o Options) account(info channel.Info, extra map[string]string) *channel.Account {
	settings := map[string]string{}
	maps.Copy(settings, o.Settings)
	maps.Copy(settings, extra)
	secrets := map[string][]string{}
	for name, values := range o.Secrets {
		secrets[name] = append([]string(nil), values...)
	}
	return &channel.Account{Channel: info.ID, ID: Account, Settings: settings, Secrets: secrets}
}
