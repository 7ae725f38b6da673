package localaws

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/aikajana/aikajana/internal/awsfilter"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/table/dynamo/streams"
)

// mapping is the event source mapping between a stream and a function ("Process DynamoDB records with Lambda" and "Retain discarded
// records for a DynamoDB event source in Lambda" in the Lambda Developer Guide, read on 2026-11-30).
type mapping struct {
	streamSource
	// filter holds records back that the function is not called for.
	filter *awsfilter.Filter
	// arn is the stream's, id the mapping's own.
	arn, id string
	// call invokes the function. An error that wraps errFunction is the function's: it counts as a try. Any other means that the
	// function was not reached, which Lambda waits out.
	call func(ctx context.Context, event []byte) ([]byte, error)
	// put keeps an object in the failure bucket.
	put func(ctx context.Context, key string, body []byte) error
	// complain says what went wrong, and waits a little.
	complain func(ctx context.Context, doing string, err error)
	now      func() time.Time
}

// shard is a shard of the stream, and how far it was read.
type shard struct {
	id, parent string
	// next is where to read on, nil when that is to be asked for; last is the last record that was delivered, "" before the first.
	next  *string
	last  string
	ended bool
}

// follow reads the stream until the context ends: the records of each shard in order, and a shard that was split after what it
// was split from.
func (s *Stack) follow(ctx context.Context, c *dynamodbstreams.Client, m *mapping) {
	var shards []*shard
	for ctx.Err() == nil {
		var err error
		if shards, err = shardsOf(ctx, c, m.arn, shards); err != nil {
			m.complain(ctx, "list the shards", err)
			continue
		}
		s.reading.RLock()
		for _, one := range shards {
			if !one.ended && readable(one, shards) {
				m.complain(ctx, "follow shard "+one.id, m.read(ctx, c, one))
			}
		}
		s.reading.RUnlock()
		pause(ctx, 200*time.Millisecond)
	}
}

// shardsOf adds what is new to the shards that are known.
func shardsOf(ctx context.Context, c *dynamodbstreams.Client, arn string, known []*shard) ([]*shard, error) {
	about, err := c.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &arn})
	if err != nil {
		return known, err
	}
	for _, d := range about.StreamDescription.Shards {
		if id := aws.ToString(d.ShardId); find(known, id) == nil {
			known = append(known, &shard{id: id, parent: aws.ToString(d.ParentShardId)})
		}
	}
	return known, nil
}

func find(shards []*shard, id string) *shard {
	for _, one := range shards {
		if one.id == id {
			return one
		}
	}
	return nil
}

// readable says that what the shard was split from has been read to its end.
func readable(one *shard, all []*shard) bool {
	parent := find(all, one.parent)
	return parent == nil || parent.ended
}

// read delivers one batch of a shard.
func (m *mapping) read(ctx context.Context, c *dynamodbstreams.Client, one *shard) error {
	if one.next == nil {
		from := &dynamodbstreams.GetShardIteratorInput{StreamArn: &m.arn, ShardId: &one.id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
		if one.last != "" {
			from.ShardIteratorType, from.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, &one.last
		}
		at, err := c.GetShardIterator(ctx, from)
		if err != nil {
			return err
		}
		one.next = at.ShardIterator
	}
	got, err := c.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: one.next, Limit: aws.Int32(int32(m.batch))}) //nolint:gosec // the template's batch size
	if err != nil {
		one.next = nil // it is good for 15 minutes, and whoever plays may let the machine sleep for longer
		return err
	}
	if n := len(got.Records); n > 0 {
		last := got.Records[n-1].Dynamodb.SequenceNumber
		wanted := slices.DeleteFunc(got.Records, func(r types.Record) bool { return !m.filter.Passes(streamRecord(m.arn, &r)) })
		if err := m.deliver(ctx, one.id, wanted); err != nil {
			one.next = nil
			return err
		}
		one.last = aws.ToString(last)
	}
	one.next, one.ended = got.NextShardIterator, got.NextShardIterator == nil
	return nil
}

// deliver brings records of one shard to the function, in order. A batch that fails is split in two, which costs no try; what
// fails and is split no more is tried again as often as the template says. Then it goes to the failure bucket, and what is behind
// it goes on. An error means that the context ended first: nothing was given up.
func (m *mapping) deliver(ctx context.Context, shard string, records []types.Record) error {
	if len(records) == 0 {
		return nil
	}
	event, err := streamEvent(m.arn, shard, m.now(), m.window, records)
	if err != nil {
		return err
	}
	if err = m.try(ctx, event); err == nil {
		return nil
	}
	if half := len(records) / 2; m.bisect && half > 0 && ctx.Err() == nil {
		if err := m.deliver(ctx, shard, records[:half]); err != nil {
			return err
		}
		return m.deliver(ctx, shard, records[half:])
	}
	calls := 1
	for ; err != nil && calls <= m.retries && ctx.Err() == nil; calls++ {
		err = m.try(ctx, event)
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	m.complain(ctx, "keep what was given up", m.giveUp(ctx, shard, records, calls, event))
	return nil
}

// try calls the function once, and says so when it failed.
func (m *mapping) try(ctx context.Context, event []byte) error {
	for {
		answer, err := m.call(ctx, event)
		if err == nil {
			err = stateOf(answer)
		}
		m.complain(ctx, "follow changes", err)
		if err == nil || errors.Is(err, errFunction) || ctx.Err() != nil {
			return err
		}
	}
}

// stateOf holds an answer to what Lambda asks of a function with a tumbling window: an answer without a state counts as a failure
// ("Implementing stateful DynamoDB stream processing in Lambda", read on 2026-11-30).
func stateOf(answer []byte) error {
	var said map[string]json.RawMessage
	if err := json.Unmarshal(answer, &said); err != nil || !bytes.HasPrefix(said["state"], []byte("{")) {
		return fmt.Errorf("%w: its answer has no state: %s", errFunction, tail(string(answer)))
	}
	return nil
}

// giveUp keeps the records as Lambda does for a destination in S3: where they come from, and the event whole.
func (m *mapping) giveUp(ctx context.Context, shard string, records []types.Record, calls int, event []byte) error {
	now := m.now().UTC()
	first, last := records[0].Dynamodb, records[len(records)-1].Dynamodb
	body, err := json.Marshal(map[string]any{
		"requestContext": map[string]any{
			"requestId": uuid(), "functionArn": "arn:aws:lambda:" + standin.Region + ":123456789012:function:" + m.function,
			"condition": "RetryAttemptsExhausted", "approximateInvokeCount": calls,
		},
		"responseContext": map[string]any{"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
		"version":         "1.0",
		"timestamp":       now.Format("2006-01-02T15:04:05.000Z"),
		"DDBStreamBatchInfo": map[string]any{
			"shardId": shard, "startSequenceNumber": aws.ToString(first.SequenceNumber), "endSequenceNumber": aws.ToString(last.SequenceNumber),
			"approximateArrivalOfFirstRecord": aws.ToTime(first.ApproximateCreationDateTime).UTC().Format(time.RFC3339),
			"approximateArrivalOfLastRecord":  aws.ToTime(last.ApproximateCreationDateTime).UTC().Format(time.RFC3339),
			"batchSize":                       len(records), "streamArn": m.arn,
		},
		"payload": string(event),
	})
	if err != nil {
		return err
	}
	return m.put(ctx, fmt.Sprintf("aws/lambda/%s/%s/%s-%s", m.id, shard, now.Format("2006/01/02/2006-01-02T15.04.05"), uuid()), body)
}

// uuid is a random one, version 4 (RFC 9562, section 5.4).
func uuid() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// keepFailed puts what was given up into the failure bucket.
func (s *Stack) keepFailed(ctx context.Context, key string, body []byte) error {
	_, err := s.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(failures), Key: &key, Body: bytes.NewReader(body)})
	if err != nil {
		return fmt.Errorf("put %s into %s: %w", key, failures, err)
	}
	return nil
}

func streamRecord(arn string, r *types.Record) map[string]any {
	return streams.EventRecord(arn, aws.ToTime(r.Dynamodb.ApproximateCreationDateTime), r)
}

// streamEvent is what Lambda makes of records of a stream with a tumbling window.
func streamEvent(arn, shard string, now time.Time, window time.Duration, records []types.Record) ([]byte, error) {
	all := make([]map[string]any, 0, len(records))
	for i := range records {
		all = append(all, streamRecord(arn, &records[i]))
	}
	start := now.UTC().Truncate(window)
	return json.Marshal(map[string]any{
		"Records": all, "window": map[string]string{"start": start.Format(time.RFC3339), "end": start.Add(window).Format(time.RFC3339)}, "state": map[string]string{},
		"shardId": shard, "eventSourceARN": arn, "isFinalInvokeForWindow": false, "isWindowTerminatedEarly": false,
	})
}
