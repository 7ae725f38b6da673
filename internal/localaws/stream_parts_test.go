//go:build parts

package localaws

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/store"
)

// change is a record of an event of the stream.
type change struct{ seq, pk, sk string }

func changesOf(t *testing.T, event []byte) []change {
	t.Helper()
	var e struct {
		Records []struct {
			DynamoDB struct {
				SequenceNumber string
				Keys           struct{ P, S struct{ S string } }
			}
		}
	}
	if err := json.Unmarshal(event, &e); err != nil {
		t.Fatal(err)
	}
	all := make([]change, len(e.Records))
	for i, r := range e.Records {
		all[i] = change{r.DynamoDB.SequenceNumber, r.DynamoDB.Keys.P.S, r.DynamoDB.Keys.S.S}
	}
	return all
}

// givenUp is an object of the failure bucket, as far as an operator reads it.
type givenUp struct {
	RequestContext struct {
		Condition              string
		ApproximateInvokeCount int
	}
	ResponseContext    struct{ FunctionError string }
	DDBStreamBatchInfo struct {
		ShardID, StartSequenceNumber, EndSequenceNumber, StreamARN string
		BatchSize                                                  int
	}
	Payload string
}

// givenUp reads the failure bucket, the oldest first.
func (d *desk) givenUp(t *testing.T) []givenUp {
	t.Helper()
	list, err := d.S3.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(failures), Prefix: aws.String("aws/lambda/")})
	if err != nil {
		t.Fatal(err)
	}
	var all []givenUp
	for _, o := range list.Contents {
		got, err := d.S3.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(failures), Key: o.Key})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		var one givenUp
		if err := errors.Join(err, got.Body.Close(), json.Unmarshal(body, &one)); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		if !strings.Contains(*o.Key, "/"+one.DDBStreamBatchInfo.ShardID+"/") {
			t.Errorf("%s is of shard %s", *o.Key, one.DDBStreamBatchInfo.ShardID)
		}
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b givenUp) int {
		return strings.Compare(a.DDBStreamBatchInfo.StartSequenceNumber, b.DDBStreamBatchInfo.StartSequenceNumber)
	})
	return all
}

// ledger is what the running tallies come to for the account.
func (d *desk) ledger(t *testing.T) store.Counts {
	t.Helper()
	all, err := d.System.Store.Ledger(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if a.Channel == "whatsapp" {
			return a.Counts
		}
	}
	return store.Counts{}
}

// TestAChangeThatCannotBeFollowedLiesInTheFailureBucketAndNothingElseWaitsOrCountsTwice: an item whose packed body is damaged is
// written between messages, a repeated one and one that goes to quarantine, and all of it comes in one batch of the stream.
func TestAChangeThatCannotBeFollowedLiesInTheFailureBucketAndNothingElseWaitsOrCountsTwice(t *testing.T) {
	d := open(t)
	db := dynamodb.NewFromConfig(standin.Config(d.parts.DynamoDB))
	key := map[string]types.AttributeValue{"p": &types.AttributeValueMemberS{Value: "C#damaged"}, "s": &types.AttributeValueMemberS{Value: "E#000000000000001#damaged"}}
	damaged := map[string]types.AttributeValue{"r": &types.AttributeValueMemberN{Value: "1"}, "z": &types.AttributeValueMemberB{Value: []byte("not packed")}, "p": key["p"], "s": key["s"]}
	kerttu, olavi := fake.Person{Phone: "358401234571", Name: "Kerttu"}, fake.Person{Phone: "358401234572", Name: "Olavi"}
	d.exact(t)
	release := hold(t, &d.reading)
	before, calls := d.ledger(t), len(d.calls.of("ReactFunction"))
	d.writes(t, kerttu, "Ensimmäinen", "wamid.stream.1")
	d.writes(t, kerttu, "Ensimmäinen", "wamid.stream.1") // a duplicate
	d.caseWith(t, "Kerttu")
	d.settle(t)
	if _, err := db.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(name), Item: damaged}); err != nil {
		t.Fatal(err)
	}
	unread := d.provider.Body(d.provider.Text(kerttu, "x"))
	if _, err := d.provider.PostBody(t.Context(), unread[:len(unread)/2]); err != nil { // signed, and no JSON
		t.Fatal(err)
	}
	d.writes(t, olavi, "Toinen", "wamid.stream.2")
	d.writes(t, olavi, "Toinen", "wamid.stream.2") // a duplicate
	d.caseWith(t, "Olavi")
	d.settle(t)
	release()

	eventually(t, "the change is in the failure bucket", func() bool { return len(d.givenUp(t)) == 1 })
	eventually(t, "the changes behind it are told of", func() bool {
		told, err := d.System.Store.Notifications(t.Context(), "support", "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(told, func(n *store.Notification) bool {
			_, c := d.ask(t, "GET", "/api/v1/cases/"+n.Case, nil)
			return c["customer_name"] == "Olavi"
		})
	})
	want := before
	want.Stored, want.Duplicate, want.Quarantined = want.Stored+2, want.Duplicate+2, want.Quarantined+1
	eventually(t, "the ledger counts everything once", func() bool { return d.ledger(t) == want })

	followed, bad := d.followed(t, calls)
	one := d.givenUp(t)[0]
	if got := changesOf(t, []byte(one.Payload)); !slices.Equal(got, []change{bad}) {
		t.Errorf("the failure bucket holds %v, want %v", got, bad)
	}
	about := one.DDBStreamBatchInfo
	if one.RequestContext.Condition != "RetryAttemptsExhausted" || one.RequestContext.ApproximateInvokeCount != 6 || one.ResponseContext.FunctionError == "" ||
		about.BatchSize != 1 || about.StartSequenceNumber != bad.seq || about.EndSequenceNumber != bad.seq || about.StreamARN != d.stream {
		t.Errorf("what was given up is said to be %+v", one)
	}

	for _, event := range followed { // Lambda may bring a batch again, also halves of one
		if _, err := d.Invoke(t.Context(), "ReactFunction", event); err != nil {
			t.Error(err)
		}
	}
	if got := d.ledger(t); got != want {
		t.Errorf("after the same again the ledger is %+v, want %+v", got, want)
	}

	// Its removal cannot be followed either: the record holds what was.
	if _, err := db.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(name), Key: key}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its removal is in the failure bucket, too", func() bool { return len(d.givenUp(t)) == 2 })
	d.exact(t)
}

// settle waits until nothing is left in the queue.
func (d *desk) settle(t *testing.T) {
	t.Helper()
	eventually(t, "the queue is empty", func() bool {
		depth, err := d.System.Queues["inbound"].Depth(t.Context())
		return err == nil && depth.Ready+depth.InFlight+depth.Delayed == 0
	})
}

// exact holds the running tallies to a recount of all items.
func (d *desk) exact(t *testing.T) {
	t.Helper()
	var problems []string
	defer func() {
		if t.Failed() {
			t.Logf("the check finds %q", problems)
		}
	}()
	eventually(t, "React has come to the end of the stream, and the tallies agree with the items", func() bool {
		release := hold(t, &d.reading)
		report, err := check.Run(context.Background(), check.Input{Table: d.System.Table})
		release()
		if err != nil {
			t.Fatal(err)
		}
		problems = report.Problems
		return len(problems) == 0
	})
}

// followed looks at the calls of React from one on: events that succeeded, in order, each change in one of them; and the change that
// failed alone six times.
func (d *desk) followed(t *testing.T, from int) (events [][]byte, bad change) {
	t.Helper()
	last, alone := "", 0
	for i, one := range d.calls.of("ReactFunction")[from:] {
		got := changesOf(t, one.event)
		at := slices.IndexFunc(got, func(c change) bool { return c.pk == "C#damaged" })
		switch {
		case i == 0 && (at < 1 || at == len(got)-1):
			t.Errorf("the first batch is %v: the damaged item is to be in its midst", got)
		case at >= 0 && one.err == nil:
			t.Errorf("React took %v", got)
		case at >= 0 && len(got) == 1:
			alone++
			bad, last = got[0], got[0].seq
		case at < 0 && one.err != nil:
			t.Errorf("React failed over %v: %v", got, one.err)
		case at < 0:
			for _, c := range got {
				if len(c.seq) < len(last) || len(c.seq) == len(last) && c.seq <= last {
					t.Errorf("%v came after %s", c, last)
				}
				last = c.seq
			}
			events = append(events, one.event)
		}
	}
	if alone != 6 {
		t.Errorf("the damaged item came alone %d times", alone)
	}
	return events, bad
}
