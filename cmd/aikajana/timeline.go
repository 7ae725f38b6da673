package main

import (
	"context"
	"errors"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/terminal"
	"github.com/aikajana/aikajana/internal/timeline"
)

type timelineCmd struct {
	Who    string `arg:"" help:"A customer's ID, an address of theirs, or a case's reference." placeholder:"CUSTOMER|ADDRESS|CASE"`
	Follow bool   `short:"f" help:"Stay, and draw what comes."`
	Limit  int    `short:"n" help:"How many entries at most, 1 to 200." default:"50" placeholder:"N"`
	Before string `help:"Continue into the past from here, as an earlier page said." placeholder:"CURSOR"`
}

// Help shows an example.
func (timelineCmd) Help() string {
	return "Draws everything that was said on every channel, oldest first: the newest page, or the one before --before.\n\n" +
		"Example: aikajana timeline maija@mail.example --follow\n\nExample: aikajana timeline 7KQ2-M9XD -n 200"
}

// Validate refuses what the server would refuse.
func (c *timelineCmd) Validate() error {
	if c.Limit < 1 || c.Limit > 200 {
		return errors.New("--limit is between 1 and 200")
	}
	if c.Follow && c.Before != "" {
		return errors.New("--follow shows what comes, --before what was: use one")
	}
	return nil
}

// Run draws the timeline.
func (c *timelineCmd) Run(ctx context.Context, r *remote) error {
	who, err := r.who(ctx, c.Who)
	if err != nil {
		return err
	}
	f := newFollower(r, &who.Value, c.Limit)
	if c.Follow && !r.json {
		return f.follow(ctx)
	}
	page, err := r.Timeline(ctx, who.Value.Customer, c.Before, "", c.Limit)
	if err != nil {
		return err
	}
	if r.json {
		return r.print(page.Raw)
	}
	f.draw(ctx)
	f.screen.Person(person(&who.Value))
	if page.Value.Next != "" {
		f.screen.Blank()
		f.screen.Say("earlier entries: aikajana timeline " + who.Value.Customer + " --before " + page.Value.Next)
	}
	for _, e := range page.Value.Items {
		f.screen.Entry(e)
	}
	if len(page.Value.Items) == 0 {
		f.screen.Say("nothing here")
	}
	return f.screen.Err()
}

// person is a customer as the head of a timeline shows them.
func person(c *client.Customer) terminal.Person {
	p := terminal.Person{Name: c.Name, Suggested: len(c.Suggested)}
	for _, i := range c.Identities {
		p.Addresses = append(p.Addresses, i.Address)
	}
	for _, one := range c.Cases {
		due := one.NextDue
		if one.State == timeline.CaseSolved {
			due = 0
		}
		p.Cases = append(p.Cases, terminal.PersonCase{Reference: one.Reference, Subject: one.Subject, State: string(one.State), Agent: one.Agent, Due: due})
	}
	return p
}
