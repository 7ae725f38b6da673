//go:build parts

package scenario_test

import (
	"bytes"
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
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/scenario"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/table"
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

// manyConnections lets each worker keep its connections to DynamoDB Local: the default keeps two for all of them, and making
// new ones takes the stand-in as long as its work.
func manyConnections(t *testing.T) {
	t.Helper()
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t.Fatal("the default transport is not net/http's")
	}
	was := transport.MaxIdleConnsPerHost
	transport.MaxIdleConnsPerHost = 10 * loadWorkers
	t.Cleanup(func() { transport.CloseIdleConnections(); transport.MaxIdleConnsPerHost = was })
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
	manyConnections(t)
	on := partsOfItsOwn(t)
	shares := &shares{total: map[string]float64{}, by: map[string]map[string]float64{}, last: map[string]string{}}
	on.Written = shares.written
	stage := scenario.Stage{
		Dir: t.TempDir(), Key: bytes.Repeat([]byte("k"), 32), Rand: rand.NewChaCha8([32]byte{1}), Log: slog.New(slog.DiscardHandler),
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
	})
	if err := scenario.Connect(t.Context(), w, "http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	accepted := deliver(t, w, stage.Clock, messages)
	taken := time.Since(begun)
	t.Logf("%d messages in %d deliveries accepted in %s", messages, accepted, taken.Round(time.Millisecond))
	worked := work(t, w, accepted)
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
	ledger, err := w.App().Store.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range ledger {
		if l.Stored != int64(messages) || l.Duplicate != int64(accepted-messages) || l.Quarantined+l.Pending != 0 {
			t.Errorf("ledger %+v of %d accepted", l, accepted)
		}
		t.Logf("ledger of %s/%s: %d stored, %d duplicates, %d quarantined, %d pending", l.Channel, l.Account, l.Stored, l.Duplicate, l.Quarantined, l.Pending)
	}
	t.Logf("all worked on in %s (%d batches); every message is in a timeline once", all.Round(time.Millisecond), worked)
	shares.report(t, messages)
}

// deliver posts everything through the webhook function, ten at a time, and says how many deliveries there were.
func deliver(t *testing.T, w scenario.World, clock *scenario.Clock, messages int) int {
	t.Helper()
	provider := fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: scenario.AppSecret, Now: clock.Time})
	next := make(chan int)
	var accepted atomic.Int64
	var wait sync.WaitGroup
	customers := messages / 10
	for range loadWorkers {
		wait.Go(func() {
			for n := range next {
				who := fake.Person{Phone: fmt.Sprintf("3584%08d", n%customers), Name: fmt.Sprintf("Customer %d", n%customers)}
				body := provider.Body(provider.Text(who, fmt.Sprintf("message %d", n)).ID(fmt.Sprintf("w%d", n)))
				times := 1
				if n%10 == 0 {
					times = 2
				}
				for range times {
					accepted.Add(1)
					r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, scenario.BaseURL+"/hooks/whatsapp/main", bytes.NewReader(body))
					if err != nil {
						t.Error(err)
						return
					}
					r.Header.Set("X-Hub-Signature-256", provider.Sign(body))
					answer := httptest.NewRecorder()
					if w.Door().ServeHTTP(answer, r); answer.Code != http.StatusOK {
						t.Errorf("delivery %d was answered with %d", n, answer.Code)
					}
				}
			}
		})
	}
	for n := range messages {
		next <- n
	}
	close(next)
	wait.Wait()
	return int(accepted.Load())
}

// work has ten workers empty the queue while one follows the changes, and says how many batches there were.
func work(t *testing.T, w scenario.World, accepted int) int {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute+time.Duration(accepted)*50*time.Millisecond) // a tenth of the usual pace
	defer stop()
	var left, batches atomic.Int64
	left.Store(int64(accepted))
	var wait sync.WaitGroup
	for range loadWorkers {
		wait.Go(func() {
			for left.Load() > 0 && ctx.Err() == nil {
				batch, err := w.Queue("inbound").Receive(ctx, 10, time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				if len(batch) == 0 {
					continue
				}
				if n := batches.Add(1); n%1000 == 0 {
					t.Logf("%d batches, %d messages to go", n, left.Load())
				}
				left.Add(-int64(handle(ctx, t, w, batch)))
			}
		})
	}
	follow := func() {
		for ctx.Err() == nil {
			n, err := w.React(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if n == 0 {
				return
			}
		}
	}
	following := make(chan struct{})
	go func() {
		defer close(following)
		for left.Load() > 0 && ctx.Err() == nil {
			follow()
		}
	}()
	wait.Wait()
	<-following
	follow()
	if left.Load() != 0 {
		t.Fatalf("%d messages were never worked on", left.Load())
	}
	return int(batches.Load())
}

// handle works on a batch and says how many messages are done with; those that fail are released at once.
func handle(ctx context.Context, t *testing.T, w scenario.World, batch []queue.Message) int {
	failed, err := w.Handle(ctx, "inbound", batch)
	if err != nil {
		t.Error(err)
		return 0
	}
	var done []queue.Message
	for _, m := range batch {
		if !strings.Contains(" "+strings.Join(failed, " ")+" ", " "+m.ID+" ") {
			done = append(done, m)
			continue
		}
		if err := w.Queue("inbound").Release(ctx, m, 0); err != nil {
			t.Error(err)
		}
	}
	if err := w.Queue("inbound").Ack(ctx, done...); err != nil {
		t.Error(err)
	}
	return len(done)
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

// shares counts write units by partition of the table and of its indexes, by AWS's rules: a unit for each KB, double in a
// transaction; an index entry costs when it comes and when it goes.
type shares struct {
	mu    sync.Mutex
	total map[string]float64
	by    map[string]map[string]float64
	last  map[string]string
}

// indexes are the attributes that hold an index entry's place, see package dynamo.
var indexes = map[string][2]string{"work": {"wp", "ws"}, "due": {"dp", "ds"}}

func (s *shares) written(item map[string]types.AttributeValue, transaction bool) {
	text := func(name string) string {
		v, _ := item[name].(*types.AttributeValueMemberS)
		if v == nil {
			return ""
		}
		return v.Value
	}
	size := 100
	if b, ok := item["b"].(*types.AttributeValueMemberB); ok {
		size += len(b.Value)
	}
	units := float64((size + 1023) / 1024)
	if transaction {
		units *= 2
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add("table", text("p"), units)
	for index, at := range indexes {
		key := index + text("p") + "/" + text("s")
		was, is := s.last[key], text(at[0])+"\x1f"+text(at[1])
		for _, place := range []string{was, is} {
			if pk, _, _ := strings.Cut(place, "\x1f"); was != is && pk != "" {
				s.add(index, pk, 1)
			}
		}
		s.last[key] = is
	}
}

func (s *shares) add(where, pk string, units float64) {
	if s.by[where] == nil {
		s.by[where] = map[string]float64{}
	}
	s.total[where] += units
	s.by[where][pk] += units
}

func (s *shares) report(t *testing.T, messages int) {
	t.Helper()
	for _, where := range slices.Sorted(maps.Keys(s.by)) {
		by := s.by[where]
		most, units := "", 0.0
		for k, u := range by {
			if u > units {
				most, units = k, u
			}
		}
		t.Logf("%s: %.0f write units (%.1f a message) over %d partitions; the largest share is %.1f %% (%s…)",
			where, s.total[where], s.total[where]/float64(messages), len(by), 100*units/s.total[where], most[:min(len(most), 14)])
	}
}
