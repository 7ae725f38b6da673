package simulation_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/pebble"
	"github.com/aikajana/aikajana/internal/timeline"
)

// world is one desk with its provider. Nothing in it happens by itself: one goroutine works, and all choices come from rand.
type world struct {
	t     *testing.T
	name  string
	db    *engine.DB
	table *pebble.Table
	feed  table.Feed
	// queues by what they carry, without faults; the pipeline has them behind faults.
	queues map[string]*local.Queue
	blobs  blobs
	p      *pipeline.Pipeline
	// other is a second process over the same table and queues, without faults.
	other    *pipeline.Pipeline
	provider *provider
	plan     *plan
	rand     *rand.Rand
	clock    time.Time
	ids      int
	// broken changes the desk in a way that the checks must notice.
	broken broken
	// accepted are the IDs of the messages that the desk took responsibility for; erased text must not be found again.
	accepted map[string]bool
	erased   []string
	problems []string
	// inHand repeats what is being worked on with another process, as a second delivery would.
	inHand func(*pipeline.Pipeline)
	// rival is what somebody else does while the desk is at work: see overtake.
	rival func(*pipeline.Pipeline)
	// dead says that the running process has ended: whatever of it still runs gets no further than its next call.
	dead bool
	// tasks are taken one by one by the goroutine that is the process; ended says how each ended.
	tasks chan func()
	ended chan bool
	// calling is held during a call, counting by whoever makes IDs: some handlers work side by side.
	calling, counting sync.Mutex
}

// broken names a defect that is put in on purpose.
type broken struct {
	blindTable, sendFirst, ackFirst, doubleTally bool
}

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, name string, pl *plan, b broken) *world {
	t.Helper()
	w := &world{
		t: t, name: name, queues: map[string]*local.Queue{}, blobs: blobs{}, plan: pl, clock: start, broken: b, accepted: map[string]bool{},
		rand: rand.New(rand.NewPCG(pl.seed, 1)), //nolint:gosec // chance must repeat
	}
	w.provider = &provider{w: w, took: map[string]int{}}
	var err error
	w.db, err = engine.Open("store", engine.Options{FS: vfs.NewMem()})
	w.must(err)
	w.table, err = pebble.New(w.db, w.now)
	w.must(err)
	w.follow()
	for _, name := range []string{"inbound", "mail", "media", "wake"} {
		w.queues[name], err = local.New(w.db, name, local.Options{Now: w.now})
		w.must(err)
	}
	w.p, w.other = w.process(true), w.process(false)
	w.must(w.other.Store.PutAccount(context.Background(), store.Connected{Channel: "sim", Account: "main", Team: "support", Settings: map[string]string{"acknowledge": "yes"}}))
	return w
}

func (w *world) close() {
	if w.tasks != nil {
		close(w.tasks)
	}
	w.must(w.db.Close())
}

func (w *world) must(err error) {
	if err != nil {
		w.t.Fatalf("%s: %v", w.name, err)
	}
}

func (w *world) follow() {
	var err error
	w.feed, err = w.table.Feed(context.Background(), "react")
	w.must(err)
}

// process is one process of the desk: behind faults or not.
func (w *world) process(faulty bool) *pipeline.Pipeline {
	var tab table.Table = w.table
	if w.broken.blindTable {
		tab = blindTable{w.table}
	}
	var files blob.Store = w.blobs
	queues := map[string]queue.Queue{}
	for name, q := range w.queues {
		queues[name] = q
	}
	if faulty {
		tab = &faultyTable{tab, w}
		files = faultyBlobs{w.blobs, w}
		for name, q := range w.queues {
			queues[name] = faultyQueue{q, w, name}
		}
	}
	s, err := store.New(store.Options{
		Table: tab, Key: bytes.Repeat([]byte("k"), 32), Now: w.now, NewID: w.newID, Pause: func(context.Context, int) error { return nil },
	})
	w.must(err)
	registry, err := channel.NewRegistry(adapter{w.provider, faulty})
	w.must(err)
	p, err := pipeline.New(pipeline.Deps{
		Store: s, Blobs: files, Secrets: noSecrets{}, Channels: registry, Inbound: queues["inbound"], Mails: queues["mail"], Media: queues["media"],
		Wake: queues["wake"], HTTP: http.DefaultClient, Now: w.now, NewID: w.newID, Log: slog.New(slog.DiscardHandler),
		Config: pipeline.Config{BaseURL: "https://desk.example"},
	})
	w.must(err)
	return p
}

func (w *world) now() msg.Time { return msg.TimeOf(w.clock) }

func (w *world) newID() string {
	w.counting.Lock()
	defer w.counting.Unlock()
	w.ids++
	return fmt.Sprintf("id%024d", w.ids)
}

// run works on something as a process of its own that may end at any moment; it says whether it came to its end.
func (w *world) run(f func()) (whole bool) {
	w.dead, w.plan.begun = false, false
	if w.tasks == nil {
		w.tasks, w.ended = make(chan func()), make(chan bool)
		go perform(w.tasks, w.ended)
	}
	w.tasks <- f
	if whole = <-w.ended; !whole {
		w.tasks = nil // its goroutine ended where it stood
	}
	w.inHand = nil
	return whole && !w.dead
}

// perform does one task after the other and tells of each whether it came to its end; with one that did not, it ends.
func perform(tasks <-chan func(), ended chan<- bool) {
	whole := true
	defer func() {
		if !whole {
			ended <- false
		}
	}()
	for f := range tasks {
		whole = false
		f()
		whole = true
		ended <- true
	}
}

// crash ends the process that is running.
func (w *world) crash() {
	w.dead = true
	runtime.Goexit()
}

// handlers are the steps of the pipeline by the queue that each follows.
func (w *world) handlers(p *pipeline.Pipeline) map[string]queue.Handler {
	deliver := p.Deliver
	if w.broken.sendFirst && p == w.p {
		deliver = w.sendFirst
	}
	return map[string]queue.Handler{"inbound": p.Process, "mail": p.Mail, "media": p.Fetch, "wake": deliver}
}

var names = []string{"inbound", "mail", "media", "wake"}

// step receives one batch of one queue and works on it; it says whether there was one.
func (w *world) step(name string, most int) bool {
	ctx := context.Background()
	q := w.queues[name]
	batch, err := q.Receive(ctx, most, 0)
	w.must(err)
	if len(batch) == 0 {
		return false
	}
	if w.plan.shuffle {
		w.rand.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	}
	w.run(func() { w.work(w.p, faultyQueue{q, w, name}, name, batch) })
	return true
}

func (w *world) work(p *pipeline.Pipeline, q queue.Queue, name string, batch []queue.Message) {
	ctx := context.Background()
	if w.broken.ackFirst {
		if q.Ack(ctx, batch...) != nil {
			return
		}
	}
	w.inHand = func(p *pipeline.Pipeline) { w.handlers(p)[name](ctx, slices.Clone(batch)) }
	failed := w.handlers(p)[name](ctx, batch)
	for _, m := range batch {
		if slices.Contains(failed, m.ID) {
			_ = q.Release(ctx, m, 10*time.Second) // else it comes back by itself
		} else {
			_ = q.Ack(ctx, m)
		}
	}
}

// react follows the changes of the table; it says whether there were any.
func (w *world) react() bool {
	ctx := context.Background()
	if backlog, err := w.table.Backlog(); err != nil || backlog == 0 {
		w.must(err)
		return false
	}
	changes, err := w.feed.Next(ctx, 50)
	w.must(err)
	for i := range changes {
		w.observe(&changes[i])
	}
	acked := false
	w.run(func() {
		if w.p.React(ctx, changes) != nil {
			return
		}
		if w.broken.doubleTally {
			for i := range changes {
				changes[i].Seq += "0"
			}
			_ = w.p.Store.Tally(ctx, changes)
		}
		acked = w.plan.call(w, "feed.Ack", func() error { return w.feed.Ack(ctx) }) == nil
	})
	if !acked {
		w.follow() // the reader begins again behind what it acknowledged last
	}
	return true
}

// settle works until nothing is left to do at this time.
func (w *world) settle() {
	for busy := true; busy; {
		busy = w.react()
		for _, name := range names {
			busy = w.step(name, 10) || busy
		}
		busy = w.provider.call() || busy
	}
}

// longest bounds how often time is let pass before everything must be done (I9).
const longest = 120

// drain lets time go by until nothing waits any more.
func (w *world) drain() {
	for range longest {
		w.settle()
		if w.quiet() {
			return
		}
		w.pass(30 * time.Second)
		w.run(func() { _ = w.p.Tick(context.Background()) }) // what it did not do it does the next time
	}
	w.wrong("I9: something still waits after %d half minutes", longest)
}

func (w *world) pass(d time.Duration) {
	w.clock = w.clock.Add(d)
	for _, name := range names {
		w.must(w.queues[name].Wake(context.Background()))
	}
}

// quiet says that nothing waits: in no queue, in no feed, at no provider, and no answer is on its way.
func (w *world) quiet() bool {
	for _, name := range names {
		d, err := w.queues[name].Depth(context.Background())
		w.must(err)
		if d.Ready+d.Delayed+d.InFlight > 0 {
			return false
		}
	}
	if backlog, err := w.table.Backlog(); err != nil || backlog > 0 || len(w.provider.undelivered) > 0 {
		return false
	}
	return !slices.ContainsFunc(w.items(), func(i table.Item) bool {
		return strings.HasPrefix(i.SK, "E#") && (bytes.Contains(i.Body, []byte(`"state":"pending"`)) || bytes.Contains(i.Body, []byte(`"state":"sending"`)))
	})
}

// do has somebody outside ask for something until they get an answer, as a client with retries does.
func (w *world) do(what string, f func(context.Context, *pipeline.Pipeline) error) {
	for range 20 {
		var err error
		whole := w.run(func() {
			w.inHand = func(p *pipeline.Pipeline) { _ = f(context.Background(), p) }
			err = f(context.Background(), w.p)
		})
		if whole && err == nil {
			return
		}
		if !whole {
			continue
		}
		if err != nil && fault.Of(err) != fault.Internal && fault.Of(err) != fault.Retry {
			w.wrong("%s was refused: %v", what, err)
			return
		}
	}
	w.wrong("%s never succeeded", what)
}

func (w *world) wrong(format string, args ...any) {
	w.problems = append(w.problems, fmt.Sprintf(format, args...))
}

// items reads the whole table.
func (w *world) items() []table.Item {
	items, err := w.table.Scan(context.Background(), table.Key{}, 100_000)
	w.must(err)
	return items
}

func (w *world) entries() (all []*timeline.Entry) {
	for _, item := range w.items() {
		if strings.HasPrefix(item.PK, "C#") && strings.HasPrefix(item.SK, "E#") {
			e := new(timeline.Entry)
			w.must(json.Unmarshal(item.Body, e))
			all = append(all, e)
		}
	}
	return all
}

// entry is the entry of a message from outside.
func (w *world) entry(id string) *timeline.Entry {
	mark := []byte(`"id":"` + id + `"`) // most items need not be decoded to know that they are others
	for _, item := range w.items() {
		if !strings.HasPrefix(item.PK, "C#") || !strings.HasPrefix(item.SK, "E#") || !bytes.Contains(item.Body, mark) {
			continue
		}
		e := new(timeline.Entry)
		w.must(json.Unmarshal(item.Body, e))
		if e.ID == id && e.Delivery == nil {
			return e
		}
	}
	return nil
}

// provider is the other side: it calls the desk until it is answered, takes what the desk sends, and reports on it.
type provider struct {
	w           *world
	undelivered [][]msg.Event
	// took counts how often it accepted each answer; automatic how often an acknowledgement by address.
	took      map[string]int
	automatic map[string]int
	files     int
	// echoes has it tell the desk of what the desk itself sent.
	echoes bool
}

// post has the provider tell the desk of events in one envelope.
func (w *world) post(events ...msg.Event) {
	w.provider.undelivered = append(w.provider.undelivered, events)
}

// call delivers what is undelivered; what is not answered is sent again.
func (v *provider) call() bool {
	if len(v.undelivered) == 0 {
		return false
	}
	events := v.undelivered[0]
	body, err := json.Marshal(events)
	v.w.must(err)
	w := v.w
	answered := false
	w.run(func() {
		e := &channel.Envelope{ID: w.newID(), Channel: "sim", Account: "main", ReceivedAt: w.now(), Body: body}
		answered = w.p.Accept(context.Background(), e, w.p.Inbound) == nil
	})
	if answered {
		v.undelivered = v.undelivered[1:]
		v.taken(events)
	}
	return true
}

// taken notes that the desk took responsibility for events.
func (v *provider) taken(events []msg.Event) {
	for i := range events {
		if events[i].Kind == msg.KindMessage && events[i].ID != unreadable {
			v.w.accepted[events[i].ID] = true
		}
	}
}

// worksOff takes what the provider wants to tell and works it into timelines at once, by a process without faults.
func (w *world) worksOff(p *pipeline.Pipeline) {
	ctx := context.Background()
	for _, events := range w.provider.undelivered {
		body, err := json.Marshal(events)
		w.must(err)
		w.provider.taken(events)
		w.must(p.Accept(ctx, &channel.Envelope{ID: w.newID(), Channel: "sim", Account: "main", ReceivedAt: w.now(), Body: body}, w.queues["inbound"]))
	}
	w.provider.undelivered = nil
	batch, err := w.queues["inbound"].Receive(ctx, 10, 0)
	w.must(err)
	if len(batch) > 0 && len(p.Process(ctx, batch)) == 0 {
		w.must(w.queues["inbound"].Ack(ctx, batch...))
	}
}

// unreadable is the ID of a message that the adapter does not understand until it was mended.
const unreadable = "unreadable"

// adapter is the provider's channel. A faulty one fails as the plan says.
type adapter struct {
	v      *provider
	faulty bool
}

func (a adapter) Info() channel.Info {
	return channel.Info{
		ID: "sim", Name: "Simulated", ChatLike: true, Identities: []string{"sim.user", "sim.phone"}, Can: channel.Capabilities{Text: 4096},
		ServiceLevel: channel.ServiceLevel{FirstAnswer: time.Hour},
	}
}

func (a adapter) Parse(e channel.Envelope) ([]msg.Event, error) {
	var events []msg.Event
	if err := json.Unmarshal(e.Body, &events); err != nil {
		return nil, &channel.Rejected{Cause: channel.CauseMalformed, Detail: "not a list of events"}
	}
	var rejected []error
	events = slices.DeleteFunc(events, func(ev msg.Event) bool {
		if ev.ID != unreadable {
			return false
		}
		raw, _ := json.Marshal([]msg.Event{ev}) // plain data
		rejected = append(rejected, &channel.Rejected{Cause: channel.CauseMalformed, Detail: "not understood", Raw: raw, From: ev.From.All()})
		return true
	})
	return events, errors.Join(rejected...)
}

func (a adapter) Send(_ context.Context, _ channel.Conn, o msg.Outbound) (r msg.Receipt, err error) {
	send := func() error {
		id := fmt.Sprintf("out%d-%s", a.v.took[o.Entry], o.Entry)
		a.v.took[o.Entry]++
		if o.Automatic {
			if a.v.automatic == nil {
				a.v.automatic = map[string]int{}
			}
			a.v.automatic[o.To.Key()]++
		}
		for _, state := range []msg.State{msg.Sent, msg.Delivered} {
			a.v.w.post(msg.Event{
				Channel: "sim", Account: "main", Kind: msg.KindReceipt, Time: a.v.w.now(), Direction: msg.In, Tag: o.Entry,
				Receipt: &msg.Receipt{Of: id, State: state, Recipient: o.To.Value},
			})
		}
		if a.v.echoes {
			a.v.w.post(msg.Event{
				Channel: "sim", Account: "main", ID: id, Kind: msg.KindMessage, Time: a.v.w.now(), Direction: msg.Out,
				From: msg.Address{Kind: "sim.desk", Value: "1"}, To: []msg.Address{o.To}, Thread: o.To.Value, Message: &msg.Message{Text: o.Text},
			})
		}
		r = msg.Receipt{Of: id, State: msg.Accepted}
		return nil
	}
	if !a.faulty {
		return r, send()
	}
	err = a.v.w.plan.call(a.v.w, "provider.Send", send)
	if err != nil && r.Of != "" { // it took the message and its answer was lost
		return msg.Receipt{}, fault.Newf(fault.Uncertain, "timeout", "no answer came")
	}
	if err != nil {
		return msg.Receipt{}, fault.RetryAfter(time.Second, "busy", "not now")
	}
	return r, nil
}

func (a adapter) Fetch(context.Context, channel.Conn, msg.Media) (io.ReadCloser, error) {
	fetch := func() error { a.v.files++; return nil }
	var err error
	if a.faulty {
		err = a.v.w.plan.call(a.v.w, "provider.Fetch", fetch)
	}
	if err != nil {
		return nil, fault.RetryAfter(time.Second, "busy", "not now")
	}
	return io.NopCloser(strings.NewReader("a secret picture")), nil
}

type noSecrets struct{}

func (noSecrets) Get(context.Context, string) ([]string, error) { return nil, secret.ErrNotFound }
func (noSecrets) Put(context.Context, string, []string) error   { return nil }
func (noSecrets) Delete(context.Context, string) error          { return nil }
func (noSecrets) List(context.Context, string) (map[string][]string, error) {
	return nil, nil
}

// blobs is a blob store in memory.
type blobs map[string][]byte

func (b blobs) Put(_ context.Context, key string, r io.Reader, o blob.PutOptions) (blob.Info, error) {
	if _, taken := b[key]; taken && o.IfAbsent {
		return blob.Info{}, blob.ErrExists
	}
	all, err := io.ReadAll(r)
	b[key] = all
	return blob.Info{Key: key, Size: int64(len(all))}, err
}

func (b blobs) Get(_ context.Context, key string, _, _ int64) (io.ReadCloser, blob.Info, error) {
	body, ok := b[key]
	if !ok {
		return nil, blob.Info{}, blob.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(body)), blob.Info{Key: key, Size: int64(len(body))}, nil
}

func (b blobs) Delete(_ context.Context, key string) error { delete(b, key); return nil }

func (b blobs) List(_ context.Context, prefix, after string, limit int) (all []blob.Info, err error) {
	for key := range b {
		if strings.HasPrefix(key, prefix) && key > after {
			all = append(all, blob.Info{Key: key})
		}
	}
	slices.SortFunc(all, func(x, y blob.Info) int { return strings.Compare(x.Key, y.Key) })
	return all[:min(limit, len(all))], nil
}

func (b blobs) Link(context.Context, string, blob.Link) (string, error) { return "", nil }
