package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// React follows up changes of the table, in the order of the feed: it tells staff, gets answers on their way, has files
// fetched, acknowledges, and keeps the ledger. Every effect follows from the change alone and may be repeated: after an error
// the whole batch comes again. A change of an item that cannot be read is logged and counted, and passed over.
func (p *Pipeline) React(ctx context.Context, changes []table.Change) error {
	ctx = table.Redoable(ctx)
	if p.Watch != nil {
		p.Watch(ctx, changes)
	}
	each, err := p.Store.Notify(ctx, changes)
	var unread store.Skipped
	if err = unread.Take(err); err != nil {
		return err
	}
	told := make([]*store.Notification, 0, len(each))
	for i, n := range each {
		if n == nil {
			continue // of no interest to anybody, so nothing follows from it either
		}
		told = append(told, n)
		if err := p.follow(ctx, &changes[i], n.Changed); err != nil {
			return fmt.Errorf("follow up the change of %s: %w", changes[i].Key, err)
		}
	}
	if err := unread.Take(p.Store.Tally(ctx, changes)); err != nil {
		return err
	}
	p.passOver(ctx, &unread)
	if len(told) == 0 {
		return nil
	}
	if p.Push != nil {
		p.Push.Push(ctx, told)
	}
	return p.notify(ctx, told)
}

// follow does what a change of an entry calls for; e is nil for a change of anything else.
func (p *Pipeline) follow(ctx context.Context, c *table.Change, e *timeline.Entry) error {
	if e == nil {
		return nil
	}
	group := e.Channel + "/" + e.Account
	if err := p.fetchFiles(ctx, c.Old, e, group); err != nil {
		return err
	}
	if e.Delivery != nil {
		return p.followAnswer(ctx, c, e, group)
	}
	if c.Old != nil {
		return nil
	}
	return p.acknowledge(ctx, e)
}

// passOver says which changes nobody follows up, because their items cannot be read: they must not hold up the ones behind.
func (p *Pipeline) passOver(ctx context.Context, unread *store.Skipped) {
	for _, item := range unread.Items {
		p.passedOver.Add(1)
		p.Log.ErrorContext(ctx, "change passed over: mend the item, then replay its effects", "key", item.Key.String(), "err", item.Err)
	}
}

// followAnswer wakes an answer that is to be sent, and the one that waited for it when it is out of the way.
func (p *Pipeline) followAnswer(ctx context.Context, c *table.Change, e *timeline.Entry, group string) error {
	switch {
	case e.State == msg.Pending && (c.Old == nil || becamePending(c.Old)):
		return p.wake(ctx, e.Entry, group, e.Delivery.Due.Sub(p.Now()))
	case c.Old == nil || e.State == msg.Pending || e.State == msg.Sending || !wasUnderWay(c.Old):
		return nil
	}
	next, err := p.Store.NextAnswer(ctx, e)
	if fault.Of(err) == fault.Missing && err != nil {
		return nil //nolint:nilerr // erased in the meantime: nothing waits
	}
	if err != nil || next == "" {
		return err
	}
	return p.wake(ctx, next, group, 0)
}

// wasUnderWay says that the answer held up those behind it.
func wasUnderWay(old *table.Item) bool {
	var was struct {
		State msg.State `json:"state"`
	}
	return json.Unmarshal(old.Body, &was) == nil && (was.State == msg.Pending || was.State == msg.Sending)
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
	// ID is the file's own, where it has one: an edit may give the part another file.
	ID  string `json:"id,omitempty"`
	Try int    `json:"try,omitempty"`
}

// fetchFiles has the files fetched that a change brought: those of a new entry, and those that an edit added.
func (p *Pipeline) fetchFiles(ctx context.Context, old *table.Item, e *timeline.Entry, group string) error {
	missing := missingFiles(e)
	if old != nil && len(missing) > 0 {
		was := new(timeline.Entry)
		if err := json.Unmarshal(old.Body, was); err != nil {
			return fmt.Errorf("which files of entry %s are new: %w", e.Entry, err)
		}
		known := missingFiles(was)
		missing = slices.DeleteFunc(missing, func(f fileRef) bool {
			return slices.ContainsFunc(known, func(k fileRef) bool { return k.ID == f.ID && (f.ID != "" || k.Part == f.Part) })
		})
	}
	if len(missing) == 0 {
		return nil
	}
	out := make([]queue.Outgoing, len(missing))
	for i, ref := range missing {
		body, err := json.Marshal(ref)
		if err != nil {
			return err
		}
		out[i] = queue.Outgoing{Body: body, Group: group}
	}
	if err := p.Media.Send(ctx, out...); err != nil {
		return fmt.Errorf("have %d files fetched: %w", len(out), err)
	}
	return nil
}

// missingFiles are the files of an entry's message that are neither here nor given up.
func missingFiles(e *timeline.Entry) (refs []fileRef) {
	if e.Message == nil {
		return nil
	}
	for i := range e.Message.Parts {
		if m := e.Message.Parts[i].Media; m != nil && m.State != msg.MediaStored && m.State != msg.MediaFailed {
			refs = append(refs, fileRef{Entry: e.Entry, Part: i, ID: m.ID})
		}
	}
	return refs
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
	if fault.Of(err) == fault.Missing {
		return nil // erased in the meantime: nobody is left to tell
	}
	if err != nil {
		return err
	}
	route, err := p.Route(ctx, c, e, "", "")
	if kind := fault.Of(err); err != nil && kind != fault.Invalid && kind != fault.Missing {
		return err
	}
	if err != nil {
		p.Log.InfoContext(ctx, "no way to acknowledge", "channel", e.Channel, "account", e.Account, "err", err)
		return nil
	}
	ok, err := p.Store.TakeOnce(ctx, "acknowledgement", route.To.Key(), e.Case, acknowledgements, hourMillis)
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
	if kind := fault.Of(err); kind == fault.Missing || kind == fault.Conflict {
		return nil // erased, or acknowledged before in other words: the feed must not stand still for it
	}
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
