//go:build parts

package sqs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
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

// newQueue is an empty queue, with a client that goes through the round tripper when there is one.
func newQueue(t *testing.T, through http.RoundTripper) *Queue {
	t.Helper()
	ctx := t.Context()
	config := standin.Config(standin.SQS(t))
	plain := sqs.NewFromConfig(config)
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
	if through != nil {
		config.HTTPClient = &http.Client{Transport: through}
		client = sqs.NewFromConfig(config)
	}
	return New(client, *made.QueueUrl, *dead.QueueUrl)
}

// trip lets a test do what it likes with a request.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// action is what the request asks for, like "SendMessageBatch".
func action(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
}

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)), Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
}

func throttled(r *http.Request) *http.Response {
	return answer(r, http.StatusBadRequest, `{"__type":"com.amazonaws.sqs#RequestThrottled","message":"slow down"}`)
}

// TestFault58_ThrottleStormDeadLettersNothing has SQS itself refuse nearly everything for a while, receive by receive and
// acknowledgement by acknowledgement.
func TestFault58_ThrottleStormDeadLettersNothing(t *testing.T) {
	t.Parallel()
	var storm atomic.Bool
	var calls, refusals atomic.Int64
	q := newQueue(t, trip(func(r *http.Request) (*http.Response, error) {
		if n := calls.Add(1); storm.Load() && n%4 != 0 {
			refusals.Add(1)
			return throttled(r), nil
		}
		return http.DefaultTransport.RoundTrip(r)
	}))
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
func losing(what string, times int64) trip {
	var lost atomic.Int64
	return func(r *http.Request) (*http.Response, error) {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && action(r) == what && lost.Add(1) <= times {
			_ = resp.Body.Close() // nobody gets to read it
			return nil, errors.New("connection reset by peer")
		}
		return resp, err
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
func refusing(what, id string, times int64, senderFault bool) trip {
	var refused atomic.Int64
	return func(r *http.Request) (*http.Response, error) {
		if action(r) != what {
			return http.DefaultTransport.RoundTrip(r)
		}
		var in map[string]any
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			return nil, err
		}
		var kept []any
		for _, e := range in["Entries"].([]any) {
			if e.(map[string]any)["Id"] != id || refused.Load() >= times {
				kept = append(kept, e)
			}
		}
		took := len(in["Entries"].([]any)) - len(kept)
		in["Entries"] = kept
		failed := fmt.Sprintf(`[{"Id":%q,"Code":"InternalError","Message":"try again","SenderFault":%v}]`, id, senderFault)
		if took > 0 {
			refused.Add(1)
		}
		if len(kept) == 0 {
			return answer(r, http.StatusOK, `{"Successful":[],"Failed":`+failed+`}`), nil
		}
		body, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || took == 0 {
			return resp, err
		}
		var out map[string]json.RawMessage
		if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
			return nil, err
		}
		out["Failed"] = json.RawMessage(failed)
		body, err = json.Marshal(out)
		return answer(r, http.StatusOK, string(body)), err
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
	q := newQueue(t, trip(func(r *http.Request) (*http.Response, error) { return throttled(r), nil }))
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
