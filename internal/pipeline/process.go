package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Process works envelopes into timelines. It returns the messages that failed: those alone come again.
//
// Events of the batch are grouped by whom they are about, so that ten messages of one customer are one transaction. What it
// writes need not be on the disk before the next step: it can be done again from the queue, whose acknowledgement follows
// in the same log (see table.Redoable).
func (p *Pipeline) Process(ctx context.Context, batch []queue.Message) (failed []string) {
	ctx = table.Redoable(ctx)
	work := &batchWork{p: p, failed: map[string]error{}}
	for i := range batch {
		if err := work.take(ctx, &batch[i]); err != nil {
			work.fail(batch[i].ID, err)
		}
	}
	work.record(ctx)
	work.note(ctx)
	for i := range batch {
		m := &batch[i]
		err := work.failed[m.ID]
		if err == nil || p.putOff(ctx, p.Inbound, m, err) {
			continue
		}
		failed = append(failed, m.ID)
		p.Log.ErrorContext(ctx, "envelope not processed", "message", m.ID, "group", m.Group, "attempt", m.Attempt, "err", err)
	}
	return failed
}

// putOffFor is the pause of a message that has used its attempts up on faults that pass.
const putOffFor = 5 * time.Minute

// putOff sends a message anew that a passing fault (throttling, a busy table) has nearly brought to its last attempt, and says
// that the one in hand is done with. So a storm may last for days and dead-letters nothing that nobody could process (FAULT
// 58); what crashes, and what is damaged, still ends there. The queue's ledger counts such a message as accepted and
// processed once more. When it cannot be sent, or was put off [putOffMost] times, it fails as any other.
func (p *Pipeline) putOff(ctx context.Context, q queue.Sender, m *queue.Message, why error) bool {
	if m.Attempt < queue.MaxAttempts-1 || fault.Of(why) != fault.Retry {
		return false
	}
	body, times := countedOff(m.Body)
	if times > putOffMost {
		p.Log.WarnContext(ctx, "message put off too often", "message", m.ID, "group", m.Group, "times", times-1)
		return false
	}
	if err := q.Send(ctx, queue.Outgoing{Body: body, Group: m.Group, Delay: putOffFor}); err != nil {
		p.Log.WarnContext(ctx, "message not put off", "message", m.ID, "group", m.Group, "err", err)
		return false
	}
	p.Log.WarnContext(ctx, "message put off", "message", m.ID, "group", m.Group, "again_in", putOffFor.String(), "err", why)
	return true
}

// batchWork is one batch on its way.
type batchWork struct {
	p      *Pipeline
	groups [][]item
	byKey  map[string]int

	mu     sync.Mutex // guards failed and numbered: groups are recorded side by side
	failed map[string]error
	// numbered are the numbered envelopes of the batch by message.
	numbered map[string]*worked
	// plain are envelopes without a number, by message.
	plain map[string][]store.Noted
}

// item is one event with the queue message that it came in.
type item struct {
	message string
	in      store.Incoming
	// envelope is what the event came in; nil for a receipt that came without one.
	envelope *channel.Envelope
}

func (w *batchWork) fail(message string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failed[message] == nil {
		w.failed[message] = err
	}
}

// take parses one queue message and sorts its events into the groups.
func (w *batchWork) take(ctx context.Context, m *queue.Message) error {
	p := w.p
	e, err := decode(m.Body)
	if err != nil {
		w.unnumbered(m.ID, store.AccountKey(m.Group))
		broken := &channel.Envelope{ID: "message-" + m.ID, Channel: groupChannel(m.Group), Account: groupAccount(m.Group), ReceivedAt: m.SentAt, Body: m.Body}
		return p.quarantine(ctx, broken, channel.CauseInternal, "the queue message is not an envelope: "+err.Error(), 0, false)
	}
	w.number(m.ID, e)
	if err := p.open(ctx, e); err != nil {
		return err
	}
	return w.takeEnvelope(ctx, m.ID, e)
}

func groupChannel(group string) string { c, _ := store.AccountKey(group).Split(); return c }
func groupAccount(group string) string { _, a := store.AccountKey(group).Split(); return a }

func (w *batchWork) takeEnvelope(ctx context.Context, message string, e *channel.Envelope) error {
	p := w.p
	adapter, ok := p.Channels.Get(e.Channel)
	if !ok {
		return p.quarantine(ctx, e, channel.CauseUnknownAccount, "this version knows no channel "+e.Channel, 0, false)
	}
	info := adapter.Info()
	account, err := p.accounts.sure(ctx, e.Channel, e.Account)
	if err != nil {
		return err
	}
	if account == nil {
		return p.quarantine(ctx, e, channel.CauseUnknownAccount, "account "+e.Account+" is not connected (any more)", 0, false)
	}
	e.Settings = account.Settings
	events, parseErr := parse(adapter, e)
	for i, r := range channel.Rejections(parseErr) {
		part := *e
		if r.Raw != nil {
			part.Body, part.Blob = r.Raw, ""
			part.ID = fmt.Sprintf("%s-%d", e.ID, i)
		}
		if err := p.quarantine(ctx, &part, r.Cause, r.Detail, i, false, r.From...); err != nil {
			return err
		}
	}
	raw, rawBlob, err := p.keepRaw(ctx, e, events)
	if err != nil {
		return err
	}
	for i := range events {
		in := store.Incoming{Event: events[i], Scope: scope(&info, account), ReceivedAt: e.ReceivedAt, Envelope: e.ID, Place: i, Raw: raw, RawBlob: rawBlob}
		in.Event.Account, in.By = account.ID, place(e.Count, i)
		expectFiles(&in.Event)
		owner := account
		if s := events[i].Scope; s != "" && s != in.Scope {
			if owner, err = p.accounts.byScope(ctx, &info, s); err != nil {
				return err
			}
			if owner == nil {
				if err := p.quarantineEvent(ctx, e, &events[i], i); err != nil {
					return err
				}
				continue
			}
			in.Scope, in.Event.Account, in.By = s, owner.ID, "" // another account's: its tally counts it
		}
		in.Event.Scope = ""
		in.Rules = p.rules(&info, owner)
		if err := p.slim(ctx, &in, len(e.Body)); err != nil {
			return err
		}
		w.add(item{message, in, e})
	}
	return nil
}

// parse calls the adapter and turns a panic, which is a defect of ours, into a rejection: nothing is lost, nobody is blocked.
func parse(a channel.Adapter, e *channel.Envelope) (events []msg.Event, err error) {
	defer func() {
		if r := recover(); r != nil {
			events, err = nil, &channel.Rejected{Cause: channel.CauseInternal, Detail: fmt.Sprintf("the adapter panicked: %v at %s", r, firstFrames(debug.Stack()))}
		}
	}()
	return a.Parse(*e)
}

func firstFrames(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	var frames []string
	for _, l := range lines {
		if strings.HasPrefix(l, "\t") && strings.Contains(l, "/internal/") {
			frames = append(frames, strings.TrimSpace(l[strings.LastIndex(l, "/internal/"):]))
		}
	}
	return strings.Join(frames[:min(len(frames), 4)], " < ")
}

// keepRaw keeps the raw input for replay: inside the entry when it is one small one, else in a blob that the entries share.
func (p *Pipeline) keepRaw(ctx context.Context, e *channel.Envelope, events []msg.Event) (raw []byte, key string, err error) {
	if len(events) == 0 {
		return nil, "", nil
	}
	adapter, _ := p.Channels.Get(e.Channel)
	_, holdsFiles := adapter.(channel.Extractor)
	holdsFiles = holdsFiles && slices.ContainsFunc(events, hasMedia)
	if len(events) == 1 && !holdsFiles && e.Blob == "" && len(e.Body) <= 8*inlineRaw {
		if raw = p.packer.compress(e.Body); len(raw) <= inlineRaw {
			return raw, "", nil
		}
	}
	if e.Blob != "" {
		return nil, e.Blob, nil
	}
	key = rawKey(e)
	if ofSeveral(events) && !strings.HasPrefix(key, sharedRaw) {
		key = sharedRaw + strings.TrimPrefix(key, "raw/")
	}
	_, err = p.Blobs.Put(ctx, key, bytes.NewReader(e.Body), blob.PutOptions{Type: "application/octet-stream", IfAbsent: true})
	if err != nil && !errors.Is(err, blob.ErrExists) {
		return nil, "", fmt.Errorf("keep the raw input of envelope %s: %w", e.ID, err)
	}
	return nil, key, nil
}

// rules are what the timeline must know of channel and account.
func (p *Pipeline) rules(info *channel.Info, account *channel.Account) store.Rules {
	r := store.Rules{
		Asserted: info.TimeAsserted, ChatLike: info.ChatLike && account.Settings["join_open_case"] != "no",
		References: info.Threading == channel.ByReferences, Submission: info.Threading == channel.BySubmission,
		Identities: info.Identities, Team: account.Team,
	}
	if r.Team == "" {
		r.Team = p.Config.Team
	}
	r.Promise = p.promise(info, account)
	return r
}

func (p *Pipeline) promise(info *channel.Info, account *channel.Account) timeline.Promise {
	promise := timeline.Promise{FirstAnswer: info.ServiceLevel.FirstAnswer}
	if promise.FirstAnswer == 0 {
		promise.FirstAnswer = 24 * time.Hour
	}
	if account != nil {
		if d, err := time.ParseDuration(account.Settings["first_answer"]); err == nil && d > 0 {
			promise.FirstAnswer = d
		}
	}
	if info.ServiceLevel.WorkingTime {
		promise.Hours = p.Config.Hours
	}
	return promise
}

// add puts an event into the group of those that touch the same items.
func (w *batchWork) add(i item) {
	if w.byKey == nil {
		w.byKey = map[string]int{}
	}
	keys := touches(&i.in.Event)
	at := -1
	for _, k := range keys {
		if g, ok := w.byKey[k]; ok {
			at = g
			break
		}
	}
	if at < 0 {
		w.groups = append(w.groups, nil)
		at = len(w.groups) - 1
	}
	w.groups[at] = append(w.groups[at], i)
	for _, k := range keys {
		if _, ok := w.byKey[k]; !ok {
			w.byKey[k] = at
		}
	}
}

// touches names what an event will write: the people it is about and the message it is about.
func touches(ev *msg.Event) []string {
	var keys []string
	if of := ev.Target(); of != "" {
		keys = append(keys, "object\x1f"+ev.Channel+"\x1f"+of)
	}
	if ev.Tag != "" {
		keys = append(keys, "customer\x1f"+store.CustomerOf(ev.Tag))
	}
	if ev.Receipt == nil {
		if ev.ID != "" {
			keys = append(keys, "object\x1f"+ev.Channel+"\x1f"+ev.ID)
		}
		from := ev.From
		if ev.Direction == msg.Out && len(ev.To) > 0 {
			from = ev.To[0]
		}
		for _, a := range from.All() {
			keys = append(keys, "address\x1f"+a.Key())
		}
	}
	return keys
}

// sideBySide is how many groups of a batch are recorded at the same time. They touch different items, so they seldom
// conflict, and whoever waits for the disk or the network waits together with others.
const sideBySide = 16

// record writes the groups, each in as few transactions as it fits in.
func (w *batchWork) record(ctx context.Context) {
	var next atomic.Int64
	var writers sync.WaitGroup
	for range min(sideBySide, len(w.groups)) {
		writers.Go(func() {
			for n := next.Add(1) - 1; n < int64(len(w.groups)); n = next.Add(1) - 1 {
				w.recordSafely(ctx, w.groups[n])
			}
		})
	}
	writers.Wait()
}

// recordSafely turns a panic into a failure of the group's messages, as it would be on the worker's own goroutine.
func (w *batchWork) recordSafely(ctx context.Context, group []item) {
	defer func() {
		if r := recover(); r != nil {
			for _, i := range group {
				w.fail(i.message, fmt.Errorf("panic: %v at %s", r, firstFrames(debug.Stack())))
			}
		}
	}()
	w.recordGroup(ctx, group)
}

// groupSize is how many events one transaction takes: each writes up to about nine items, of a hundred.
const groupSize = 10

func (w *batchWork) recordGroup(ctx context.Context, group []item) {
	for len(group) > groupSize {
		w.recordGroup(ctx, group[:groupSize])
		group = group[groupSize:]
	}
	in := make([]store.Incoming, len(group))
	for i := range group {
		in[i] = group[i].in
	}
	out, err := w.p.Store.Record(ctx, in)
	switch {
	case err == nil:
		w.brought(group, out)
		return
	case len(group) == 1:
		w.failOne(ctx, &group[0], err)
		return
	case store.IsTooMuch(err):
		w.recordGroup(ctx, group[:len(group)/2])
		w.recordGroup(ctx, group[len(group)/2:])
		return
	}
	for i := range group { // one that cannot be stored must not hold up the others
		out, err := w.p.Store.Record(ctx, in[i:i+1])
		if err != nil {
			w.failOne(ctx, &group[i], err)
		}
		w.brought(group[i:i+1], out)
	}
}

// failOne decides about an event that could not be recorded: what can never fit goes to quarantine, all else comes again.
func (w *batchWork) failOne(ctx context.Context, i *item, err error) {
	if !store.IsTooMuch(err) {
		w.fail(i.message, err)
		return
	}
	in := &i.in
	q := store.Quarantined{
		Channel: in.Event.Channel, Account: in.Event.Account, Cause: string(channel.CauseTooLarge), Detail: err.Error(), Envelope: in.Envelope,
		ReceivedAt: in.ReceivedAt, Event: &in.Event, Scope: in.Scope, From: store.Subject(&in.Event),
	}
	qerr := w.p.keep(ctx, q, 2000+in.Place)
	if store.IsTooMuch(qerr) && i.envelope != nil { // too large even by itself: kept with all that came with it
		qerr = w.p.quarantine(ctx, i.envelope, channel.CauseTooLarge, err.Error(), 2000+in.Place, false, q.From...)
	}
	if qerr != nil {
		w.fail(i.message, fault.Newf(fault.Retry, "quarantine", "%w", errors.Join(err, qerr)))
	}
}
