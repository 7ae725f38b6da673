package main

import (
	"context"
	"errors"
	"time"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/msg"
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
	f := &follower{remote: r, person: who.Value, limit: c.Limit}
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

// follower draws a timeline and goes on as it grows.
type follower struct {
	*remote
	person client.Customer
	limit  int
	screen *terminal.Screen
	// seen are the entries on the screen, by ID, with the time of their last change.
	seen   map[string]msg.Time
	cases  map[string]terminal.CaseName
	cursor string
}

// draw prepares a screen that knows the names of things. Names are a comfort: without the right to read them IDs are shown.
func (f *follower) draw(ctx context.Context) {
	o := f.remote.screen()
	o.Marks, o.Agents, o.Cases = map[string]string{}, map[string]string{}, map[string]terminal.CaseName{}
	if channels, err := f.Channels(ctx); err == nil {
		for _, c := range channels.Value.Items {
			o.Marks[c.ID] = c.Mark
		}
	}
	if users, err := f.Users(ctx, "", 200); err == nil {
		for _, u := range users.Value.Items {
			o.Agents[u.ID] = u.Name
		}
	}
	for _, c := range f.person.Cases {
		o.Cases[c.Case] = terminal.CaseName{Reference: c.Reference, Subject: c.Subject}
	}
	f.screen, f.seen, f.cases = terminal.New(f.out, o), map[string]msg.Time{}, o.Cases
}

// Between attempts to reach the server again.
const (
	firstPause = 500 * time.Millisecond
	longPause  = 15 * time.Second
)

// follow draws what there is and then what comes. The ticket is taken before the page is read, so nothing falls between
// the two; when the connection breaks it goes on behind the last event.
func (f *follower) follow(ctx context.Context) error {
	wait := firstPause
	for first := true; ; first = false {
		err := f.round(ctx, first, func() { wait = firstPause })
		var away *client.Unreachable
		var problem *client.Problem
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the reader has seen enough
		case f.screen == nil, errors.As(err, &problem) && problem.Status != 503 && problem.Status != 429:
			return err
		case errors.Is(err, client.ErrCursor):
			f.cursor = ""
		case !errors.As(err, &away) && problem == nil:
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
		wait = min(2*wait, longPause)
	}
}

// round is one connection.
func (f *follower) round(ctx context.Context, first bool, connected func()) error {
	ticket, err := f.Ticket(ctx)
	if err != nil {
		return err
	}
	if first || f.cursor == "" {
		if err := f.read(ctx, first); err != nil {
			return err
		}
		f.cursor = ticket.Value.Cursor
	}
	return f.Follow(ctx, ticket.Value.Ticket, f.cursor, func(e *client.Event) error {
		connected()
		return f.event(ctx, e)
	})
}

// read draws the newest page; what is on the screen already is not drawn again.
func (f *follower) read(ctx context.Context, first bool) error {
	page, err := f.Timeline(ctx, f.person.Customer, "", "", f.limit)
	if err != nil {
		return err
	}
	if first {
		f.draw(ctx)
		f.screen.Person(person(&f.person))
	}
	for _, e := range page.Value.Items {
		f.show(ctx, e)
	}
	return f.screen.Err()
}

func (f *follower) event(ctx context.Context, e *client.Event) error {
	if e.Cursor != "" {
		f.cursor = e.Cursor
	}
	switch {
	case e.Type == "refetch":
		return f.read(ctx, false)
	case e.Entry != nil && f.ours(e.Entry.Customer):
		f.show(ctx, e.Entry)
	}
	return f.screen.Err()
}

func (f *follower) ours(customer string) bool {
	if customer == f.person.Customer {
		return true
	}
	for _, c := range f.person.Person {
		if c == customer {
			return true
		}
	}
	return false
}

// show draws an entry that is new, or says how one on the screen has changed. A case that was opened meanwhile is asked for
// once, so that it has a name.
func (f *follower) show(ctx context.Context, e *timeline.Entry) {
	if _, known := f.cases[e.Case]; !known {
		if c, err := f.Case(ctx, e.Case); err == nil {
			f.cases[e.Case] = terminal.CaseName{Reference: c.Value.Reference, Subject: c.Value.Subject}
		}
	}
	before, known := f.seen[e.Entry]
	f.seen[e.Entry] = e.ChangedAt
	switch {
	case !known:
		f.screen.Entry(e)
	case e.ChangedAt > before:
		f.screen.Changed(e)
	}
}
