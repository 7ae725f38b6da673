package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/terminal"
	"github.com/aikajana/aikajana/internal/timeline"
)

// follower draws a timeline and goes on as it grows.
type follower struct {
	*remote
	person client.Customer
	limit  int
	screen *terminal.Screen
	// seen are the entries on the screen, by ID.
	seen   map[string]drawn
	cases  map[string]terminal.CaseName
	cursor string
	// chance is some number from 0 up to n without it; sleep waits, and says whether it may go on. The tests choose them.
	chance func(n time.Duration) time.Duration
	sleep  func(ctx context.Context, d time.Duration) bool
}

func newFollower(r *remote, person *client.Customer, limit int) *follower {
	return &follower{remote: r, person: *person, limit: limit, chance: rand.N[time.Duration], sleep: sleep}
}

// sleep waits, or until ctx ends: then it is false.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// drawn is an entry as it was drawn last. Two changes may fall into one millisecond, so the time alone does not tell.
type drawn struct {
	at  msg.Time
	sum [sha256.Size]byte
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
	f.screen, f.seen, f.cases = terminal.New(f.out, o), map[string]drawn{}, o.Cases
	f.name()
}

// name learns what the person's cases are called.
func (f *follower) name() {
	for _, c := range f.person.Cases {
		f.cases[c.Case] = terminal.CaseName{Reference: c.Reference, Subject: c.Subject}
	}
}

const (
	// firstPause and longPause are between attempts to reach the server again, give or take half of it: when a server restarts,
	// every client loses it at once, and API Gateway opens 500 new sockets a second (docs/aws/limits.md).
	firstPause = 500 * time.Millisecond
	longPause  = 15 * time.Second
	// lookEvery is how often it is asked who the person is: merging and erasing are no events of an entry. After an event of
	// somebody else, who may have become the same person, it is asked lookSoon.
	lookEvery = 5 * time.Second
	lookSoon  = 500 * time.Millisecond
	// catchUpPage is how much is read at once to catch up, and mostCaughtUp how much in all.
	catchUpPage  = 50
	mostCaughtUp = 10_000
)

// errOver says that there is nobody to follow any more.
var errOver = errors.New("the person is gone")

// follow draws what there is and then what comes. The ticket is taken before the page is read, so nothing falls between
// the two; when the connection breaks it goes on behind the last event.
func (f *follower) follow(ctx context.Context) error {
	wait := firstPause
	for first := true; ; first = false {
		err := f.round(ctx, first, func() { wait = firstPause })
		var away *client.Unreachable
		var problem *client.Problem
		refused := errors.As(err, &problem)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the reader has seen enough
		case f.screen != nil && (errors.Is(err, errOver) || refused && problem.Status == 404):
			f.screen.Blank()
			f.screen.Say("this person was erased, or is not yours to see any more: nothing more will come")
			return f.screen.Err()
		case f.screen == nil, refused && problem.Status != 503 && problem.Status != 429:
			return err
		case errors.Is(err, client.ErrCursor):
			f.cursor = ""
		case !errors.As(err, &away) && !refused:
			return err
		}
		if !f.sleep(ctx, wait/2+f.chance(wait)) {
			return nil
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
	switch {
	case first:
		err = f.begin(ctx)
	case f.cursor == "":
		err = f.catchUp(ctx)
	default:
		err = f.look(ctx) // whatever happened meanwhile
	}
	if err != nil {
		return err
	}
	if f.cursor == "" {
		f.cursor = ticket.Value.Cursor
	}
	ctx, stop := context.WithCancel(ctx)
	events, ended := make(chan *client.Event), make(chan error, 1)
	cursor := f.cursor
	go func() {
		ended <- f.Follow(ctx, &ticket.Value, cursor, func(e *client.Event) error {
			select {
			case events <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	over, err := f.live(ctx, events, ended, connected)
	stop()
	if !over { // nothing may be drawn behind our back
		if late := <-ended; err == nil {
			err = late
		}
	}
	return err
}

// live draws what the connection brings until it is over, or something fails.
func (f *follower) live(ctx context.Context, events <-chan *client.Event, ended <-chan error, connected func()) (over bool, err error) {
	next := time.Now().Add(lookEvery)
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	for {
		select {
		case e := <-events:
			connected()
			stranger, err := f.event(ctx, e)
			if err != nil {
				return false, err
			}
			if soon := time.Now().Add(lookSoon); stranger && soon.Before(next) {
				next = soon
				look.Reset(lookSoon)
			}
		case <-look.C:
			if err := f.look(ctx); err != nil {
				return false, err
			}
			next = time.Now().Add(lookEvery)
			look.Reset(lookEvery)
		case err := <-ended:
			return true, err
		}
	}
}

// begin draws the person and the newest page.
func (f *follower) begin(ctx context.Context) error {
	page, err := f.Timeline(ctx, f.person.Customer, "", "", f.limit)
	if err != nil {
		return err
	}
	f.draw(ctx)
	f.screen.Person(person(&f.person))
	for _, e := range page.Value.Items {
		f.show(ctx, e)
	}
	return f.screen.Err()
}

// catchUp draws what is not on the screen yet: it reads back from the newest entry until it meets one that is.
func (f *follower) catchUp(ctx context.Context) error {
	var pages [][]*timeline.Entry
	before := ""
	for read := 0; read < mostCaughtUp; read += catchUpPage {
		page, err := f.Timeline(ctx, f.person.Customer, before, "", catchUpPage)
		if err != nil {
			return err
		}
		pages = append(pages, page.Value.Items)
		before = page.Value.Next
		met := slices.ContainsFunc(page.Value.Items, func(e *timeline.Entry) bool { _, known := f.seen[e.Entry]; return known })
		if before == "" || met || len(f.seen) == 0 {
			before = ""
			break
		}
	}
	if before != "" {
		f.screen.Blank()
		f.screen.Say("too much came to draw it all; what is left out: aikajana timeline " + f.person.Customer + " --before " + before)
	}
	for _, page := range slices.Backward(pages) {
		for _, e := range page {
			f.show(ctx, e)
		}
	}
	return f.screen.Err()
}

// look asks who the person is now. Whoever was merged or taken apart meanwhile is drawn anew.
func (f *follower) look(ctx context.Context) error {
	c, err := f.Customer(ctx, f.person.Customer)
	var problem *client.Problem
	switch {
	case errors.As(err, &problem) && problem.Status == 404:
		return errOver
	case err != nil:
		return nil //nolint:nilerr // who cannot be reached now is asked again; the socket says when it is over
	}
	was := f.person.Person
	f.person = c.Value
	f.name()
	if same(was, c.Value.Person) {
		return nil
	}
	f.screen.Blank()
	f.screen.Person(person(&f.person))
	return f.catchUp(ctx)
}

// same says that two lists hold the same.
func same(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// event draws an event of the person's, and says whether it is somebody else's.
func (f *follower) event(ctx context.Context, e *client.Event) (stranger bool, err error) {
	if e.Cursor != "" {
		f.cursor = e.Cursor
	}
	switch {
	case e.Type == "refetch":
		err = f.catchUp(ctx)
	case e.Customer != "" && !f.ours(e.Customer):
		return true, nil
	case e.Entry != nil:
		f.show(ctx, e.Entry)
		err = f.screen.Err()
	}
	return false, err
}

func (f *follower) ours(customer string) bool {
	return customer == f.person.Customer || slices.Contains(f.person.Person, customer)
}

// show draws an entry that is new, or says how one on the screen has changed. A case that was opened meanwhile is asked for
// once, so that it has a name.
func (f *follower) show(ctx context.Context, e *timeline.Entry) {
	if _, known := f.cases[e.Case]; !known {
		if c, err := f.Case(ctx, e.Case); err == nil {
			f.cases[e.Case] = terminal.CaseName{Reference: c.Value.Reference, Subject: c.Value.Subject}
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		text = nil // it came as JSON; if it cannot go back the time tells
	}
	before, known := f.seen[e.Entry]
	now := drawn{e.ChangedAt, sha256.Sum256(text)}
	switch {
	case !known:
		f.screen.Entry(e)
	case now.at < before.at || now == before:
		return // as it is on the screen, or older
	default:
		f.screen.Changed(e)
	}
	f.seen[e.Entry] = now
}
