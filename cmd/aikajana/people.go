package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/terminal"
)

type usersCmd struct {
	Limit int    `short:"n" help:"How many at most, 1 to 200." default:"50" placeholder:"N"`
	After string `help:"Continue behind an earlier page." placeholder:"CURSOR"`
}

// Help shows an example.
func (usersCmd) Help() string { return "Example: aikajana users" }

// Run lists users.
func (c *usersCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Users(ctx, c.After, c.Limit)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	rows := make([][]string, len(a.Value.Items))
	for i, u := range a.Value.Items {
		state := u.Presence
		if u.Disabled {
			state = "disabled"
		}
		rows[i] = []string{u.ID, u.Name, strings.Join(u.Roles, ","), strings.Join(u.Teams, ","), state, u.Email}
	}
	return r.table([]string{"USER", "NAME", "ROLES", "TEAMS", "STATE", "EMAIL"}, rows, "there are no users; see: aikajana invite --help", a.Value.Next)
}

type inviteCmd struct {
	User  string   `arg:"" help:"What the user signs in with, like aino." placeholder:"USER"`
	Name  string   `help:"The name that customers see." placeholder:"TEXT"`
	Email string   `help:"The user's mail address." placeholder:"ADDRESS"`
	Roles []string `help:"agent, lead, administrator." default:"agent" placeholder:"ROLE,…"`
	Teams []string `help:"Teams of the user." placeholder:"TEAM,…"`
}

// Help shows an example.
func (inviteCmd) Help() string {
	return "Makes an invitation that works once, for seven days. The colleague accepts it with \"aikajana accept\".\n\n" +
		"Example: aikajana invite aino --name \"Aino Virtanen\" --roles lead --teams support"
}

// Run invites.
func (c *inviteCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Invite(ctx, client.Invitation{User: c.User, Name: c.Name, Email: c.Email, Roles: c.Roles, Teams: c.Teams})
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	if err := r.say("%s is invited until %s. Hand this over, it is shown only now:", c.User, terminal.New(r.out, r.screen()).When(a.Value.Invitation.ExpiresAt)); err != nil {
		return err
	}
	return r.say("  aikajana --server %s accept %s", r.Server(), a.Value.Token)
}

type acceptCmd struct {
	Invitation string `arg:"" help:"The secret of the invitation." placeholder:"INVITATION"`
	Name       string `help:"The name that customers see." placeholder:"TEXT"`
}

// Help shows an example.
func (acceptCmd) Help() string {
	return "Asks for a password of 10 characters or more; without a terminal it is the first line of standard input.\n\n" +
		"Example: aikajana --server https://desk.example accept 3q2-7w --name \"Aino Virtanen\""
}

// Run accepts.
func (c *acceptCmd) Run(ctx context.Context, r *remote) error {
	password, err := r.secret("A password for yourself, 10 characters or more")
	if err != nil {
		return err
	}
	if err := r.Client.Accept(ctx, c.Invitation, c.Name, password); err != nil {
		return err
	}
	return r.say("welcome: you can sign in at %s", r.Server())
}

type tokensCmd struct {
	List   tokensListCmd   `cmd:"" default:"1" help:"List API tokens, without their secrets."`
	Add    tokensAddCmd    `cmd:"" help:"Make a token."`
	Revoke tokensRevokeCmd `cmd:"" help:"End a token."`
}

type tokensListCmd struct {
	Limit int    `short:"n" help:"How many at most, 1 to 200." default:"50" placeholder:"N"`
	After string `help:"Continue behind an earlier page." placeholder:"CURSOR"`
}

// Help shows an example.
func (tokensListCmd) Help() string { return "Example: aikajana tokens" }

// Run lists tokens.
func (c *tokensListCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Client.Tokens(ctx, c.After, c.Limit)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	s := terminal.New(r.out, r.screen())
	rows := make([][]string, len(a.Value.Items))
	for i, t := range a.Value.Items {
		rows[i] = []string{t.ID, strings.Join(t.Roles, ","), strings.Join(t.Teams, ","), strings.Join(t.Scopes, ","), s.When(t.UsedAt), s.When(t.ExpiresAt), t.Name}
	}
	return r.table([]string{"TOKEN", "ROLES", "TEAMS", "SCOPES", "USED", "EXPIRES", "NAME"}, rows, "there are no tokens", a.Value.Next)
}

type tokensAddCmd struct {
	Name   string        `arg:"" help:"What it is for." placeholder:"NAME"`
	Roles  []string      `help:"agent, lead, administrator." default:"agent" placeholder:"ROLE,…"`
	Teams  []string      `help:"Whose cases it sees." placeholder:"TEAM,…"`
	Scopes []string      `help:"read, write; both when not given." placeholder:"SCOPE,…"`
	For    time.Duration `help:"How long it works, like 720h; for ever when not given." placeholder:"DURATION"`
}

// Help shows an example.
func (tokensAddCmd) Help() string {
	return "The secret is shown once.\n\nExample: aikajana tokens add \"wall display\" --roles lead --teams support --scopes read --for 720h"
}

// Run makes a token.
func (c *tokensAddCmd) Run(ctx context.Context, r *remote) error {
	t := client.Token{Name: c.Name, Roles: c.Roles, Teams: c.Teams, Scopes: c.Scopes}
	if c.For > 0 {
		t.ExpiresAt = msg.TimeOf(time.Now().Add(c.For))
	}
	a, err := r.CreateToken(ctx, t)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	if _, err := fmt.Fprintln(r.err, "token", terminal.Line(a.Value.Token.ID), "is made; its secret, shown only now, is:"); err != nil {
		return err
	}
	return r.say("%s", a.Value.Secret)
}

type tokensRevokeCmd struct {
	Token string `arg:"" name:"id" help:"The token's ID." placeholder:"ID"`
}

// Help shows an example.
func (tokensRevokeCmd) Help() string {
	return "Example: aikajana tokens revoke 4f2c7d"
}

// Run ends a token.
func (c *tokensRevokeCmd) Run(ctx context.Context, r *remote) error {
	if err := r.RevokeToken(ctx, c.Token); err != nil {
		return err
	}
	if r.json {
		return nil
	}
	return r.say("revoked: token %s", c.Token)
}
