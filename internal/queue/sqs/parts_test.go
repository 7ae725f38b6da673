//go:build parts

package sqs

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/queue/queuetest"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/standin/proxy"
)

// TestMain lets many tests wait at once: what they wait for is ElasticMQ's clock, not the processor.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// visibility is as short as a busy machine allows: SQS counts in whole seconds.
const visibility = 3 * time.Second

func TestConformance(t *testing.T) { t.Parallel(); queuetest.Run(t, harness) }

func TestFault57_OnlyTheFailedMessageOfABatchComesAgain(t *testing.T) {
	t.Parallel()
	queuetest.Fault57(t, harness(t))
}

func TestFault58_ThrottledWorkIsNotDeadLetteredUnprocessed(t *testing.T) {
	t.Parallel()
	queuetest.Fault58(t, harness(t))
}

func TestFault59_RedrivingTwiceDeliversOnce(t *testing.T) {
	t.Parallel()
	queuetest.Fault59(t, harness(t))
}

func TestFault60_KilledWorkersMessageIsTakenOver(t *testing.T) {
	t.Parallel()
	queuetest.Fault60(t, harness(t))
}

func harness(t *testing.T) *queuetest.Harness {
	q := newQueue(t, nil)
	return &queuetest.Harness{
		Queue: q, Visibility: visibility, Patience: 10 * time.Second, Messages: 1000,
		Pass:   func(d time.Duration) { time.Sleep(d + 200*time.Millisecond) }, // nobody can move ElasticMQ's clock
		Reopen: func() queue.Queue { return New(q.client, q.url, q.dead) },
	}
}

// newQueue is an empty queue, with a client that goes through a proxy that makes trouble, when there is any.
func newQueue(t *testing.T, trouble proxy.Decide) *Queue {
	t.Helper()
	ctx := t.Context()
	plain := sqs.NewFromConfig(standin.Config(standin.SQS(t)))
	name := strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())
	name = name[max(0, len(name)-60):] + "-" + rand.Text()[:8] // SQS allows 80; a test may run more than once
	dead, err := plain.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + "-dead")})
	if err != nil {
		t.Fatal(err)
	}
	attributes, err := plain.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: dead.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatal(err)
	}
	made, err := plain.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: map[string]string{
		string(types.QueueAttributeNameVisibilityTimeout): fmt.Sprint(int(visibility.Seconds())),
		string(types.QueueAttributeNameRedrivePolicy): fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`,
			attributes.Attributes[string(types.QueueAttributeNameQueueArn)], queue.MaxAttempts),
	}})
	if err != nil {
		t.Fatal(err)
	}
	client := plain
	if trouble != nil {
		p, err := proxy.Open(standin.SQS(t), trouble)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		client = sqs.NewFromConfig(standin.Config(p.URL))
	}
	return New(client, *made.QueueUrl, *dead.QueueUrl)
}

// TestFault58_ThrottleStormDeadLettersNothing has SQS itself refuse nearly everything for a while, receive by receive and
// acknowledgement by acknowledgement.
func TestFault58_ThrottleStormDeadLettersNothing(t *testing.T) {
	t.Parallel()
	var storm atomic.Bool
	var calls, refusals atomic.Int64
	q := newQueue(t, func(*proxy.Call) proxy.Trouble {
		if n := calls.Add(1); storm.Load() && n%4 != 0 {
			refusals.Add(1)
			return proxy.Throttle(0)
		}
		return nil
	})
	const messages = 60
	for n := range messages {
		if err := q.Send(t.Context(), queue.Outgoing{Body: fmt.Appendf(nil, "m%d", n)}); err != nil {
			t.Fatal(err)
		}
	}
	storm.Store(true)
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	var mu sync.Mutex
	seen := make(map[string]bool)
	queue.Work(ctx, q, func(_ context.Context, batch []queue.Message) []string {
		mu.Lock()
		defer mu.Unlock()
		for _, m := range batch {
			if seen[string(m.Body)] = true; len(seen) == messages {
				stop()
			}
		}
		return nil
	}, queue.WorkOptions{Wait: time.Second, Concurrency: 2, OnError: func(err error) {
		if fault.Of(err) != fault.Retry {
			t.Errorf("an error of the storm is %v, want Retry: %v", fault.Of(err), err)
		}
	}})
	storm.Store(false)
	if len(seen) != messages || refusals.Load() < messages/4 {
		t.Errorf("%d of %d messages were worked on through %d refusals", len(seen), messages, refusals.Load())
	}
	if d, err := q.Depth(t.Context()); err != nil || d.Dead != 0 {
		t.Errorf("depth %+v, %v, want nothing dead", d, err)
	}
}

// losing loses the first answers to an action, after it has been carried out.
func losing(what string, times int64) proxy.Decide {
	var lost atomic.Int64
	return func(c *proxy.Call) proxy.Trouble {
		if c.Action == what && lost.Add(1) <= times {
			return proxy.Lose
		}
		return nil
	}
}

func receiveAll(t *testing.T, q *Queue, n int) map[string]int {
	t.Helper()
	times := make(map[string]int)
	for end := time.Now().Add(30 * time.Second); len(times) < n && time.Now().Before(end); {
		got, err := q.Receive(t.Context(), 10, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got {
			times[string(m.Body)]++
		}
		if err := q.Ack(t.Context(), got...); err != nil {
			t.Fatal(err)
		}
	}
	return times
}

func TestFault58_SendWhoseAnswerIsLostIsRepeatedAndLosesNothing(t *testing.T) {
	t.Parallel()
	q := newQueue(t, losing("SendMessageBatch", 1))
	if err := q.Send(t.Context(), queue.Outgoing{Body: []byte("a")}, queue.Outgoing{Body: []byte("b")}); err != nil {
		t.Fatal(err)
	}
	if got := receiveAll(t, q, 2); got["a"] == 0 || got["b"] == 0 {
		t.Errorf("received %v, want both at least once", got)
	}
}

func TestFault58_ReceiveWhoseAnswerIsLostLosesNoMessage(t *testing.T) {
	t.Parallel()
	q := newQueue(t, losing("ReceiveMessage", 1))
	if err := q.Send(t.Context(), queue.Outgoing{Body: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	if got := receiveAll(t, q, 1); got["a"] != 1 {
		t.Errorf("received %v, want a, after the visibility time-out", got)
	}
}

func TestFault58_AckWhoseAnswerIsLostIsRepeated(t *testing.T) {
	t.Parallel()
	q := newQueue(t, losing("DeleteMessageBatch", 1))
	if err := q.Send(t.Context(), queue.Outgoing{Body: []byte("a")}); err != nil {
		t.Fatal(err)
	}
	if got := receiveAll(t, q, 1); got["a"] != 1 {
		t.Errorf("received %v, want a once", got)
	}
}

// refusing takes the entries with the given ID out of batches, the first times, and says that they failed.
func refusing(what, id string, times int64, senderFault bool) proxy.Decide {
	var refused atomic.Int64
	refuse := func(x *proxy.Exchange) {
		var in map[string]any
		if err := json.Unmarshal(x.Body, &in); err != nil {
			x.Cut()
			return
		}
		all := in["Entries"].([]any)
		kept := slices.DeleteFunc(slices.Clone(all), func(e any) bool { return e.(map[string]any)["Id"] == id })
		if len(kept) == len(all) || refused.Add(1) > times {
			x.Answer(x.Forward(x.Body))
			return
		}
		out := map[string]any{"Successful": []any{}}
		if in["Entries"] = kept; len(kept) > 0 {
			body, err := json.Marshal(in)
			if err != nil || json.Unmarshal(x.Forward(body).Body, &out) != nil {
				x.Cut()
				return
			}
		}
		out["Failed"] = []any{map[string]any{"Id": id, "Code": "InternalError", "Message": "try again", "SenderFault": senderFault}}
		x.Say(http.StatusOK, out)
	}
	return func(c *proxy.Call) proxy.Trouble {
		if c.Action == what {
			return refuse
		}
		return nil
	}
}

func TestEntriesThatSQSRefusesInABatchAreSentAgain(t *testing.T) {
	t.Parallel()
	q := newQueue(t, refusing("SendMessageBatch", "3", 2, false))
	var ten []queue.Outgoing
	for n := range 10 {
		ten = append(ten, queue.Outgoing{Body: fmt.Appendf(nil, "m%d", n)})
	}
	if err := q.Send(t.Context(), ten...); err != nil {
		t.Fatal(err)
	}
	got := receiveAll(t, q, 10)
	for n := range 10 {
		if body := fmt.Sprintf("m%d", n); got[body] != 1 {
			t.Errorf("%s came %d times", body, got[body])
		}
	}
}

func TestEntriesThatSQSGoesOnRefusingAreReported(t *testing.T) {
	t.Parallel()
	for senderFault, want := range map[bool]fault.Kind{false: fault.Retry, true: fault.Permanent} {
		q := newQueue(t, refusing("SendMessageBatch", "0", 100, senderFault))
		err := q.Send(t.Context(), queue.Outgoing{Body: []byte("a")}, queue.Outgoing{Body: []byte("b")})
		if fault.Of(err) != want || fault.Code(err) != "InternalError" {
			t.Errorf("sender's fault %v: got %v (%v), want %v", senderFault, err, fault.Of(err), want)
		}
	}
	q := newQueue(t, refusing("DeleteMessageBatch", "0", 100, false))
	if err := q.Ack(t.Context(), queue.Message{Handle: "none"}); fault.Of(err) != fault.Retry {
		t.Errorf("an acknowledgement that is refused: %v, want Retry", err)
	}
}

func TestThrottledSendIsToBeTriedAgain(t *testing.T) {
	t.Parallel()
	q := newQueue(t, func(*proxy.Call) proxy.Trouble { return proxy.Throttle(0) })
	err := q.Send(t.Context(), queue.Outgoing{Body: []byte("a")})
	if fault.Of(err) != fault.Retry || fault.After(err) == 0 {
		t.Errorf("got %v (%v), want a Retry that says when", err, fault.Of(err))
	}
}

func TestDeadLettersAreVisibleAgainAfterALook(t *testing.T) {
	t.Parallel()
	q := newQueue(t, nil)
	const n = 12 // more than one receive
	for i := range n {
		if _, err := q.client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &q.dead, MessageBody: aws.String(fmt.Sprint(i))}); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{100, 5, 100} {
		letters, err := q.Dead(t.Context(), limit)
		if err != nil || len(letters) != min(n, limit) {
			t.Errorf("found %d of %d dead letters, at most %d, %v", len(letters), n, limit, err)
		}
	}
}
