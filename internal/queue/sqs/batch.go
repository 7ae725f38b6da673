package sqs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
)

// rounds is how often the entries that failed inside a batch are tried; the SDK repeats whole requests only.
const rounds = 4

// pause is the wait before the second round, doubled before each further one.
const pause = 50 * time.Millisecond

// Send implements queue.Sender. Messages travel in requests of at most 10 and 1 MiB together. SQS may take some messages of a
// request and refuse others; those are tried again a few times before Send gives up.
func (q *Queue) Send(ctx context.Context, out ...queue.Outgoing) error {
	if err := queue.Validate(out); err != nil {
		return err
	}
	entries := make([]types.SendMessageBatchRequestEntry, len(out))
	for n, o := range out {
		entries[n] = types.SendMessageBatchRequestEntry{
			Id: aws.String(strconv.Itoa(n)), MessageBody: aws.String(queue.EncodeText(o.Body)), DelaySeconds: seconds(o.Delay),
		}
		if o.Group != "" {
			entries[n].MessageGroupId = aws.String(o.Group)
		}
	}
	for batch := range batches(entries, func(e types.SendMessageBatchRequestEntry) int { return len(*e.MessageBody) }) {
		err := untilTaken(ctx, batch, func(e types.SendMessageBatchRequestEntry) *string { return e.Id },
			func(some []types.SendMessageBatchRequestEntry) ([]types.BatchResultErrorEntry, error) {
				done, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: some})
				if err != nil {
					return nil, err
				}
				return done.Failed, nil
			})
		if err != nil {
			return typed(err, "send %d messages to queue %s", len(out), q.url)
		}
	}
	return nil
}

// Ack implements queue.Queue.
func (q *Queue) Ack(ctx context.Context, ms ...queue.Message) error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(ms))
	for n, m := range ms {
		entries[n] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(n)), ReceiptHandle: aws.String(m.Handle)}
	}
	var failed error
	for batch := range slices.Chunk(entries, maxBatch) { // go on after a failure: what can be acknowledged should be
		err := untilTaken(ctx, batch, func(e types.DeleteMessageBatchRequestEntry) *string { return e.Id },
			func(some []types.DeleteMessageBatchRequestEntry) ([]types.BatchResultErrorEntry, error) {
				done, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: some})
				if err != nil {
					return nil, err
				}
				return slices.DeleteFunc(done.Failed, func(f types.BatchResultErrorEntry) bool {
					return aws.ToString(f.Code) == "ReceiptHandleIsInvalid" // it ran out: no error
				}), nil
			})
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return typed(failed, "acknowledge %d messages of queue %s", len(ms), q.url)
	}
	return nil
}

// batches cuts entries into requests that SQS takes.
func batches[E any](entries []E, size func(E) int) func(yield func([]E) bool) {
	return func(yield func([]E) bool) {
		for len(entries) > 0 {
			n, bytes := 1, size(entries[0])
			for n < min(len(entries), maxBatch) && bytes+size(entries[n]) <= queue.MaxBody {
				bytes += size(entries[n])
				n++
			}
			if !yield(entries[:n]) {
				return
			}
			entries = entries[n:]
		}
	}
}

// untilTaken calls request with the entries, and again with those that it says failed.
func untilTaken[E any](ctx context.Context, entries []E, id func(E) *string, request func([]E) ([]types.BatchResultErrorEntry, error)) error {
	wait := pause
	for round := 1; ; round++ {
		failed, err := request(entries)
		if err != nil || len(failed) == 0 {
			return err
		}
		first := failed[0]
		err = &refused{count: len(failed), of: len(entries), code: aws.ToString(first.Code), message: aws.ToString(first.Message), ours: first.SenderFault}
		if round == rounds || slices.ContainsFunc(failed, func(f types.BatchResultErrorEntry) bool { return f.SenderFault }) {
			return err
		}
		entries = slices.DeleteFunc(slices.Clone(entries), func(e E) bool {
			return !slices.ContainsFunc(failed, func(f types.BatchResultErrorEntry) bool { return aws.ToString(f.Id) == *id(e) })
		})
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(ctx.Err(), err)
		}
		wait *= 2
	}
}

// refused is what SQS says about entries of a batch that it did not take.
type refused struct {
	count, of     int
	code, message string
	ours          bool // the request is at fault, not the service
}

// Error names the first entry's reason.
func (r *refused) Error() string {
	return fmt.Sprintf("%d of %d refused: %s %s", r.count, r.of, r.code, r.message)
}

// typed says what is to become of an error of SQS: throttling and outages are to be tried again, a request that SQS will never
// take is not, and everything else is left for the caller to find untyped.
func typed(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if r, ok := errors.AsType[*refused](err); ok {
		if r.ours {
			return fault.Newf(fault.Permanent, r.code, "%s: %w", what, err)
		}
		return fault.RetryAfter(time.Second, r.code, "%s: %w", what, err)
	}
	throttled := retry.IsErrorThrottles(retry.DefaultThrottles).IsErrorThrottle(err) == aws.TrueTernary
	if throttled {
		return fault.RetryAfter(time.Second, "throttled", "%s: %w", what, err)
	}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok && r.HTTPStatusCode() >= http.StatusInternalServerError {
		return fault.RetryAfter(time.Second, "unavailable", "%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
