package cost

import (
	"context"
	"fmt"
	"hash/fnv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/aikajana/aikajana/internal/awsfilter"
	"github.com/aikajana/aikajana/internal/table/dynamo/streams"
)

// changes reads the table's stream and spreads it over as many shards as the table has partitions on AWS.
type changes struct {
	client   *dynamodbstreams.Client
	arn      string
	filter   *awsfilter.Filter
	iterator map[string]*string
}

func newChanges(c *dynamodbstreams.Client, arn string, filter *awsfilter.Filter) *changes {
	return &changes{client: c, arn: arn, filter: filter, iterator: map[string]*string{}}
}

// next returns what React would be called with, one event for each shard, until the stream is empty. Only what the event
// source's filter lets through is there.
func (c *changes) next(ctx context.Context, shards int) ([]map[string]any, error) {
	about, err := c.client.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &c.arn})
	if err != nil {
		return nil, fmt.Errorf("read the stream: %w", err)
	}
	by := make([][]map[string]any, shards)
	for _, shard := range about.StreamDescription.Shards {
		id := aws.ToString(shard.ShardId)
		if _, known := c.iterator[id]; !known {
			at, err := c.client.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{
				StreamArn: &c.arn, ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
			})
			if err != nil {
				return nil, fmt.Errorf("read the stream: %w", err)
			}
			c.iterator[id] = at.ShardIterator
		}
		for c.iterator[id] != nil {
			got, err := c.client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: c.iterator[id]})
			if err != nil {
				return nil, fmt.Errorf("read the stream: %w", err)
			}
			c.iterator[id] = got.NextShardIterator
			for i := range got.Records {
				if r := streams.EventRecord(c.arn, aws.ToTime(got.Records[i].Dynamodb.ApproximateCreationDateTime), &got.Records[i]); c.filter.Passes(r) {
					at := shardOf(&got.Records[i], shards)
					by[at] = append(by[at], r)
				}
			}
			if len(got.Records) == 0 {
				break
			}
		}
	}
	var events []map[string]any
	for n, records := range by {
		if len(records) > 0 {
			events = append(events, map[string]any{"Records": records, "shardId": fmt.Sprintf("shardId-%020d-cost", n)})
		}
	}
	return events, nil
}

// shardOf is the shard that a record comes through.
func shardOf(r *types.Record, shards int) int {
	h := fnv.New32a()
	if p, ok := r.Dynamodb.Keys["p"].(*types.AttributeValueMemberS); ok {
		_, _ = h.Write([]byte(p.Value)) // a hash takes everything
	}
	return int(h.Sum32()>>8) % shards
}
