package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/terminal"
)

type accountsCmd struct {
	List   accountsListCmd   `cmd:"" default:"1" help:"Show what is connected: where its webhook is, when it last heard something, what it refused."`
	Add    accountsAddCmd    `cmd:"" help:"Connect an account, or change one."`
	Rotate accountsRotateCmd `cmd:"" help:"Give a secret a new value; the one before stays valid until the next."`
	Remove accountsRemoveCmd `cmd:"" help:"Disconnect an account."`
}

type accountsListCmd struct{}

// Help shows an example.
func (accountsListCmd) Help() string {
	return "Example: aikajana accounts\n\nExample: aikajana accounts add whatsapp main --set phone_number_id=1055 --secret app_secret=env:WA_APP_SECRET"
}

// Run shows the accounts.
func (c *accountsListCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Accounts(ctx)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	if len(a.Value.Items) == 0 {
		return r.say("nothing is connected; see: aikajana accounts add --help")
	}
	ledgers := map[string]client.Ledger{}
	books, err := r.Client.Reconciliation(ctx)
	if err != nil {
		return err
	}
	for _, l := range books.Value.Items {
		ledgers[l.Channel+"/"+l.Account] = l
	}
	s := terminal.New(r.out, r.screen())
	for i, one := range a.Value.Items {
		if i > 0 {
			s.Blank()
		}
		account(s, &one, ledgers)
	}
	return s.Err()
}

// account draws one account.
func account(s *terminal.Screen, a *client.Account, ledgers map[string]client.Ledger) {
	s.Rule(a.Channel + "/" + a.Account)
	verify := ""
	switch {
	case a.VerifyToken != "":
		verify = a.VerifyToken + " (paste it at the provider, beside the address)"
	case slices.Contains(a.SecretsSet, "verify_token"):
		verify = "set; administrators are shown it"
	}
	where := ""
	if a.Declared {
		where = "the configuration file: change it there"
	}
	last := s.When(a.LastDelivery)
	if last == "" {
		last = "never"
	}
	refusal := "none"
	if a.LastRefusal != nil {
		refusal = s.When(a.LastRefusal.At) + ": " + a.LastRefusal.Reason
	}
	fields := []terminal.Field{
		{Name: "webhook", Value: a.WebhookURL}, {Name: "verify token", Value: verify}, {Name: "team", Value: a.Team}, {Name: "declared in", Value: where},
	}
	for _, name := range slices.Sorted(maps.Keys(a.Settings)) {
		fields = append(fields, terminal.Field{Name: name, Value: a.Settings[name]})
	}
	fields = append(fields, terminal.Field{Name: "secrets set", Value: strings.Join(a.SecretsSet, ", ")}, terminal.Field{Name: "last delivery", Value: last},
		terminal.Field{Name: "last refusal", Value: refusal, Loud: a.LastRefusal != nil && a.LastRefusal.At > a.LastDelivery})
	if l, ok := ledgers[a.Channel+"/"+a.Account]; ok {
		fields = append(fields, terminal.Field{Name: "events", Value: events(&l)}, terminal.Field{Name: "envelopes", Value: envelopes(&l), Loud: !l.Balanced})
	}
	s.Fields(fields...)
}

func events(l *client.Ledger) string {
	return fmt.Sprintf("received %d = stored %d + duplicate %d + quarantined %d + pending %d + dead %d", l.Received, l.Stored, l.Duplicate, l.Quarantined, l.Pending, l.Dead)
}

func envelopes(l *client.Ledger) string {
	sign := "="
	if !l.Balanced {
		sign = "≠"
	}
	text := fmt.Sprintf("accepted %d %s processed %d + queued %d + dead %d", l.Envelopes.Accepted, sign, l.Envelopes.Processed, l.Envelopes.Queued, l.Envelopes.Dead)
	if l.Envelopes.Missing != "" {
		text += "; missing: " + l.Envelopes.Missing
	}
	return text
}

type accountsAddCmd struct {
	Channel string            `arg:"" help:"The channel, like whatsapp." placeholder:"CHANNEL"`
	Account string            `arg:"" help:"What to call the account, like main." placeholder:"ACCOUNT"`
	Set     map[string]string `help:"A setting; repeat for more. Settings that are not named stay." placeholder:"NAME=VALUE" mapsep:"none"`
	Secret  map[string]string `help:"A secret: env:NAME, file:PATH, literal:VALUE, or - to be asked for it." placeholder:"NAME=env:VAR" mapsep:"none"`
	Team    *string           `help:"Who hears about its new cases." placeholder:"TEAM"`
}

// Help shows an example.
func (accountsAddCmd) Help() string {
	return "References to secrets are resolved here, where the command runs; the server gets the values.\n\n" +
		"Example: aikajana accounts add whatsapp main --set phone_number_id=1055 --secret app_secret=env:WA_APP_SECRET --secret access_token=-\n\n" +
		"Example: aikajana accounts add email main --set address=help@desk.example --team support"
}

// Run connects the account.
func (c *accountsAddCmd) Run(ctx context.Context, r *remote) error {
	change := client.AccountChange{Team: c.Team, Secrets: map[string]string{}}
	have, err := r.Client.Account(ctx, c.Channel, c.Account)
	var p *client.Problem
	switch {
	case err == nil:
		change.Settings = have.Value.Settings
	case !errors.As(err, &p) || p.Status != 404:
		return err
	}
	if change.Settings == nil {
		change.Settings = map[string]string{}
	}
	maps.Copy(change.Settings, c.Set)
	for _, name := range slices.Sorted(maps.Keys(c.Secret)) {
		if change.Secrets[name], err = r.resolve(name, c.Secret[name]); err != nil {
			return err
		}
	}
	a, err := r.PutAccount(ctx, c.Channel, c.Account, change)
	if err != nil {
		return r.explain(ctx, c.Channel, err)
	}
	if r.json {
		return r.print(a.Raw)
	}
	s := terminal.New(r.out, r.screen())
	account(s, &a.Value, nil)
	return s.Err()
}

// explain adds what the channel asks for to a refusal of its settings.
func (r *remote) explain(ctx context.Context, channel string, err error) error {
	var p *client.Problem
	if !errors.As(err, &p) || p.Status != 400 && p.Status != 404 && p.Status != 422 {
		return err
	}
	all, listErr := r.Channels(ctx)
	if listErr != nil {
		return err
	}
	names := make([]string, len(all.Value.Items))
	for i, one := range all.Value.Items {
		names[i] = one.ID
		if one.ID != channel {
			continue
		}
		var wants []string
		for _, s := range one.Settings {
			kind := "--set "
			if s.Secret {
				kind = "--secret "
			}
			if s.Required {
				wants = append(wants, kind+s.Name)
			}
		}
		if len(wants) > 0 {
			return fmt.Errorf("%w; %s needs %s", err, channel, strings.Join(wants, ", "))
		}
		return err
	}
	return fmt.Errorf("there is no channel %q; there are %s", channel, strings.Join(names, ", "))
}

// resolve gives the value that a reference stands for.
func (s streams) resolve(name, reference string) (string, error) {
	if reference == "-" {
		value, err := s.secret(name)
		if err == nil && value == "" {
			err = &exit{exitUsage, fmt.Errorf("secret %s: nothing was given", name)}
		}
		return value, err
	}
	value, err := app.Lookup{Env: os.LookupEnv, ReadFile: os.ReadFile}.Resolve("secret "+name, reference)
	if err != nil {
		return "", &exit{exitUsage, fmt.Errorf("%w; or - to be asked for it", err)}
	}
	return value, nil
}

type accountsRotateCmd struct {
	Channel string `arg:"" help:"The channel." placeholder:"CHANNEL"`
	Account string `arg:"" help:"The account." placeholder:"ACCOUNT"`
	Secret  string `arg:"" help:"Which secret, like app_secret." placeholder:"SECRET"`
	Value   string `help:"The new value: env:NAME, file:PATH, literal:VALUE, or - to be asked for it." default:"-" placeholder:"REFERENCE"`
}

// Help shows an example.
func (accountsRotateCmd) Help() string {
	return "Deliveries signed with the value before are believed until the next rotation, so that there is no gap.\n\n" +
		"Example: aikajana accounts rotate whatsapp main app_secret --value file:/run/secrets/wa"
}

// Run rotates the secret.
func (c *accountsRotateCmd) Run(ctx context.Context, r *remote) error {
	value, err := r.resolve(c.Secret, c.Value)
	if err != nil {
		return err
	}
	if _, err := r.Client.Account(ctx, c.Channel, c.Account); err != nil {
		return err
	}
	a, err := r.PutAccount(ctx, c.Channel, c.Account, client.AccountChange{Secrets: map[string]string{c.Secret: value}})
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	return r.say("%s of %s/%s has a new value; the one before stays valid until the next rotation", c.Secret, c.Channel, c.Account)
}

type accountsRemoveCmd struct {
	Channel string `arg:"" help:"The channel." placeholder:"CHANNEL"`
	Account string `arg:"" help:"The account." placeholder:"ACCOUNT"`
	Yes     bool   `help:"Do not ask."`
}

// Help shows an example.
func (accountsRemoveCmd) Help() string {
	return "Forgets its settings and secrets. What came in through it stays; further deliveries are refused.\n\nExample: aikajana accounts remove whatsapp old --yes"
}

// Run disconnects the account.
func (c *accountsRemoveCmd) Run(ctx context.Context, r *remote) error {
	if err := r.confirm(c.Yes, "disconnect "+c.Channel+"/"+c.Account+" and forget its secrets"); err != nil {
		return err
	}
	if err := r.DeleteAccount(ctx, c.Channel, c.Account); err != nil {
		return err
	}
	if r.json {
		return nil
	}
	return r.say("disconnected: %s/%s", c.Channel, c.Account)
}
