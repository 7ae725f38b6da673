package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/terminal"
)

type casesCmd struct {
	State   string `help:"Only open, waiting or snoozed ones." enum:",open,waiting,snoozed" default:"" placeholder:"STATE"`
	Team    string `help:"Only cases of this team."`
	Agent   string `help:"Only cases of this user." placeholder:"USER"`
	Channel string `help:"Only cases that began on this channel." placeholder:"ID"`
	Limit   int    `short:"n" help:"How many at most, 1 to 200." default:"50" placeholder:"N"`
	After   string `help:"Continue behind an earlier page." placeholder:"CURSOR"`
}

// Help shows an example.
func (casesCmd) Help() string {
	return "Lists open cases by deadline, then those that are snoozed or wait for the customer. Solved cases are found at their customer.\n\n" +
		"Example: aikajana cases --team support --state open"
}

// Run shows the work list.
func (c *casesCmd) Run(ctx context.Context, r *remote) error {
	a, err := r.Cases(ctx, client.CaseQuery{State: c.State, Team: c.Team, Agent: c.Agent, Channel: c.Channel, After: c.After, Limit: c.Limit})
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	now := time.Now()
	rows := make([][]string, len(a.Value.Items))
	for i, one := range a.Value.Items {
		rows[i] = []string{one.Reference, string(one.State), until(one.NextDue.Time(), now), one.Channel, one.Agent, one.CustomerName, one.Subject}
	}
	return r.table([]string{"CASE", "STATE", "DUE", "CHANNEL", "AGENT", "CUSTOMER", "SUBJECT"}, rows, "nobody waits", a.Value.Next)
}

type caseCmd struct {
	Case    string    `arg:"" help:"The case's reference or ID." placeholder:"CASE"`
	State   *string   `help:"Set the state: open, waiting, snoozed or solved." enum:"open,waiting,snoozed,solved" placeholder:"STATE"`
	Assign  *string   `help:"Give it to a user; empty takes it away." placeholder:"USER"`
	Team    *string   `help:"Give it to a team." placeholder:"TEAM"`
	Subject *string   `help:"Set the subject." placeholder:"TEXT"`
	Reason  *string   `help:"Set the reason: information, purchase, complaint or repurchase." placeholder:"REASON"`
	Tags    *[]string `help:"Replace the tags." placeholder:"TAG,…"`
	Snooze  string    `help:"Put it away for a while, like 2h." placeholder:"DURATION"`
}

// Help shows an example.
func (caseCmd) Help() string {
	return "Example: aikajana case 7KQ2-M9XD\n\nExample: aikajana case 7KQ2-M9XD --assign aino --tags lamps,broken\n\n" +
		"Example: aikajana case 7KQ2-M9XD --state solved --reason complaint"
}

// Run shows or changes a case.
func (c *caseCmd) Run(ctx context.Context, r *remote) error {
	change := client.CaseChange{State: c.State, Agent: c.Assign, Team: c.Team, Subject: c.Subject, Reason: c.Reason, Tags: c.Tags}
	if c.Snooze != "" {
		d, err := time.ParseDuration(c.Snooze)
		if err != nil || d <= 0 {
			return &exit{exitUsage, fmt.Errorf("--snooze %q is not a duration like 2h", c.Snooze)}
		}
		at := msg.TimeOf(time.Now().Add(d))
		change.SnoozedUntil = &at
	}
	var a *client.Answer[client.Case]
	var err error
	if change == (client.CaseChange{}) {
		a, err = r.Client.Case(ctx, c.Case)
	} else {
		a, err = r.ChangeCase(ctx, c.Case, change)
	}
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	v := &a.Value
	s := terminal.New(r.out, r.screen())
	s.Rule(v.Reference + " " + v.Subject)
	s.Fields(
		terminal.Field{Name: "customer", Value: strings.TrimSpace(v.CustomerName + " " + v.Customer)}, terminal.Field{Name: "state", Value: string(v.State)},
		terminal.Field{Name: "due", Value: strings.TrimSpace(s.When(v.NextDue) + " " + until(v.NextDue.Time(), time.Now()))}, terminal.Field{Name: "snoozed to", Value: s.When(v.SnoozedUntil)},
		terminal.Field{Name: "agent", Value: v.Agent}, terminal.Field{Name: "team", Value: v.Team}, terminal.Field{Name: "channel", Value: v.Channel + " " + v.Account},
		terminal.Field{Name: "reason", Value: v.Reason}, terminal.Field{Name: "tags", Value: strings.Join(v.Tags, ", ")}, terminal.Field{Name: "opened", Value: s.When(v.Opened)},
		terminal.Field{Name: "messages", Value: fmt.Sprintf("%d in, %d out", v.MessagesIn, v.MessagesOut)},
		terminal.Field{Name: "read it", Value: "aikajana timeline " + v.Reference})
	return s.Err()
}

type replyCmd struct {
	Case    string `arg:"" help:"The case's reference or ID." placeholder:"CASE"`
	Text    string `arg:"" optional:"" default:"-" help:"What to say; - reads standard input."`
	Channel string `help:"Answer on this channel rather than where the customer last wrote." placeholder:"ID"`
	Account string `help:"The account to answer from." placeholder:"ID"`
	To      string `help:"One of the customer's addresses, like email:maija@mail.example." placeholder:"KIND:VALUE"`
	Subject string `help:"The subject, for mail; otherwise the case's." placeholder:"TEXT"`
	Key     string `help:"Names this answer: repeated with the same key it is sent once." placeholder:"TEXT"`
}

// Help shows an example.
func (replyCmd) Help() string {
	return "Example: aikajana reply 7KQ2-M9XD \"Hei Maija, katson heti.\"\n\n" +
		"Example: aikajana reply 7KQ2-M9XD --channel email --to email:maija@mail.example < answer.txt"
}

// Run answers.
func (c *replyCmd) Run(ctx context.Context, r *remote) error {
	text, err := r.text(c.Text)
	if err != nil {
		return err
	}
	reply := client.Reply{Text: text, Channel: c.Channel, Account: c.Account, Subject: c.Subject}
	if c.To != "" {
		kind, value, ok := strings.Cut(c.To, ":")
		if !ok {
			return &exit{exitUsage, fmt.Errorf("--to %q is not like email:maija@mail.example", c.To)}
		}
		reply.To = &msg.Address{Kind: kind, Value: value}
	}
	a, err := r.Client.Reply(ctx, c.Case, c.Key, reply)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	to := ""
	if a.Value.Delivery != nil {
		to = " to " + a.Value.Delivery.To.Value
	}
	return r.say("%s: it goes out on %s%s; see how far it is with: aikajana timeline %s", a.Value.State, a.Value.Channel, to, c.Case)
}

type noteCmd struct {
	Case string `arg:"" help:"The case's reference or ID." placeholder:"CASE"`
	Text string `arg:"" optional:"" default:"-" help:"What to note; - reads standard input."`
	Key  string `help:"Names this note: repeated with the same key it is written once." placeholder:"TEXT"`
}

// Help shows an example.
func (noteCmd) Help() string {
	return "Only the desk sees it.\n\nExample: aikajana note 7KQ2-M9XD \"Called twice about the same invoice.\""
}

// Run writes the note.
func (c *noteCmd) Run(ctx context.Context, r *remote) error {
	text, err := r.text(c.Text)
	if err != nil {
		return err
	}
	a, err := r.Client.Note(ctx, c.Case, c.Key, text)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	return r.say("noted in case %s", c.Case)
}

type mergeCmd struct {
	First  string `arg:"" help:"A customer: ID, address or case." placeholder:"CUSTOMER"`
	Second string `arg:"" help:"The customer who is the same person." placeholder:"CUSTOMER"`
}

// Help shows an example.
func (mergeCmd) Help() string {
	return "Nothing moves: the timelines are read together until \"aikajana unmerge\".\n\nExample: aikajana merge maija@mail.example whatsapp.phone:358401234567"
}

// Run merges.
func (c *mergeCmd) Run(ctx context.Context, r *remote) error {
	first, err := r.who(ctx, c.First)
	if err != nil {
		return err
	}
	second, err := r.who(ctx, c.Second)
	if err != nil {
		return err
	}
	a, err := r.Client.Merge(ctx, first.Value.Customer, second.Value.Customer)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	return r.say("%s and %s are one person now; take it back with: aikajana unmerge %s", name(&first.Value), name(&second.Value), a.Value.Merge)
}

func name(c *client.Customer) string {
	if c.Name != "" {
		return c.Name
	}
	return c.Customer
}

type unmergeCmd struct {
	Merge string `arg:"" help:"The merge's ID, or a customer who is part of one merge only." placeholder:"MERGE|CUSTOMER"`
}

// Help shows an example.
func (unmergeCmd) Help() string {
	return "Everybody has their own entries again; nothing is lost.\n\nExample: aikajana unmerge maija@mail.example"
}

// Run takes the merge back.
func (c *unmergeCmd) Run(ctx context.Context, r *remote) error {
	id := c.Merge
	err := r.Client.Unmerge(ctx, id)
	var p *client.Problem
	if errors.As(err, &p) && (p.Status == 404 || p.Status == 400) {
		who, findErr := r.who(ctx, c.Merge)
		if findErr != nil {
			return fmt.Errorf("%w; nor is it a customer: %w", err, findErr)
		}
		switch merges := who.Value.Merges; len(merges) {
		case 0:
			return fmt.Errorf("%s is merged with nobody", name(&who.Value))
		case 1:
			id = merges[0].Merge
		default:
			lines := make([]string, len(merges))
			for i, m := range merges {
				lines[i] = fmt.Sprintf("%s (%s and %s)", m.Merge, m.Customers[0], m.Customers[1])
			}
			return fmt.Errorf("%s is part of several merges; name one: %s", name(&who.Value), strings.Join(lines, ", "))
		}
		err = r.Client.Unmerge(ctx, id)
	}
	if err != nil {
		return err
	}
	if r.json {
		return nil
	}
	return r.say("taken back: merge %s", id)
}

type exportCmd struct {
	Who string `arg:"" help:"A customer: ID, address or case." placeholder:"CUSTOMER"`
	To  string `help:"Write to this file rather than standard output." placeholder:"FILE" type:"path"`
}

// Help shows an example.
func (exportCmd) Help() string {
	return "Gives one JSON document, for the person to have (GDPR articles 15 and 20).\n\nExample: aikajana export maija@mail.example --to maija.json"
}

// Run exports.
func (c *exportCmd) Run(ctx context.Context, r *remote) error {
	who, err := r.who(ctx, c.Who)
	if err != nil {
		return err
	}
	raw, err := r.Client.Export(ctx, who.Value.Customer)
	if err != nil {
		return err
	}
	if c.To == "" {
		return r.print(raw)
	}
	if err := os.WriteFile(c.To, raw, 0o600); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	return r.say("%s written to %s: everything about %s", terminal.Bytes(int64(len(raw))), c.To, name(&who.Value))
}

type eraseCmd struct {
	Who string `arg:"" help:"A customer: ID, address or case." placeholder:"CUSTOMER"`
	Yes bool   `help:"Do not ask."`
}

// Help shows an example.
func (eraseCmd) Help() string {
	return "Erases entries, files, raw input and addresses. It holds against redelivery, replay and restored backups. Somebody who is merged " +
		"with others is refused: take the merges back first.\n\nExample: aikajana erase maija@mail.example --yes"
}

// Run erases.
func (c *eraseCmd) Run(ctx context.Context, r *remote) error {
	who, err := r.who(ctx, c.Who)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("erase %s (customer %s, %d cases)", name(&who.Value), who.Value.Customer, len(who.Value.Cases))
	if err := r.confirm(c.Yes, what); err != nil {
		return err
	}
	a, err := r.Client.Erase(ctx, who.Value.Customer)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(a.Raw)
	}
	return r.say("erased: customer %s", who.Value.Customer)
}
