package localaws

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/standin"
)

// Invoke calls a function by its name in the template and returns what it answered. An error of the function is an error.
func (s *Stack) Invoke(ctx context.Context, function string, event []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.invoker+"/2015-03-31/functions/"+function+"/invocations", bytes.NewReader(event))
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", function, err)
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", function, err)
	}
	defer func() { _ = response.Body.Close() }() // read to the end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", function, err)
	}
	var failed struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(body, &failed) == nil && failed.Message != "" || response.StatusCode != http.StatusOK || response.Header.Get("X-Amz-Function-Error") != "" {
		return nil, fmt.Errorf("invoke %s: status %d: %s", function, response.StatusCode, tail(string(body)))
	}
	return body, nil
}

// SQSEvent is what Lambda makes of a batch.
func SQSEvent(name string, batch []queue.Message) ([]byte, error) {
	records := make([]map[string]any, len(batch))
	for i, m := range batch {
		attributes := map[string]string{"ApproximateReceiveCount": fmt.Sprint(m.Attempt), "SentTimestamp": fmt.Sprint(int64(m.SentAt)), "SenderId": "standin"}
		if m.Group != "" {
			attributes["MessageGroupId"] = m.Group
		}
		records[i] = map[string]any{
			"messageId": m.ID, "receiptHandle": m.Handle, "body": queue.EncodeText(m.Body), "attributes": attributes, "messageAttributes": map[string]any{},
			"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:" + standin.Region + ":123456789012:" + name, "awsRegion": standin.Region,
		}
	}
	return json.Marshal(map[string]any{"Records": records})
}

// poll is a queue's event source mapping: it deletes what the function did not report as failed.
func (s *Stack) poll(ctx context.Context, name, function string, most int) {
	q := s.System.Queues[name]
	for ctx.Err() == nil {
		batch, err := q.Receive(ctx, most, 2*time.Second)
		if err != nil || len(batch) == 0 {
			s.complain(ctx, "receive from "+name, err)
			continue
		}
		event, err := SQSEvent(name, batch)
		if err != nil {
			s.complain(ctx, "make an event of "+name, err)
			continue
		}
		answer, err := s.Invoke(ctx, function, event)
		var failed struct {
			BatchItemFailures []struct {
				ItemIdentifier string `json:"itemIdentifier"`
			} `json:"batchItemFailures"`
		}
		if err == nil {
			err = json.Unmarshal(answer, &failed)
		}
		if err != nil {
			s.complain(ctx, "work on "+name, err)
			continue // all of them come again
		}
		bad := map[string]bool{}
		for _, f := range failed.BatchItemFailures {
			bad[f.ItemIdentifier] = true
		}
		var done []queue.Message
		for _, m := range batch {
			if !bad[m.ID] {
				done = append(done, m)
			}
		}
		if len(done) > 0 {
			s.complain(ctx, "delete from "+name, q.Ack(context.WithoutCancel(ctx), done...))
		}
	}
}

func (s *Stack) complain(ctx context.Context, doing string, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	_, _ = fmt.Fprintf(s.o.Log, "local-aws: %s: %v\n", doing, err) // there is no other place to say it
	pause(ctx, time.Second)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// follow is the stream's event source mapping: in order, each batch again until it succeeds, five times at most.
func (s *Stack) follow(ctx context.Context, c *dynamodbstreams.Client) {
	const tries = 6
	shards := map[string]*string{}
	for ctx.Err() == nil {
		if err := s.newShards(ctx, c, shards); err != nil {
			s.complain(ctx, "list the shards", err)
			continue
		}
		for shard, at := range shards {
			if at == nil {
				continue // read to its end
			}
			got, err := c.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: at, Limit: aws.Int32(100)})
			if err != nil {
				s.complain(ctx, "read shard "+shard, err)
				continue
			}
			event, err := StreamEvent(s.stream, shard, got.Records)
			for try := 0; err == nil && len(got.Records) > 0 && try < tries && ctx.Err() == nil; try++ {
				if _, failed := s.Invoke(ctx, "ReactFunction", event); failed == nil {
					break
				} else {
					s.complain(ctx, "follow changes", failed)
				}
			}
			s.complain(ctx, "make an event of the stream", err)
			shards[shard] = got.NextShardIterator
		}
		pause(ctx, 200*time.Millisecond)
	}
}

func (s *Stack) newShards(ctx context.Context, c *dynamodbstreams.Client, shards map[string]*string) error {
	about, err := c.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &s.stream})
	if err != nil {
		return err
	}
	for _, shard := range about.StreamDescription.Shards {
		id := aws.ToString(shard.ShardId)
		if _, known := shards[id]; known {
			continue
		}
		at, err := c.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{StreamArn: &s.stream, ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			return err
		}
		shards[id] = at.ShardIterator
	}
	return nil
}

// StreamEvent is what Lambda makes of records of a stream with a tumbling window.
func StreamEvent(arn, shard string, records []types.Record) ([]byte, error) {
	all := make([]map[string]any, 0, len(records))
	for _, r := range records {
		if r.Dynamodb == nil {
			return nil, errors.New("a stream record without its change")
		}
		change := map[string]any{
			"ApproximateCreationDateTime": aws.ToTime(r.Dynamodb.ApproximateCreationDateTime).Unix(), "SequenceNumber": aws.ToString(r.Dynamodb.SequenceNumber),
			"SizeBytes": aws.ToInt64(r.Dynamodb.SizeBytes), "StreamViewType": "NEW_AND_OLD_IMAGES", "Keys": attributes(r.Dynamodb.Keys),
		}
		if r.Dynamodb.OldImage != nil {
			change["OldImage"] = attributes(r.Dynamodb.OldImage)
		}
		if r.Dynamodb.NewImage != nil {
			change["NewImage"] = attributes(r.Dynamodb.NewImage)
		}
		all = append(all, map[string]any{
			"eventID": aws.ToString(r.EventID), "eventName": string(r.EventName), "eventVersion": "1.1", "eventSource": "aws:dynamodb",
			"awsRegion": standin.Region, "dynamodb": change, "eventSourceARN": arn,
		})
	}
	return json.Marshal(map[string]any{
		"Records": all, "window": map[string]string{"start": "2026-11-23T08:00:00Z", "end": "2026-11-23T08:15:00Z"}, "state": map[string]string{},
		"shardId": shard, "eventSourceARN": arn, "isFinalInvokeForWindow": false, "isWindowTerminatedEarly": false,
	})
}

func attributes(image map[string]types.AttributeValue) map[string]any {
	out := make(map[string]any, len(image))
	for name, v := range image {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			out[name] = map[string]string{"S": v.Value}
		case *types.AttributeValueMemberN:
			out[name] = map[string]string{"N": v.Value}
		case *types.AttributeValueMemberB:
			out[name] = map[string]string{"B": base64.StdEncoding.EncodeToString(v.Value)}
		}
	}
	return out
}

// schedule is the minute.
func (s *Stack) schedule(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-minute.C:
			_, err := s.Invoke(ctx, "TickFunction", []byte(`{"detail-type":"Scheduled Event","source":"aws.scheduler","detail":{}}`))
			s.complain(ctx, "tick", err)
		}
	}
}
