package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aikajana/aikajana/internal/doctor"
	"github.com/aikajana/aikajana/internal/terminal"
)

type doctorCmd struct {
	Account  []string `help:"An account to look at, as CHANNEL/NAME; with a token all that are connected." placeholder:"CHANNEL/NAME"`
	Address  []string `help:"An address of the desk's own whose domain to look at." placeholder:"ADDRESS"`
	Selector []string `name:"dkim-selector" help:"A DKIM selector of the desk's mail; SES shows three for each identity." placeholder:"NAME"`
}

// Help shows an example.
func (doctorCmd) Help() string {
	return "Looks from outside, as providers and customers do: health, clock, certificate, routes, forms, the refusal of webhooks without a signature, " +
		"with a wrong one and for nobody's account (noted at the account as any refusal is; bodies are empty, so none is kept), handshakes, " +
		"and the DNS records of the desk's mail domains. With a token also the socket and every connected account, dead letters and uneven ledgers; " +
		"with an administrator's also handshakes with the right token. Changes no customer's data. Exit 1 when there is a problem.\n\n" +
		"Example: aikajana --server https://desk.example --token $TOKEN doctor --dkim-selector abc --dkim-selector def"
}

// Run looks, and prints what it found.
func (d *doctorCmd) Run(ctx context.Context, s streams, c *cli) error {
	at, err := c.where()
	if err != nil {
		return err
	}
	o := doctor.Options{Server: at.Server, Token: at.Token, Addresses: d.Address, Selectors: d.Selector}
	for _, a := range d.Account {
		channel, name, ok := strings.Cut(a, "/")
		if !ok || channel == "" || name == "" {
			return &exit{exitUsage, fmt.Errorf("--account %q: name an account like whatsapp/main", a)}
		}
		o.Accounts = append(o.Accounts, doctor.Account{Channel: channel, Name: name})
	}
	found, err := doctor.Run(ctx, o)
	if err != nil {
		return &exit{exitUsage, err}
	}
	if err := showFindings(s, found, c.JSON); err != nil {
		return err
	}
	if doctor.Sick(found) {
		return &exit{exitFailed, errors.New("there are problems; what to do stands beside each")}
	}
	return nil
}

func showFindings(s streams, found []doctor.Finding, asJSON bool) error {
	if asJSON {
		out := json.NewEncoder(s.out)
		out.SetIndent("", "  ")
		out.SetEscapeHTML(false)
		return out.Encode(map[string]any{"findings": found, "well": !doctor.Sick(found)})
	}
	for _, f := range found {
		line := fmt.Sprintf("%s %s: %s", f.Check, f.Subject, f.Found)
		if f.Do != "" {
			line += " -> " + f.Do
		}
		if _, err := fmt.Fprintf(s.out, "%-8s %s\n", f.State, terminal.Line(line)); err != nil {
			return err
		}
	}
	return nil
}
