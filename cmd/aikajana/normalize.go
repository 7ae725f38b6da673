package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/all"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

type normalizeCmd struct {
	Channel string   `required:"" help:"The channel that the payload came from." placeholder:"ID"`
	Config  string   `help:"JSON file that declares accounts; for settings and, with --verify, secrets." type:"existingfile" placeholder:"FILE"`
	Account string   `help:"The account of the configuration." placeholder:"ID"`
	Header  []string `help:"A header of the request, like 'Content-Type: application/json'." placeholder:"'K: V'" sep:"none"`
	URL     string   `name:"url" help:"The address as the provider called it, for signatures that cover it." default:"http://localhost/hooks" placeholder:"URL"`
	Verify  bool     `help:"Check the signature too."`
	File    string   `arg:"" optional:"" default:"-" help:"The raw payload; - reads standard input."`
}

// Help shows an example.
func (normalizeCmd) Help() string {
	return "Prints one event per line as JSON. What was refused or not understood goes to stderr as {\"cause\":…,\"detail\":…}, exit 3; " +
		"a wrong signature is exit 4.\n\nExample: aikajana normalize --channel whatsapp payload.json"
}

// Run parses the payload and prints the events.
func (c *normalizeCmd) Run(s streams) error {
	registry, err := channel.NewRegistry(all.Adapters()...)
	if err != nil {
		return err
	}
	adapter, ok := registry.Get(c.Channel)
	if !ok {
		return &exit{exitUsage, fmt.Errorf("there is no channel %q; there are %s", c.Channel, strings.Join(registry.IDs(), ", "))}
	}
	body, err := c.read(s)
	if err != nil {
		return err
	}
	header, err := c.header()
	if err != nil {
		return &exit{exitUsage, err}
	}
	account, err := c.account(adapter)
	if err != nil {
		return err
	}
	if c.Verify {
		if err := c.verify(adapter, account, header, body); err != nil {
			return err
		}
	}
	envelope := channel.Envelope{
		ID: "normalize", Channel: c.Channel, Account: account.ID, Header: header, Body: body, Settings: account.Settings,
	}
	if u, err := url.Parse(c.URL); err == nil {
		envelope.Query = u.RawQuery
	}
	return printEvents(s, adapter, envelope)
}

func (c *normalizeCmd) read(s streams) ([]byte, error) {
	if c.File == "-" {
		return io.ReadAll(s.in)
	}
	return os.ReadFile(c.File)
}

func (c *normalizeCmd) header() (http.Header, error) {
	h := http.Header{}
	for _, line := range c.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) == "" {
			return nil, fmt.Errorf("--header %q is not like 'Content-Type: application/json'", line)
		}
		h.Add(textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value))
	}
	return h, nil
}

// account is the one of the configuration, or one without any settings.
func (c *normalizeCmd) account(adapter channel.Adapter) (*channel.Account, error) {
	account := &channel.Account{Channel: c.Channel, ID: c.Account, Settings: map[string]string{}, Secrets: map[string][]string{}}
	if account.ID == "" {
		account.ID = "main"
	}
	if c.Config == "" {
		return account, nil
	}
	config, err := app.ReadConfig(c.Config)
	if err != nil {
		return nil, err
	}
	for i := range config.Accounts {
		one := &config.Accounts[i]
		if one.Channel != c.Channel || c.Account != "" && one.Account != c.Account {
			continue
		}
		if account.Secrets, err = one.ResolveSecrets(app.SystemLookup()); err != nil {
			return nil, err
		}
		account.ID, account.Settings = one.Account, one.Settings
		return account, nil
	}
	return nil, &exit{exitUsage, fmt.Errorf("%s declares no account %q of channel %s", c.Config, c.Account, adapter.Info().ID)}
}

func (c *normalizeCmd) verify(adapter channel.Adapter, account *channel.Account, header http.Header, body []byte) error {
	hook, ok := adapter.(channel.Webhook)
	if !ok {
		return &exit{exitUsage, fmt.Errorf("channel %s has no webhook to verify", c.Channel)}
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return &exit{exitUsage, fmt.Errorf("--url: %w", err)}
	}
	r := &channel.Request{Account: account, Method: http.MethodPost, URL: u, Header: header, Body: body, Now: msg.TimeOf(time.Now())}
	if _, err := hook.Verify(r); err != nil {
		if fault.Of(err) == fault.Denied {
			return &exit{exitForged, fmt.Errorf("the signature is wrong: %w", err)}
		}
		return err
	}
	return nil
}

// refusal is how a rejected part is shown.
type refusal struct {
	Cause  channel.Cause `json:"cause"`
	Detail string        `json:"detail"`
}

func printEvents(s streams, adapter channel.Adapter, envelope channel.Envelope) (err error) {
	defer func() {
		if r := recover(); r != nil { // a defect of the adapter: the pipeline would quarantine it
			err = refuse(s, []*channel.Rejected{{Cause: channel.CauseInternal, Detail: fmt.Sprint("the adapter panicked: ", r)}})
		}
	}()
	events, parseErr := adapter.Parse(envelope)
	out := json.NewEncoder(s.out)
	out.SetEscapeHTML(false)
	for i := range events {
		if err := out.Encode(&events[i]); err != nil {
			return fmt.Errorf("print an event: %w", err)
		}
	}
	rejected := channel.Rejections(parseErr)
	if len(rejected) == 0 {
		return nil
	}
	return refuse(s, rejected)
}

func refuse(s streams, rejected []*channel.Rejected) error {
	errs := json.NewEncoder(s.err)
	errs.SetEscapeHTML(false)
	for _, r := range rejected {
		if err := errs.Encode(refusal{r.Cause, r.Detail}); err != nil {
			return fmt.Errorf("print a refusal: %w", err)
		}
	}
	return &exit{code: exitRefused}
}
