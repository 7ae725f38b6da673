// Package awslambda turns Lambda's events into what the program's handlers take, and back. It is the only importer of
// aws-lambda-go, and knows nothing of what the handlers do.
package awslambda

import (
	"context"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// SQS makes a handler of an SQS event source with ReportBatchItemFailures: the messages that failed come again, the others
// are deleted by Lambda. (docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html, read on 2026-11-22)
func SQS(h queue.Handler) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		batch := make([]queue.Message, len(e.Records))
		for i := range e.Records {
			batch[i] = sqsMessage(&e.Records[i])
		}
		response := events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
		for _, id := range h(ctx, batch) {
			response.BatchItemFailures = append(response.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
		}
		return response, nil
	}
}

func sqsMessage(r *events.SQSMessage) queue.Message {
	m := queue.Message{
		ID: r.MessageId, Handle: r.ReceiptHandle, Body: queue.DecodeText(r.Body), Group: r.Attributes["MessageGroupId"], Attempt: 1,
	}
	if n, err := strconv.Atoi(r.Attributes["ApproximateReceiveCount"]); err == nil {
		m.Attempt = n
	}
	if at, err := strconv.ParseInt(r.Attributes["SentTimestamp"], 10, 64); err == nil {
		m.SentAt = msg.Time(at)
	}
	return m
}

// Changes makes a handler of a DynamoDB stream. The event source has a tumbling window, not for its sums but because only
// such events name the shard that the records come from, by which the ledger knows a repeated batch (docs/adr). An error
// makes Lambda bisect the batch and try again, and so does an answer without a state ("Implementing stateful DynamoDB stream
// processing in Lambda", read on 2026-11-30): the window's is handed back as it came, empty. Items that were brought back from
// a dump are passed over.
func Changes(h func(context.Context, []table.Change) error) func(context.Context, events.DynamoDBTimeWindowEvent) (events.DynamoDBTimeWindowEventResponse, error) {
	return func(ctx context.Context, e events.DynamoDBTimeWindowEvent) (events.DynamoDBTimeWindowEventResponse, error) {
		response := events.DynamoDBTimeWindowEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
		if response.State = e.State; response.State == nil {
			response.State = map[string]string{}
		}
		changes := make([]table.Change, 0, len(e.Records))
		for i := range e.Records {
			r := record(&e.Records[i], e.ShardID)
			if r.Loaded() {
				continue
			}
			c, err := r.Change()
			if err != nil {
				return response, err
			}
			changes = append(changes, c)
		}
		if len(changes) == 0 {
			return response, nil // the end of a window, or a load
		}
		return response, h(ctx, changes)
	}
}

func record(r *events.DynamoDBEventRecord, shard string) dynamo.Record {
	return dynamo.Record{
		Shard: shard, Sequence: r.Change.SequenceNumber, At: msg.TimeOf(r.Change.ApproximateCreationDateTime.UTC()),
		Keys: values(r.Change.Keys), Old: values(r.Change.OldImage), New: values(r.Change.NewImage),
	}
}

func values(image map[string]events.DynamoDBAttributeValue) map[string]dynamo.Value {
	if len(image) == 0 {
		return nil
	}
	out := make(map[string]dynamo.Value, len(image))
	for name, v := range image {
		switch v.DataType() {
		case events.DataTypeString:
			out[name] = dynamo.Value{S: v.String()}
		case events.DataTypeNumber:
			out[name] = dynamo.Value{N: v.Number()}
		case events.DataTypeBinary:
			out[name] = dynamo.Value{B: v.Binary()}
		}
	}
	return out
}

// Schedule makes a handler of a schedule of EventBridge: what it is called for is the call itself.
func Schedule(h func(context.Context) error) func(context.Context, events.CloudWatchEvent) error {
	return func(ctx context.Context, _ events.CloudWatchEvent) error { return h(ctx) }
}
