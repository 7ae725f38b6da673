// Package streams reads a DynamoDB table's stream as a table.Feed, by polling: for tests and local runs. On AWS, Lambda polls
// and hands records over, so no function needs this package or the client that it links.
package streams

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// API is what a Feed needs of *dynamodbstreams.Client.
type API interface {
	DescribeStream(context.Context, *dynamodbstreams.DescribeStreamInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.DescribeStreamOutput, error)
	GetShardIterator(context.Context, *dynamodbstreams.GetShardIteratorInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetShardIteratorOutput, error)
	GetRecords(context.Context, *dynamodbstreams.GetRecordsInput, ...func(*dynamodbstreams.Options)) (*dynamodbstreams.GetRecordsOutput, error)
}

// Positions keeps how far a reader has come: for each shard the sequence number of the last record acknowledged.
type Positions struct {
	mu sync.Mutex
	by map[string]map[string]string
}

// Load returns a reader's positions; the map is the caller's.
func (p *Positions) Load(reader string) map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.by[reader])
}

// Save stores a reader's positions.
func (p *Positions) Save(reader string, positions map[string]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = make(map[string]map[string]string)
	}
	p.by[reader] = maps.Clone(positions)
}

// Feed reads a table's stream by polling. On AWS, Lambda does that instead; this one is for tests and local runs, so its
// positions live in memory.
type Feed struct {
	client    API
	arn       string
	reader    string
	positions *Positions
	poll      time.Duration

	// next is held by Next, also while it waits; mu guards read only.
	next   sync.Mutex
	mu     sync.Mutex
	read   map[string]string // behind what Next has returned, by shard
	shards map[string]*shardState
	order  []string // as DescribeStream lists them: parents before children
}

type shardState struct {
	parent   string
	iterator *string
	ended    bool // read to its end
}

var _ table.Feed = (*Feed)(nil)

// NewFeed opens the feed of a stream for a reader, which goes on behind its position. poll is how often an idle stream is
// asked, at most; a shard allows five times a second.
func NewFeed(client API, streamARN, reader string, positions *Positions, poll time.Duration) *Feed {
	read := positions.Load(reader)
	if read == nil {
		read = make(map[string]string)
	}
	return &Feed{client: client, arn: streamARN, reader: reader, positions: positions, poll: poll, read: read, shards: make(map[string]*shardState)}
}

// Ack is table.Feed's.
func (f *Feed) Ack(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.positions.Save(f.reader, f.read)
	return nil
}

// Next is table.Feed's.
func (f *Feed) Next(ctx context.Context, most int) ([]table.Change, error) {
	f.next.Lock()
	defer f.next.Unlock()
	for {
		if err := f.refresh(ctx); err != nil {
			return nil, err
		}
		var all []table.Change
		for _, id := range f.order {
			s := f.shards[id]
			if parent := f.shards[s.parent]; s.ended || parent != nil && !parent.ended {
				continue // a child only begins when its parent is read, or a key's changes could swap
			}
			got, err := f.records(ctx, id, s, max(most, 1)-len(all))
			if err != nil {
				return nil, err
			}
			if all = append(all, got...); len(all) >= most {
				break
			}
		}
		if len(all) > 0 {
			return all, nil
		}
		select {
		case <-time.After(f.poll):
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for changes in %s: %w", f.arn, ctx.Err())
		}
	}
}

// refresh finds new shards.
func (f *Feed) refresh(ctx context.Context) error {
	in := &dynamodbstreams.DescribeStreamInput{StreamArn: aws.String(f.arn)}
	for {
		out, err := f.client.DescribeStream(ctx, in)
		if err != nil {
			return fmt.Errorf("list the shards of %s: %w", f.arn, err)
		}
		for _, shard := range out.StreamDescription.Shards {
			id := aws.ToString(shard.ShardId)
			if f.shards[id] == nil {
				f.shards[id] = &shardState{parent: aws.ToString(shard.ParentShardId)}
				f.order = append(f.order, id)
			}
		}
		if in.ExclusiveStartShardId = out.StreamDescription.LastEvaluatedShardId; in.ExclusiveStartShardId == nil {
			return nil
		}
	}
}

// records reads once from a shard.
func (f *Feed) records(ctx context.Context, id string, s *shardState, most int) ([]table.Change, error) {
	if s.iterator == nil {
		in := &dynamodbstreams.GetShardIteratorInput{StreamArn: aws.String(f.arn), ShardId: aws.String(id), ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
		if seq := f.read[id]; seq != "" {
			in.ShardIteratorType, in.SequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, aws.String(seq)
		}
		out, err := f.client.GetShardIterator(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("begin to read shard %s: %w", id, err)
		}
		s.iterator = out.ShardIterator
	}
	out, err := f.client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: s.iterator, Limit: aws.Int32(int32(min(most, 1000)))}) //nolint:gosec // bounded
	if _, old := errors.AsType[*types.ExpiredIteratorException](err); old {
		s.iterator = nil // idle for over 15 minutes: a new one continues at the position
		return nil, nil
	}
	if _, trimmed := errors.AsType[*types.TrimmedDataAccessException](err); trimmed && f.read[id] == "" {
		// DynamoDB Local says so now and then of an iterator made while the shard was empty, once the first record lands. Nothing
		// of the shard was read yet, so to begin again at its oldest record misses nothing; behind a position it would.
		s.iterator = nil
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read shard %s: %w", id, err)
	}
	var all []table.Change
	for _, r := range out.Records {
		c, err := recordOf(id, r.Dynamodb).Change()
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	if len(all) > 0 {
		f.mu.Lock()
		f.read[id] = all[len(all)-1].Seq
		f.mu.Unlock()
	}
	s.iterator, s.ended = out.NextShardIterator, out.NextShardIterator == nil
	return all, nil
}

func recordOf(shard string, r *types.StreamRecord) dynamo.Record {
	return dynamo.Record{
		Shard: shard, Sequence: aws.ToString(r.SequenceNumber), At: msg.TimeOf(aws.ToTime(r.ApproximateCreationDateTime)),
		Keys: streamValues(r.Keys), Old: streamValues(r.OldImage), New: streamValues(r.NewImage),
	}
}

func streamValues(m map[string]types.AttributeValue) map[string]dynamo.Value {
	if len(m) == 0 {
		return nil
	}
	values := make(map[string]dynamo.Value, len(m))
	for name, v := range m {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			values[name] = dynamo.Value{S: v.Value}
		case *types.AttributeValueMemberN:
			values[name] = dynamo.Value{N: v.Value}
		case *types.AttributeValueMemberB:
			values[name] = dynamo.Value{B: v.Value}
		}
	}
	return values
}
