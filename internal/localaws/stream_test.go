package localaws

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// played is a mapping whose function fails for some records, and what came of it.
type played struct {
	mapping
	// calls are the records of each call, "1 2 3"; kept are the objects of the failure bucket by key.
	calls  []string
	kept   map[string]string
	answer string
}

func play(bad ...string) *played {
	p := &played{kept: map[string]string{}, answer: `{"state":{},"batchItemFailures":[]}`}
	p.mapping = mapping{
		streamSource: streamSource{function: "ReactFunction", batch: 100, bisect: true, retries: 5, window: 15 * time.Minute},
		arn:          "arn:aws:dynamodb:eu-north-1:123456789012:table/t/stream/s", id: "mapping",
		call: func(_ context.Context, event []byte) ([]byte, error) {
			records := numbers(event)
			p.calls = append(p.calls, strings.Join(records, " "))
			if slices.ContainsFunc(records, func(r string) bool { return slices.Contains(bad, r) }) {
				return nil, fmt.Errorf("invoke ReactFunction: %w", errFunction)
			}
			return []byte(p.answer), nil
		},
		put:      func(_ context.Context, key string, body []byte) error { p.kept[key] = string(body); return nil },
		complain: func(context.Context, string, error) {},
		now:      func() time.Time { return time.Date(2026, 11, 30, 8, 20, 5, 0, time.UTC) },
	}
	return p
}

func numbers(event []byte) []string {
	var e struct {
		Records []struct {
			DynamoDB struct{ SequenceNumber string }
		}
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return []string{err.Error()}
	}
	all := make([]string, len(e.Records))
	for i, r := range e.Records {
		all[i] = r.DynamoDB.SequenceNumber
	}
	return all
}

// records are numbered from 1.
func records(n int) []types.Record {
	all := make([]types.Record, n)
	for i := range all {
		all[i] = types.Record{EventName: types.OperationTypeInsert, Dynamodb: &types.StreamRecord{
			SequenceNumber: aws.String(fmt.Sprint(i + 1)), ApproximateCreationDateTime: aws.Time(time.Date(2026, 11, 30, 8, 0, i, 0, time.UTC)),
			Keys: map[string]types.AttributeValue{"p": &types.AttributeValueMemberS{Value: "C#c1"}, "s": &types.AttributeValueMemberS{Value: fmt.Sprint("E#", i+1)}},
		}}
	}
	return all
}

func TestABatchThatFailsIsSplitUntilTheDamagedRecordIsAloneAndGivenUp(t *testing.T) {
	t.Parallel()
	p := play("5")
	if err := p.deliver(t.Context(), "shard-1", records(8)); err != nil {
		t.Fatal(err)
	}
	want := []string{"1 2 3 4 5 6 7 8", "1 2 3 4", "5 6 7 8", "5 6", "5", "5", "5", "5", "5", "5", "6", "7 8"}
	if !slices.Equal(p.calls, want) {
		t.Errorf("the calls were %q, want %q", p.calls, want)
	}
	if len(p.kept) != 1 {
		t.Fatalf("kept are %q", p.kept)
	}
	for key, body := range p.kept {
		if !regexp.MustCompile(`^aws/lambda/mapping/shard-1/2026/11/30/2026-11-30T08\.20\.05-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(key) {
			t.Errorf("it is kept as %s", key)
		}
		var said struct {
			Payload   string
			Timestamp string
			Context   struct {
				Condition string
				Calls     int `json:"approximateInvokeCount"`
			} `json:"requestContext"`
			Batch map[string]any `json:"DDBStreamBatchInfo"`
		}
		if err := json.Unmarshal([]byte(body), &said); err != nil {
			t.Fatal(err)
		}
		about := map[string]any{
			"shardId": "shard-1", "startSequenceNumber": "5", "endSequenceNumber": "5", "batchSize": 1., "streamArn": p.arn,
			"approximateArrivalOfFirstRecord": "2026-11-30T08:00:04Z", "approximateArrivalOfLastRecord": "2026-11-30T08:00:04Z",
		}
		if got := numbers([]byte(said.Payload)); !slices.Equal(got, []string{"5"}) || said.Timestamp != "2026-11-30T08:20:05.000Z" ||
			said.Context.Condition != "RetryAttemptsExhausted" || said.Context.Calls != 6 || fmt.Sprint(said.Batch) != fmt.Sprint(about) {
			t.Errorf("kept is %s", body)
		}
	}
}

func TestRecordsThatTheFilterHoldsBackMakeNoCall(t *testing.T) {
	t.Parallel()
	p := play()
	if err := p.deliver(t.Context(), "shard-1", nil); err != nil || len(p.calls) != 0 {
		t.Errorf("called with %q, %v", p.calls, err)
	}
}

func TestABatchThatIsNotToBeSplitIsGivenUpWhole(t *testing.T) {
	t.Parallel()
	p := play("2")
	p.bisect, p.retries = false, 1
	if err := p.deliver(t.Context(), "shard-1", records(3)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1 2 3", "1 2 3"}; !slices.Equal(p.calls, want) || len(p.kept) != 1 {
		t.Errorf("the calls were %q, kept are %q", p.calls, p.kept)
	}
}

func TestAFunctionThatIsNotReachedCostsNoTry(t *testing.T) {
	t.Parallel()
	p := play()
	reached := p.call
	n := 0
	p.call = func(ctx context.Context, event []byte) ([]byte, error) {
		if n++; n < 20 {
			return nil, errors.New("connection refused")
		}
		return reached(ctx, event)
	}
	if err := p.deliver(t.Context(), "shard-1", records(2)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"1 2"}; !slices.Equal(p.calls, want) || len(p.kept) != 0 {
		t.Errorf("the calls were %q, kept are %q", p.calls, p.kept)
	}
}

func TestAnAnswerWithoutAStateIsAFailure(t *testing.T) {
	t.Parallel()
	p := play()
	p.answer = `{"batchItemFailures":[]}`
	if err := p.deliver(t.Context(), "shard-1", records(1)); err != nil {
		t.Fatal(err)
	}
	if len(p.calls) != 6 || len(p.kept) != 1 {
		t.Errorf("the calls were %q, kept are %q", p.calls, p.kept)
	}
}

func TestNothingIsGivenUpWhenTheStackStops(t *testing.T) {
	t.Parallel()
	p := play("1")
	ctx, stop := context.WithCancel(t.Context())
	tries := 0
	p.complain = func(context.Context, string, error) {
		if tries++; tries == 3 {
			stop()
		}
	}
	if err := p.deliver(ctx, "shard-1", records(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if want := []string{"1 2", "1", "1"}; !slices.Equal(p.calls, want) || len(p.kept) != 0 {
		t.Errorf("the calls were %q, kept are %q", p.calls, p.kept)
	}
}

func TestAShardWaitsForTheOneItWasSplitFrom(t *testing.T) {
	t.Parallel()
	old, young := &shard{id: "old", parent: "trimmed"}, &shard{id: "young", parent: "old"}
	all := []*shard{young, old}
	if !readable(old, all) || readable(young, all) {
		t.Errorf("readable are old: %v, young: %v", readable(old, all), readable(young, all))
	}
	old.ended = true
	if !readable(young, all) {
		t.Error("the young one waits for ever")
	}
}

func TestTheWindowOfAnEventIsTheOneOfItsTime(t *testing.T) {
	t.Parallel()
	p := play()
	event, err := streamEvent(p.arn, "shard-1", p.now(), p.window, records(1))
	if err != nil || !strings.Contains(string(event), `"window":{"end":"2026-11-30T08:30:00Z","start":"2026-11-30T08:15:00Z"}`) || !strings.Contains(string(event), `"shardId":"shard-1"`) {
		t.Errorf("got %s, %v", event, err)
	}
}
