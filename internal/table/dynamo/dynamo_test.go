package dynamo_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

func answer(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(strings.NewReader(body)),
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
	}
}

type answers func(attempt int) (*http.Response, error)

// answering is a table whose every request is answered by f.
func answering(f answers) *dynamo.Table {
	attempt := 0
	client := dynamodb.New(dynamodb.Options{
		Region: "eu-north-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		Retryer:    retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond }),
		HTTPClient: roundTrip(func(*http.Request) (*http.Response, error) { attempt++; return f(attempt) }),
	})
	return dynamo.New(client, "t", dynamo.Options{Now: func() msg.Time { return 1_000_000 }, Token: func() string { return "mine" }})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }

const types = "com.amazonaws.dynamodb.v20120810#"

func refusal(code, rest string) *http.Response {
	return answer(http.StatusBadRequest, fmt.Sprintf(`{"__type":"%s%s","message":"no"%s}`, types, code, rest))
}

func cancelled(reasons string) *http.Response {
	return refusal("TransactionCanceledException", `,"CancellationReasons":[`+reasons+`]`)
}

func item(sk string, c table.Cond) table.Op {
	return table.Put(table.Item{Key: table.Key{PK: "p", SK: sk}}, c)
}

func TestEveryAnswerOfDynamoDBBecomesTheErrorOfTheContract(t *testing.T) {
	t.Parallel()
	const old = `"Item":{"p":{"S":"p"},"s":{"S":"a"},"r":{"N":"7"},"w":{"S":"other"}}`
	const none, failed, expired = `{"Code":"None"}`, `{"Code":"ConditionalCheckFailed",` + old + `}`, `{"Code":"ConditionalCheckFailed","Item":{"p":{"S":"p"},"s":{"S":"a"},"r":{"N":"7"},"x":{"N":"1000"}}}`
	one := []table.Op{item("a", table.At(3))}
	// The check of nothing is not sent, but counts in the caller's numbering.
	three := []table.Op{item("a", table.At(3)), table.Check(table.Key{PK: "p", SK: "z"}, table.Any), item("b", table.Absent), item("c", table.At(1))}
	conflict := func(op int, sk string, found int64) table.Failure {
		return table.Failure{Op: op, Key: table.Key{PK: "p", SK: sk}, Found: found}
	}
	lost := errors.New("connection reset by peer")
	always := func(r func() *http.Response) answers { return func(int) (*http.Response, error) { return r(), nil } }
	for name, c := range map[string]struct {
		ops    []table.Op
		answer answers
		is     error
		failed []table.Failure
	}{
		"condition failed":         {one, always(func() *http.Response { return refusal("ConditionalCheckFailedException", ","+old) }), nil, []table.Failure{conflict(0, "a", 7)}},
		"condition failed on none": {one, always(func() *http.Response { return refusal("ConditionalCheckFailedException", "") }), nil, []table.Failure{conflict(0, "a", 0)}},
		"throttled":                {one, always(func() *http.Response { return refusal("ThrottlingException", "") }), table.ErrBusy, nil},
		"provisioned throughput":   {one, always(func() *http.Response { return refusal("ProvisionedThroughputExceededException", "") }), table.ErrBusy, nil},
		"a transaction holds it":   {one, always(func() *http.Response { return refusal("TransactionConflictException", "") }), table.ErrBusy, nil},
		"no answer":                {one, func(int) (*http.Response, error) { return nil, lost }, table.ErrLost, nil},
		"an internal error": {one, always(func() *http.Response {
			return answer(http.StatusInternalServerError, `{"__type":"`+types+`InternalServerError"}`)
		}), table.ErrLost, nil},
		"no answer, then throttled": {one, func(n int) (*http.Response, error) {
			if n == 1 {
				return nil, lost
			}
			return refusal("ThrottlingException", ""), nil
		}, table.ErrLost, nil},
		"no answer, then a stranger": {one, func(n int) (*http.Response, error) {
			if n == 1 {
				return nil, lost
			}
			return refusal("ConditionalCheckFailedException", ","+old), nil
		}, table.ErrLost, nil},
		"throttled, then a stranger": {one, func(n int) (*http.Response, error) {
			if n == 1 {
				return refusal("ThrottlingException", ""), nil
			}
			return refusal("ConditionalCheckFailedException", ","+old), nil
		}, nil, []table.Failure{conflict(0, "a", 7)}},
		"reasons": {three, always(func() *http.Response { return cancelled(none + "," + failed + "," + expired) }), nil, []table.Failure{conflict(2, "b", 7), conflict(3, "c", 0)}},
		"a conflict wins over busy": {three, always(func() *http.Response {
			return cancelled(`{"Code":"TransactionConflict"},` + failed + `,{"Code":"ThrottlingError"}`)
		}), nil, []table.Failure{conflict(2, "b", 7)}},
		"busy in a transaction":     {three, always(func() *http.Response { return cancelled(none + `,{"Code":"TransactionConflict"},` + none) }), table.ErrBusy, nil},
		"capacity in a transaction": {three, always(func() *http.Response { return cancelled(none + `,{"Code":"ProvisionedThroughputExceeded"},` + none) }), table.ErrBusy, nil},
		"too large for the table": {three, always(func() *http.Response {
			return cancelled(none + `,{"Code":"ValidationError","Message":"too large"},` + none)
		}), table.ErrLimit, nil},
		"no answer to a transaction": {three, func(int) (*http.Response, error) { return nil, lost }, table.ErrLost, nil},
		"lost, then cancelled": {three, func(n int) (*http.Response, error) {
			if n == 1 {
				return nil, lost
			}
			return cancelled(none + "," + failed + "," + none), nil
		}, nil, []table.Failure{conflict(2, "b", 7)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := answering(c.answer).Write(t.Context(), c.ops...)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("got %v, want %v", err, c.is)
			}
			for _, other := range []error{table.ErrBusy, table.ErrLost, table.ErrLimit} {
				if !errors.Is(c.is, other) && errors.Is(err, other) {
					t.Errorf("%v is also %v", err, other)
				}
			}
			got, ok := errors.AsType[*table.Conflict](err)
			if ok != (c.failed != nil) || ok && !cmp.Equal(got.Failed, c.failed) {
				t.Errorf("got %v, want a conflict on %v", err, c.failed)
			}
		})
	}
}

func TestFault61_OurOwnTokenInTheWayIsSuccess(t *testing.T) {
	t.Parallel()
	tab := answering(func(n int) (*http.Response, error) {
		if n == 1 {
			return nil, errors.New("connection reset by peer")
		}
		return refusal("ConditionalCheckFailedException", `,"Item":{"p":{"S":"p"},"s":{"S":"a"},"r":{"N":"4"},"w":{"S":"mine"}}`), nil
	})
	if err := tab.Write(t.Context(), item("a", table.At(3))); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestWhatWasNeverSentIsNotLost(t *testing.T) {
	t.Parallel()
	client := dynamodb.New(dynamodb.Options{ // nobody listens on port 1
		Region: "eu-north-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond }),
	})
	err := dynamo.New(client, "t", dynamo.Options{Now: func() msg.Time { return 1 }}).Write(t.Context(), item("a", table.Absent))
	if err == nil || errors.Is(err, table.ErrLost) {
		t.Errorf("got %v: a refused connection writes nothing", err)
	}
}

func TestAStreamRecordBecomesAChange(t *testing.T) {
	t.Parallel()
	keys := map[string]dynamo.Value{"p": {S: "p"}, "s": {S: "a"}}
	r := dynamo.Record{
		Shard: "shard", Sequence: "42", At: 5000, Keys: keys,
		New: map[string]dynamo.Value{
			"p": {S: "p"}, "s": {S: "a"}, "r": {N: "3"}, "b": {B: []byte("body")}, "x": {N: "9"}, "w": {S: "token"},
			"wp": {S: "L"}, "ws": {S: "1"}, "dp": {S: "due"}, "ds": {S: "2"},
		},
	}
	want := table.Change{Key: table.Key{PK: "p", SK: "a"}, Shard: "shard", Seq: "42", At: 5000, New: &table.Item{
		Key: table.Key{PK: "p", SK: "a"}, Rev: 3, Body: []byte("body"), Expires: 9000,
		Index: map[table.Index]table.Key{table.WorkList: {PK: "L", SK: "1"}, table.Due: {PK: "due", SK: "2"}},
	}}
	got, err := r.Change()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	r.Old, r.New = r.New, nil
	want.Old, want.New = want.New, nil
	got, err = r.Change()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("a deletion: %v (-want +got):\n%s", err, diff)
	}
	for name, bad := range map[string]map[string]dynamo.Value{
		"no key": {"p": {S: "p"}}, "a revision of text": {"p": {S: "p"}, "s": {S: "a"}, "r": {S: "x"}}, "an odd expiry": {"p": {S: "p"}, "s": {S: "a"}, "x": {N: "1.5"}},
	} {
		if _, err := (dynamo.Record{Keys: keys, New: bad}).Change(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
