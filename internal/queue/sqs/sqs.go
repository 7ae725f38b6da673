// Package sqs is a queue on Amazon SQS: a standard queue with a redrive policy to a dead-letter queue.
//
// The queue itself is made by the template: visibility time-out, retention, and maxReceiveCount equal to queue.MaxAttempts.
// Group becomes MessageGroupId, which on a standard queue asks for fairness among groups and promises no order
// (docs.aws.amazon.com, "Amazon SQS fair queues", read on 2026-11-22).
//
// # Bodies
//
// SQS takes text of XML characters only. JSON, which is what this system sends, goes as it is and costs nothing extra; anything
// else goes in base64, a third longer, behind a prefix (see queue.EncodeText). No message attribute is used: attributes count
// towards the 1 MiB and would leave less for the largest bodies. Every started 64 KB of a request is billed as one.
//
// # Durations
//
// SQS counts in whole seconds: delays are rounded up, so that nothing comes early.
package sqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
)

// maxBatch is how many messages one request carries, in every direction.
const maxBatch = 10

// maxWait is the longest that SQS lets a receive wait.
const maxWait = 20 * time.Second

// Queue is one queue with its dead-letter queue. All methods are safe for concurrent use. Create one with New.
type Queue struct {
	client    *sqs.Client
	url, dead string
}

var _ queue.Queue = (*Queue)(nil)

// New is the queue at url, with its dead-letter queue at dead. A queue that is only sent to needs no dead.
//
// The client's retryer decides how often a throttled or lost request is repeated; the SDK's standard one is right. A repeated
// send whose first answer was lost doubles its messages.
func New(client *sqs.Client, url, dead string) *Queue {
	return &Queue{client: client, url: url, dead: dead}
}

// received are the attributes that a Message is made from.
var received = []types.MessageSystemAttributeName{
	types.MessageSystemAttributeNameApproximateReceiveCount,
	types.MessageSystemAttributeNameSentTimestamp,
	types.MessageSystemAttributeNameMessageGroupId,
}

// Receive implements queue.Queue. It returns at most 10 messages and waits at most 20 s, whatever it is asked for. With no wait,
// SQS looks at a part of its servers only and may find nothing although there is something.
func (q *Queue) Receive(ctx context.Context, limit int, wait time.Duration) ([]queue.Message, error) {
	got, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &q.url, MaxNumberOfMessages: int32(min(max(limit, 1), maxBatch)), WaitTimeSeconds: seconds(min(wait, maxWait)),
		MessageSystemAttributeNames: received,
	})
	if err != nil {
		return nil, typed(err, "receive from queue %s", q.url)
	}
	return messages(got.Messages), nil
}

func messages(from []types.Message) []queue.Message {
	ms := make([]queue.Message, 0, len(from))
	for _, m := range from {
		ms = append(ms, queue.Message{
			ID: aws.ToString(m.MessageId), Handle: aws.ToString(m.ReceiptHandle), Body: queue.DecodeText(aws.ToString(m.Body)),
			Group:   m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
			Attempt: int(number(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)])),
			SentAt:  msg.Time(number(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)])),
		})
	}
	return ms
}

// number reads what SQS counts; 0 for what is not there.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // approximate values: a missing one is as good as 0
	return n
}

// seconds rounds up to SQS's unit. d is within the limits by then, which fit.
func seconds(d time.Duration) int32 {
	return int32((max(d, 0) + time.Second - 1) / time.Second) //nolint:gosec // at most 12 hours
}

// Release implements queue.Queue. A delivery whose visibility ran out already is left as it is: visible.
func (q *Queue) Release(ctx context.Context, m queue.Message, delay time.Duration) error {
	if delay < 0 || delay > queue.MaxDelay {
		return fmt.Errorf("release message %s: %w (delay %s, 0 to %s)", m.ID, queue.ErrLimit, delay, queue.MaxDelay)
	}
	_, err := q.client.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &q.url, ReceiptHandle: &m.Handle, VisibilityTimeout: seconds(delay),
	})
	if err != nil && !ranOut(err) {
		return typed(err, "release message %s of queue %s", m.ID, q.url)
	}
	return nil
}

// ranOut says that the delivery is no longer the caller's.
func ranOut(err error) bool {
	if _, ok := errors.AsType[*types.MessageNotInflight](err); ok {
		return true
	}
	_, ok := errors.AsType[*types.ReceiptHandleIsInvalid](err)
	return ok
}

// Depth implements queue.Queue: approximate, and about a minute behind after a burst.
func (q *Queue) Depth(ctx context.Context) (queue.Depth, error) {
	main, err := q.counts(ctx, q.url)
	if err != nil {
		return queue.Depth{}, err
	}
	letters, err := q.counts(ctx, q.dead)
	if err != nil {
		return queue.Depth{}, err
	}
	main.Dead = letters.Ready + letters.Delayed + letters.InFlight
	return main, nil
}

func (q *Queue) counts(ctx context.Context, url string) (queue.Depth, error) {
	if url == "" {
		return queue.Depth{}, errNoDead
	}
	got, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
		types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	}})
	if err != nil {
		return queue.Depth{}, typed(err, "count the messages of queue %s", url)
	}
	return queue.Depth{
		Ready:    number(got.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)]),
		Delayed:  number(got.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessagesDelayed)]),
		InFlight: number(got.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessagesNotVisible)]),
	}, nil
}

var errNoDead = errors.New("the queue was opened without its dead-letter queue: configure the URL of that as well")
