package sqs

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/aikajana/aikajana/internal/queue"
)

// looking is how long a dead letter stays invisible while Dead looks through them, so that it sees each once.
const looking = 30 * time.Second

// Dead implements queue.Queue. SQS cannot show messages without delivering them: they are received, shown and made visible
// again, and are out of sight for a Redrive in between (half a minute at most, should making them visible fail).
func (q *Queue) Dead(ctx context.Context, limit int) ([]queue.Message, error) {
	if q.dead == "" {
		return nil, errNoDead
	}
	var letters []queue.Message
	seen := make(map[string]bool)
	var failed error
	for len(letters) < limit {
		got, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &q.dead, MaxNumberOfMessages: int32(min(limit-len(letters), maxBatch)), VisibilityTimeout: seconds(looking), //nolint:gosec // at most 10
			WaitTimeSeconds: 1, MessageSystemAttributeNames: received, // a wait has SQS look at all its servers
		})
		if err != nil {
			failed = typed(err, "read the dead-letter queue %s", q.dead)
			break
		}
		if len(got.Messages) == 0 {
			break
		}
		for _, m := range messages(got.Messages) {
			if !seen[m.ID] {
				seen[m.ID] = true
				letters = append(letters, m)
			}
		}
	}
	if err := q.show(context.WithoutCancel(ctx), letters); err != nil && failed == nil {
		failed = err
	}
	if failed != nil {
		return nil, failed
	}
	for n := range letters {
		letters[n].Handle = "" // nobody can settle it
	}
	return letters, nil
}

// show makes dead letters visible again.
func (q *Queue) show(ctx context.Context, letters []queue.Message) error {
	for len(letters) > 0 {
		n := min(len(letters), maxBatch)
		entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, n)
		for i, m := range letters[:n] {
			entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(m.ID), ReceiptHandle: aws.String(m.Handle), VisibilityTimeout: 0}
		}
		if _, err := q.client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.dead, Entries: entries}); err != nil {
			return typed(err, "make the letters of dead-letter queue %s visible again", q.dead)
		}
		letters = letters[n:]
	}
	return nil
}

// Redrive implements queue.Queue by a message move task of SQS, which goes on by itself after Redrive has returned and does
// not say how many it moves: the count is -1. When such a task is running already, that one does it.
func (q *Queue) Redrive(ctx context.Context) (int, error) {
	if q.dead == "" {
		return 0, errNoDead
	}
	got, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q.dead, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return 0, typed(err, "redrive dead-letter queue %s", q.dead)
	}
	arn := got.Attributes[string(types.QueueAttributeNameQueueArn)]
	_, err = q.client.StartMessageMoveTask(ctx, &sqs.StartMessageMoveTaskInput{SourceArn: &arn})
	if err != nil && !underWay(err) {
		return 0, typed(err, "redrive dead-letter queue %s", q.dead)
	}
	return -1, nil
}

// underWay says that a task is moving the messages already: SQS allows one at a time for a source.
func underWay(err error) bool {
	if _, ok := errors.AsType[*types.UnsupportedOperation](err); ok {
		return true
	}
	e, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.Contains(strings.ToLower(e.ErrorMessage()), "already")
}
