//go:build parts

package scenario_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/scenario"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/table"
)

// What comes in: customers write ten messages each, and every tenth delivery comes twice.
const (
	loadMessages  = 5000
	loadCustomers = 500
	loadWorkers   = 10
)

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

func TestFiveThousandMessagesThroughLambdaHandlersWithTenWorkers(t *testing.T) {
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
	accepted := deliver(t, w, stage.Clock)
	taken := time.Since(begun)
	worked := work(t, w, accepted)
	all := time.Since(begun)

	problems, err := w.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
	ids := entries(t, w)
	if len(ids) != loadMessages {
		t.Errorf("%d messages in timelines, want %d", len(ids), loadMessages)
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
		if l.Stored != loadMessages || l.Duplicate != int64(accepted)-loadMessages || l.Quarantined+l.Pending != 0 {
			t.Errorf("ledger %+v of %d accepted", l, accepted)
		}
	}
	t.Logf("%d accepted in %s, all worked on in %s (%d batches)", accepted, taken.Round(time.Millisecond), all.Round(time.Millisecond), worked)
	shares.report(t)
}

// deliver posts everything through the webhook function, ten at a time, and says how many deliveries there were.
func deliver(t *testing.T, w scenario.World, clock *scenario.Clock) int {
	t.Helper()
	provider := fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: scenario.AppSecret, Now: clock.Time})
	next := make(chan int)
	var accepted atomic.Int64
	var wait sync.WaitGroup
	for range loadWorkers {
		wait.Go(func() {
			for n := range next {
				who := fake.Person{Phone: fmt.Sprintf("3584%08d", n%loadCustomers), Name: fmt.Sprintf("Customer %d", n%loadCustomers)}
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
	for n := range loadMessages {
		next <- n
	}
	close(next)
	wait.Wait()
	return int(accepted.Load())
}

// work has ten workers empty the queue while one follows the changes, and says how many batches there were.
func work(t *testing.T, w scenario.World, accepted int) int {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
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
				batches.Add(1)
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

// entries counts the entries of every timeline by external ID.
func entries(t *testing.T, w scenario.World) map[string]int {
	t.Helper()
	ids := map[string]int{}
	from := table.Key{}
	for {
		items, err := w.App().Store.Table().(table.Scanner).Scan(t.Context(), from, 500)
		if err != nil {
			t.Fatal(err)
		}
		for i := range items {
			from = items[i].Key
			if strings.HasPrefix(from.PK, "C#") && strings.HasPrefix(from.SK, "E#") {
				_, after, _ := strings.Cut(string(items[i].Body), `"id":"`)
				id, _, _ := strings.Cut(after, `"`)
				ids[id]++
			}
		}
		if len(items) < 500 {
			return ids
		}
	}
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

func (s *shares) report(t *testing.T) {
	t.Helper()
	for where, by := range s.by {
		most, units := "", 0.0
		for k, u := range by {
			if u > units {
				most, units = k, u
			}
		}
		t.Logf("%s: %.0f write units (%.1f a message) over %d partitions; the largest share is %.1f %% (%s…)",
			where, s.total[where], s.total[where]/loadMessages, len(by), 100*units/s.total[where], most[:min(len(most), 14)])
	}
}
