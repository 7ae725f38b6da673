//go:build parts

package scenario_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/scenario"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// loadWorkers is how many work at once.
const loadWorkers = 10

// loadOf is how many messages come in: $AIKAJANA_LOAD_MESSAGES, which "make soak" sets, or 5,000. Customers write ten each, and
// every tenth delivery comes twice.
func loadOf(t *testing.T) int {
	t.Helper()
	n := 5000
	if text := os.Getenv("AIKAJANA_LOAD_MESSAGES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 100 {
			t.Fatalf("AIKAJANA_LOAD_MESSAGES is %q: make it a number from 100", text)
		}
	}
	return n
}

// partsOfItsOwn are stand-ins that nobody else uses: what a load leaves behind makes DynamoDB Local many times slower for the
// stories that come after it.
func partsOfItsOwn(t *testing.T) scenario.Parts {
	t.Helper()
	cache, err := standin.CacheDir()
	if err != nil {
		t.Fatal(err)
	}
	stack, err := standin.Start(t.Context(), cache, standin.PartDynamoDB, standin.PartSQS, standin.PartMoto)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stack.Stop)
	return scenario.Parts{DynamoDB: stack.DynamoDB, SQS: stack.SQS, Moto: stack.Moto}
}

func TestThousandsOfMessagesThroughLambdaHandlersWithTenWorkers(t *testing.T) { //nolint:paralleltest // it wants the machine for itself
	messages := loadOf(t)
	on := partsOfItsOwn(t)
	shares, said := newShares(), &warnings{by: map[string]int{}}
	on.Written, on.Visibility = shares.written, visibility
	stage := scenario.Stage{
		Dir: t.TempDir(), Key: bytes.Repeat([]byte("k"), 32), Rand: rand.NewChaCha8([32]byte{1}), Log: slog.New(said),
		Clock: scenario.NewClock(scenario.Start), SES: "http://127.0.0.1:1",
	}
	stage.Faults = scenario.NewFaults(stage.Clock)
	w, err := on.NewAWS(t.Context(), &stage)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		said.report(t)
	})
	if err := scenario.Connect(t.Context(), w, "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	took := deliver(t, w, stage.Clock, messages)
	accepted := len(took)
	t.Logf("%d messages in %d deliveries accepted in %s; a webhook was answered within %s in half of all cases and within %s in 99 of 100, %d at a time",
		messages, accepted, time.Since(begun).Round(time.Millisecond), took[accepted/2].Round(time.Millisecond), took[accepted*99/100].Round(time.Millisecond), loadWorkers)
	work := &load{t: t, w: w, accepted: accepted, done: map[string]bool{}, begun: begun}
	work.run()
	all := time.Since(begun)

	whole := &counted{from: w.App().Store.Table().(table.Scanner), ids: map[string]int{}}
	report, err := check.Run(t.Context(), check.Input{Table: whole}) // React has followed everything: the tallies are compared too
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Error(p)
	}
	t.Logf("check of %d items, %d customers, %d cases and %d entries found %d problems", report.Items, report.Customers, report.Cases, report.Entries, len(report.Problems))
	ids := whole.ids
	if len(ids) != messages {
		t.Errorf("%d messages in timelines, want %d", len(ids), messages)
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("message %s is there %d times", id, n)
		}
	}
	ledgerIsExact(t, w, messages, accepted)
	t.Logf("all worked on in %s (%d batches, %d deliveries that came again); every message is in a timeline once", all.Round(time.Millisecond), work.batches, work.again)
	shares.report(t, messages)
}

// ledgerIsExact holds both ledgers of the account to what was delivered.
func ledgerIsExact(t *testing.T, w scenario.World, messages, accepted int) {
	t.Helper()
	ledger, err := w.App().Store.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	envelopes, err := w.App().Store.Envelopes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(ledger) != 1 || len(envelopes) != 1 {
		t.Fatalf("ledgers of %d and %d accounts, want one", len(ledger), len(envelopes))
	}
	l := ledger[0]
	if l.Stored != int64(messages) || l.Duplicate != int64(accepted-messages) || l.Quarantined+l.Pending != 0 {
		t.Errorf("ledger %+v of %d accepted", l, accepted)
	}
	for account, e := range envelopes {
		in, worked := e.Counted()
		if in != int64(accepted) || worked != int64(accepted) {
			t.Errorf("envelopes of %s: %d accepted and %d processed, want %d", account, in, worked, accepted)
		}
		t.Logf("ledger of %s: %d stored, %d duplicates, %d quarantined, %d pending; envelopes %d accepted, %d processed", account, l.Stored, l.Duplicate, l.Quarantined, l.Pending, in, worked)
	}
}

// deliver posts everything through the webhook function, ten at a time, and says how long each delivery took, the shortest first.
func deliver(t *testing.T, w scenario.World, clock *scenario.Clock, messages int) []time.Duration {
	t.Helper()
	provider := fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: scenario.AppSecret, Now: clock.Time})
	next := make(chan int)
	took := make([][]time.Duration, loadWorkers)
	var wait sync.WaitGroup
	customers := messages / 10
	for worker := range loadWorkers {
		wait.Go(func() {
			for n := range next {
				who := fake.Person{Phone: fmt.Sprintf("3584%08d", n%customers), Name: fmt.Sprintf("Customer %d", n%customers)}
				body := provider.Body(provider.Text(who, fmt.Sprintf("message %d", n)).ID(fmt.Sprintf("w%d", n)))
				times := 1
				if n%10 == 0 {
					times = 2
				}
				for range times {
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scenario.BaseURL+"/hooks/whatsapp/main", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					r.Header.Set("X-Hub-Signature-256", provider.Sign(body))
					answer, sent := httptest.NewRecorder(), time.Now()
					if w.Door().ServeHTTP(answer, r); answer.Code != http.StatusOK {
						t.Errorf("delivery %d was answered with %d", n, answer.Code)
					}
					took[worker] = append(took[worker], time.Since(sent))
				}
			}
		})
	}
	for n := range messages {
		next <- n
	}
	close(next)
	wait.Wait()
	return slices.Sorted(slices.Values(slices.Concat(took...)))
}

// visibility is the inbound queue's in template.yaml.
const visibility = 180 * time.Second

// load is the work on a queue that is full.
type load struct {
	t        *testing.T
	w        scenario.World
	accepted int
	begun    time.Time

	mu sync.Mutex
	// done are the messages that were acknowledged; again counts deliveries of such, and of those that failed before.
	done           map[string]bool
	batches, again int
	moved          time.Time
}

// stuck is how long nothing may move: longer than a message that was received by nobody stays hidden.
const stuck = 2*visibility + time.Minute

// run has ten workers empty the queue while one follows the changes. The queue says when it is empty: counting what was
// acknowledged would wait for ever for one that became a dead letter, or whose delivery got lost on its way.
func (l *load) run() {
	ctx, stop := context.WithCancelCause(l.t.Context())
	defer stop(nil)
	l.moved = time.Now()
	var wait sync.WaitGroup
	for range loadWorkers {
		wait.Go(func() {
			for ctx.Err() == nil {
				batch, err := l.w.Queue("inbound").Receive(ctx, 10, time.Second)
				switch {
				case err != nil:
					l.t.Logf("received nothing: %v", err) // what was on its way comes again
				case len(batch) > 0:
					l.handle(ctx, batch)
				case l.empty(ctx):
					return
				case l.still() > stuck:
					stop(fmt.Errorf("nothing has moved for %s", l.still()))
				}
			}
		})
	}
	working, emptied := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(emptied)
		for open := true; open; {
			select {
			case <-working:
				open = false // once more, for what was written last
			default:
			}
			l.follow(ctx)
		}
	}()
	wait.Wait()
	close(working)
	<-emptied
	depth, err := l.w.Queue("inbound").Depth(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	if len(l.done) != l.accepted || depth != (queue.Depth{}) || context.Cause(ctx) != nil {
		l.t.Fatalf("%d of %d deliveries were never worked on; the queue holds %+v; %v", l.accepted-len(l.done), l.accepted, depth, context.Cause(ctx))
	}
}

// follow follows up changes until there are none.
func (l *load) follow(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := l.w.React(ctx)
		if err != nil {
			l.t.Logf("not followed: %v", err) // the same changes come again
			continue
		}
		if n == 0 {
			return
		}
	}
}

// empty says that nothing is left in the queue, visible or not.
func (l *load) empty(ctx context.Context) bool {
	depth, err := l.w.Queue("inbound").Depth(ctx)
	return err == nil && depth.Ready+depth.Delayed+depth.InFlight == 0
}

func (l *load) still() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.moved)
}

// handle works on a batch as the event source mapping does: what failed is released, the rest is acknowledged. A batch whose
// call fails is left to come again.
func (l *load) handle(ctx context.Context, batch []queue.Message) {
	inbound := l.w.Queue("inbound")
	failed, err := l.w.Handle(ctx, "inbound", batch)
	if err != nil {
		l.t.Logf("batch not handled: %v", err)
		return
	}
	done := slices.DeleteFunc(slices.Clone(batch), func(m queue.Message) bool { return slices.Contains(failed, m.ID) })
	for _, m := range batch {
		if slices.Contains(failed, m.ID) {
			if err := inbound.Release(ctx, m, 0); err != nil {
				l.t.Logf("not released: %v", err)
			}
		}
	}
	if err := inbound.Ack(ctx, done...); err != nil {
		l.t.Logf("not acknowledged: %v", err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.moved = time.Now()
	for _, m := range batch {
		if m.Attempt > 1 {
			l.again++
		}
	}
	for _, m := range done {
		l.done[m.ID] = true
	}
	if l.batches++; l.batches%1000 == 0 {
		l.t.Logf("after %s: %d batches, %d deliveries to go", time.Since(l.begun).Round(time.Second), l.batches, l.accepted-len(l.done))
	}
}

// warnings counts what the program logs from warnings on, by text, and keeps the first of each.
type warnings struct {
	mu    sync.Mutex
	by    map[string]int
	first []string
}

// Enabled implements slog.Handler.
func (w *warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

// WithAttrs implements slog.Handler.
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

// WithGroup implements slog.Handler.
func (w *warnings) WithGroup(string) slog.Handler { return w }

// Handle implements slog.Handler.
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.by[r.Message]++; w.by[r.Message] == 1 {
		line := r.Message
		r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
		w.first = append(w.first, line)
	}
	return nil
}

func (w *warnings) report(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.first {
		t.Logf("logged, the first time: %s", line)
	}
	for _, text := range slices.Sorted(maps.Keys(w.by)) {
		t.Logf("logged %d times: %s", w.by[text], text)
	}
}

// counted is a table that is read once, in pages as large as DynamoDB gives them: DynamoDB Local sorts the whole table for each.
// It counts the entries in it by external ID.
type counted struct {
	from  table.Scanner
	ahead []table.Item
	ids   map[string]int
}

// Scan implements table.Scanner for a reader that goes through everything once.
func (c *counted) Scan(ctx context.Context, from table.Key, limit int) ([]table.Item, error) {
	if len(c.ahead) < limit {
		if len(c.ahead) > 0 {
			from = c.ahead[len(c.ahead)-1].Key
		}
		more, err := c.from.Scan(ctx, from, 10_000)
		if err != nil {
			return nil, err
		}
		c.ahead = append(c.ahead, more...)
	}
	items := c.ahead[:min(limit, len(c.ahead))]
	c.ahead = c.ahead[len(items):]
	for i := range items {
		if strings.HasPrefix(items[i].PK, "C#") && strings.HasPrefix(items[i].SK, "E#") {
			_, after, _ := strings.Cut(string(items[i].Body), `"id":"`)
			id, _, _ := strings.Cut(after, `"`)
			c.ids[id]++
		}
	}
	return items, nil
}

// shares counts write units by partition of the table and of its indexes, by AWS's rules (see dynamo.Meter): a unit for each KB,
// double in a transaction; an index entry costs when it comes and when it goes. It knows an item before a write as it was
// written last, which is all there is: nobody else writes here.
type shares struct {
	mu    sync.Mutex
	total map[string]float64
	by    map[string]map[string]float64
	last  map[string]known
}

type known struct {
	units  float64
	places [2]string
}

func newShares() *shares {
	return &shares{total: map[string]float64{}, by: map[string]map[string]float64{}, last: map[string]known{}}
}

// indexes are the attributes that hold an index entry's place, see package dynamo.
var indexes = [2]struct{ name, pk, sk string }{{"work", "wp", "ws"}, {"due", "dp", "ds"}}

func (s *shares) written(w scenario.Written) {
	text := func(name string) string {
		v, _ := w.Item[name].(*types.AttributeValueMemberS)
		if v == nil {
			return ""
		}
		return v.Value
	}
	key := text("p") + "\x1f" + text("s")
	s.mu.Lock()
	defer s.mu.Unlock()
	was, is := s.last[key], known{}
	if !w.Deleted {
		is.units = dynamo.WriteUnits(w.Item)
	}
	units := max(was.units, is.units, 1)
	if w.Transaction {
		units *= 2
	}
	s.add("table", text("p"), units)
	for i, index := range indexes {
		if !w.Deleted && text(index.pk) != "" {
			is.places[i] = text(index.pk) + "\x1f" + text(index.sk)
		}
		for _, place := range []string{was.places[i], is.places[i]} {
			if pk, _, _ := strings.Cut(place, "\x1f"); was.places[i] != is.places[i] && pk != "" {
				s.add(index.name, pk, 1)
			}
		}
	}
	s.last[key] = is
}

func (s *shares) add(where, pk string, units float64) {
	if s.by[where] == nil {
		s.by[where] = map[string]float64{}
	}
	s.total[where] += units
	s.by[where][pk] += units
}

// largest is how many partitions are printed of each.
const largest = 3

func (s *shares) report(t *testing.T, messages int) {
	t.Helper()
	for _, where := range slices.Sorted(maps.Keys(s.by)) {
		by := s.by[where]
		most := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Compare(by[b], by[a]) })
		var text []string
		for _, pk := range most[:min(largest, len(most))] {
			text = append(text, fmt.Sprintf("%s… %.2f %%", pk[:min(len(pk), 14)], 100*by[pk]/s.total[where]))
		}
		t.Logf("%s: %.0f write units (%.2f a message) over %d partitions; the largest shares: %s", where, s.total[where], s.total[where]/float64(messages), len(by), strings.Join(text, ", "))
	}
}
