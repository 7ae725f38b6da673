package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
)

// Config is what a configuration file declares: the accounts, as code.
type Config struct {
	Accounts []AccountConfig `json:"accounts"`
	// Relay is the SMTP relay that mail leaves by; without one mail answers wait.
	Relay *RelayConfig `json:"relay,omitempty"`
	// NotifyFrom is the address that notifications to staff come from; none are mailed without one.
	NotifyFrom string `json:"notify_from,omitempty"`
}

// RelayConfig names an SMTP relay.
type RelayConfig struct {
	// Addr is host:port.
	Addr string `json:"addr"`
	// Username and Password sign in; Password is a reference like those of secrets.
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	// Security is "starttls" (the default unless the relay is on this machine), "tls" or "none".
	Security string `json:"security,omitempty"`
}

// AccountConfig declares one account. Values of secrets are "env:NAME", "file:PATH" or "literal:VALUE".
type AccountConfig struct {
	Channel  string            `json:"channel"`
	Account  string            `json:"account"`
	Team     string            `json:"team,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"`
}

// ReadConfig reads a configuration file. A field that it does not know is refused: a setting that is mistyped must not be
// ignored.
func ReadConfig(path string) (*Config, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	c := new(Config)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil {
		return nil, fmt.Errorf("read the configuration %s: %w", path, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the configuration %s: something stands behind the end", path)
	}
	return c, nil
}

// Lookup resolves a reference to a secret.
type Lookup struct {
	Env      func(string) (string, bool)
	ReadFile func(string) ([]byte, error)
}

// SystemLookup resolves from the process's environment and files.
func SystemLookup() Lookup { return Lookup{Env: os.LookupEnv, ReadFile: os.ReadFile} }

// Resolve gives the value that a reference stands for; errors are Invalid and name the field.
func (l Lookup) Resolve(field, reference string) (string, error) {
	kind, rest, ok := strings.Cut(reference, ":")
	switch {
	case ok && kind == "literal":
		return rest, nil
	case ok && kind == "env":
		value, set := l.Env(rest)
		if !set || value == "" {
			return "", fault.Field(field, "the environment variable %s is not set", rest)
		}
		return value, nil
	case ok && kind == "file":
		value, err := l.ReadFile(rest)
		if err != nil {
			return "", fault.Field(field, "%w", err)
		}
		return strings.TrimRight(string(value), "\r\n"), nil
	}
	return "", fault.Field(field, "a secret is written env:NAME, file:PATH or literal:VALUE")
}

// Declare writes the accounts of a configuration: new ones are connected, those that it declared before and does not any
// more are left as they are, and changed by whoever administers them.
func (a *App) Declare(ctx context.Context, c *Config, secrets secret.Store, look Lookup) error {
	for i := range c.Accounts {
		one := &c.Accounts[i]
		where := fmt.Sprintf("accounts[%d] (%s/%s)", i, one.Channel, one.Account)
		adapter, ok := a.Channels.Get(one.Channel)
		if !ok {
			return fmt.Errorf("%s: %w", where, fault.Field("channel", "there is no channel %q; there are %s", one.Channel, strings.Join(a.Channels.IDs(), ", ")))
		}
		info := adapter.Info()
		if err := CheckSettings(adapter, one.Settings); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		names := make([]string, 0, len(one.Secrets))
		for name, reference := range one.Secrets {
			if err := knownSecret(&info, name); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			value, err := look.Resolve("secrets."+name, reference)
			if err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			if err := rotate(ctx, secrets, pipeline.SecretName(one.Channel, one.Account, name), value); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			names = append(names, name)
		}
		slices.Sort(names)
		err := a.Store.PutAccount(ctx, store.Connected{
			Channel: one.Channel, Account: one.Account, Team: one.Team, Settings: one.Settings, Secrets: names, Declared: true,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	a.Pipeline.ForgetAccounts()
	return nil
}

// rotate makes value the current one and keeps the one before it valid, so that a provider that still signs with the old
// one is believed until the next change.
func rotate(ctx context.Context, secrets secret.Store, name, value string) error {
	have, err := secrets.Get(ctx, name)
	if err != nil && !errors.Is(err, secret.ErrNotFound) {
		return err
	}
	if len(have) > 0 && have[0] == value {
		return nil
	}
	values := []string{value}
	if len(have) > 0 {
		values = append(values, have[0])
	}
	return secrets.Put(ctx, name, values)
}

func knownSecret(info *channel.Info, name string) error {
	for _, s := range info.Settings {
		if s.Name == name && s.Secret {
			return nil
		}
	}
	return fault.Field("secrets."+name, "channel %s has no such secret", info.ID)
}

// CommonSettings are the settings that every account may have beside its channel's own.
func CommonSettings() []channel.Setting {
	return []channel.Setting{
		{Name: "api_base", Help: "Where the provider's API is; for a stand-in or a proxy.", Pattern: `https?://[^\s]+`},
		{Name: "join_open_case", Default: "yes", Help: "Whether a message joins the customer's newest open case on any channel.", Pattern: "yes|no"},
		{Name: "first_answer", Help: "The promised time to a first answer, like 30m or 24h.", Pattern: `([0-9]+(s|m|h))+`},
		{Name: "acknowledge", Default: "no", Help: "Whether the first message of a case is acknowledged at once.", Pattern: "yes|no"},
		{Name: "language", Help: "The language of automatic messages when the customer's is not known: fi, sv or en.", Pattern: "fi|sv|en"},
		{Name: "sender_name", Help: "The name that customers see on automatic messages."},
	}
}

// CheckSettings holds settings to what the channel declares. Errors are Invalid and name the field.
func CheckSettings(adapter channel.Adapter, settings map[string]string) error {
	info := adapter.Info()
	if err := checkPatterns(&info, settings); err != nil {
		return err
	}
	if own, ok := adapter.(channel.SettingsChecker); ok {
		return own.CheckSettings(settings)
	}
	return nil
}

func checkPatterns(info *channel.Info, settings map[string]string) error {
	known := map[string]channel.Setting{}
	for _, s := range append(CommonSettings(), info.Settings...) {
		if !s.Secret {
			known[s.Name] = s
		}
	}
	for name, value := range settings {
		s, ok := known[name]
		if !ok {
			return fault.Field("settings."+name, "channel %s has no such setting", info.ID)
		}
		if s.Pattern != "" && value != "" {
			pattern, err := regexp.Compile(`^(?:` + s.Pattern + `)$`)
			if err != nil {
				return fmt.Errorf("channel %s declares a bad pattern for %s: %w", info.ID, name, err)
			}
			if !pattern.MatchString(value) {
				return fault.Field("settings."+name, "%q does not fit; %s", value, s.Help)
			}
		}
	}
	for _, s := range info.Settings {
		if s.Required && !s.Secret && s.Default == "" && settings[s.Name] == "" {
			return fault.Field("settings."+s.Name, "it is required: %s", s.Help)
		}
	}
	return nil
}

// ResolveSecrets gives the declared secrets in clear, for commands that work without a store.
func (a *AccountConfig) ResolveSecrets(look Lookup) (map[string][]string, error) {
	secrets := make(map[string][]string, len(a.Secrets))
	for name, reference := range a.Secrets {
		value, err := look.Resolve("secrets."+name, reference)
		if err != nil {
			return nil, err
		}
		secrets[name] = []string{value}
	}
	return secrets, nil
}
