package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// React follows up changes of the table, in the order of the feed: it tells staff, gets answers on their way, has files
// fetched, acknowledges, and keeps the ledger. Every effect follows from the change alone and may be repeated: after an error
// the whole batch comes again.
func (p *Pipeline) React(ctx context.Context, changes []table.Change) error {
	ctx = table.Redoable(ctx)
	var told []*store.Notification
	for i := range changes {
		c := &changes[i]
		n, err := p.Store.Notify(ctx, c)
		if err != nil {
			return err
		}
		if n != nil {
			told = append(told, n)
		}
		if err := p.follow(ctx, c); err != nil {
			return fmt.Errorf("follow up the change of %s: %w", c.Key, err)
		}
	}
	if err := p.Store.Tally(ctx, changes); err != nil {
		return err
	}
	if len(told) == 0 {
		return nil
	}
	if p.Push != nil {
		p.Push.Push(ctx, told)
	}
	return p.notify(ctx, told)
}

func (p *Pipeline) notify(ctx context.Context, told []*store.Notification) error {
	for _, n := range told {
		if n.For == "" {
			continue
		}
		for _, notifier := range p.Notifiers {
			if err := notifier.Notify(ctx, n); err != nil {
				return fmt.Errorf("notify of %s: %w", n.Case, err)
			}
		}
	}
	return nil
}

// follow does what a change of an entry calls for.
func (p *Pipeline) follow(ctx context.Context, c *table.Change) error {
	if c.New == nil || !strings.HasPrefix(c.Key.PK, "C#") || !strings.HasPrefix(c.Key.SK, "E#") {
		return nil
	}
	e := new(timeline.Entry)
	if err := json.Unmarshal(c.New.Body, e); err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	group := e.Channel + "/" + e.Account
	if e.Delivery != nil {
		if e.State != msg.Pending || c.Old != nil && !becamePending(c.Old) {
			return nil
		}
		return p.wake(ctx, e.Entry, group, e.Delivery.Due.Sub(p.Now()))
	}
	if c.Old != nil {
		return nil
	}
	if err := p.fetchFiles(ctx, e, group); err != nil {
		return err
	}
	return p.acknowledge(ctx, e)
}

// becamePending says that the entry was in another state before: only then is there anything new to send.
func becamePending(old *table.Item) bool {
	var was struct {
		State msg.State `json:"state"`
	}
	return json.Unmarshal(old.Body, &was) == nil && was.State != msg.Pending && was.State != msg.Sending
}

// fileRef is the body of a message in the Media queue: one file of one entry.
type fileRef struct {
	Entry string `json:"entry"`
	Part  int    `json:"part"`
	Try   int    `json:"try,omitempty"`
}

func (p *Pipeline) fetchFiles(ctx context.Context, e *timeline.Entry, group string) error {
	if e.Message == nil {
		return nil
	}
	var out []queue.Outgoing
	for i := range e.Message.Parts {
		m := e.Message.Parts[i].Media
		if m == nil || m.State == msg.MediaStored || m.State == msg.MediaFailed {
			continue
		}
		body, err := json.Marshal(fileRef{Entry: e.Entry, Part: i})
		if err != nil {
			return err
		}
		out = append(out, queue.Outgoing{Body: body, Group: group})
	}
	if len(out) == 0 {
		return nil
	}
	if err := p.Media.Send(ctx, out...); err != nil {
		return fmt.Errorf("have %d files fetched: %w", len(out), err)
	}
	return nil
}

// Caps of automatic answers to one address (invariant I10).
const (
	acknowledgements = 1
	hourMillis       = int64(time.Hour / time.Millisecond)
)

// acknowledge answers the message that opened a case, where the account asks for it: at most once an hour for each address,
// and never with anything that the sender wrote, because the address may be somebody else's (FAULT 10).
func (p *Pipeline) acknowledge(ctx context.Context, e *timeline.Entry) error {
	if !e.Opens || e.Automatic || e.Direction != msg.In || e.Kind != msg.KindMessage {
		return nil
	}
	account, err := p.accounts.get(ctx, e.Channel, e.Account, false)
	if err != nil || account == nil || account.Settings["acknowledge"] == "" || account.Settings["acknowledge"] == "no" {
		return err
	}
	c, err := p.Store.Case(ctx, e.Case)
	if err != nil {
		return err
	}
	route, err := p.Route(ctx, c, e, "", "")
	if err != nil {
		p.Log.InfoContext(ctx, "no way to acknowledge", "channel", e.Channel, "account", e.Account, "err", err)
		return nil
	}
	ok, err := p.Store.Take(ctx, "acknowledgement", route.To.Key(), acknowledgements, hourMillis)
	if err != nil || !ok {
		return err
	}
	language := e.Message.Language
	if language == "" {
		language = account.Settings["language"]
	}
	subject, text := acknowledgement(language, c.Reference)
	_, err = p.Store.Reply(ctx, store.Answer{
		Case: e.Case, Name: account.Settings["sender_name"], Channel: route.Channel, Account: route.Account, To: route.To,
		Subject: subject, Text: text, MessageID: route.MessageID, Automatic: true, Key: "acknowledgement",
	})
	return err
}

// acknowledgement is what a customer is told at once, in their language where it is one of ours. It names the case and
// repeats nothing.
func acknowledgement(language, reference string) (subject, text string) {
	switch {
	case strings.HasPrefix(language, "fi"):
		return "Viestisi on perillä (" + reference + ")", "Hei,\n\nviestisi on perillä ja käsittelemme sen. Asiasi tunnus on " + reference + ".\n"
	case strings.HasPrefix(language, "sv"):
		return "Vi har fått ditt meddelande (" + reference + ")", "Hej,\n\nvi har fått ditt meddelande och behandlar det. Ditt ärende har numret " + reference + ".\n"
	}
	return "We have your message (" + reference + ")", "Hello,\n\nwe have your message and are working on it. Your matter is called " + reference + ".\n"
}
