//go:build parts

package proxy_test

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"

	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/standin/proxy"
)

// bench is a proxy that does what the test says with the calls of an action.
type bench struct {
	*proxy.Proxy
	config aws.Config

	mu      sync.Mutex
	trouble map[string]proxy.Trouble
	seen    []*proxy.Call
}

type callerKey struct{}

func open(t *testing.T, target string) *bench {
	t.Helper()
	b := &bench{trouble: map[string]proxy.Trouble{}}
	var err error
	b.Proxy, err = proxy.Open(target, func(c *proxy.Call) proxy.Trouble {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.seen = append(b.seen, c)
		return b.trouble[c.Action]
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	b.config = proxy.Named(standin.Config(b.URL), func(ctx context.Context) string { who, _ := ctx.Value(callerKey{}).(string); return who })
	b.config.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 5 * time.Millisecond })
	}
	return b
}

// meet has the calls of an action meet trouble from now on; nil is none.
func (b *bench) meet(action string, trouble proxy.Trouble) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trouble[action], b.seen = trouble, nil
}

// calls are those of an action since the last meet.
func (b *bench) calls(action string) []*proxy.Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(b.seen), func(c *proxy.Call) bool { return c.Action != action })
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return ""
}

// dynamoTable is a table with one key, and a client that goes through the proxy.
func dynamoTable(t *testing.T) (*bench, *dynamodb.Client, *string) {
	t.Helper()
	b := open(t, standin.DynamoDB(t))
	c, name := dynamodb.NewFromConfig(b.config), aws.String("proxy-"+rand.Text()[:8])
	if _, err := c.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: name, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("p"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("p"), AttributeType: types.ScalarAttributeTypeS}},
	}); err != nil {
		t.Fatal(err)
	}
	return b, c, name
}

func item(p string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"p": &types.AttributeValueMemberS{Value: p}}
}

func exists(t *testing.T, c *dynamodb.Client, table *string, p string) bool {
	t.Helper()
	got, err := c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: item(p), ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return got.Item != nil
}

func TestCallWhoseAnswerIsLostIsCarriedOutAndOneThatIsDroppedIsNot(t *testing.T) {
	t.Parallel()
	b, c, table := dynamoTable(t)
	for name, lost := range map[string]proxy.Trouble{"landed": proxy.Lose, "dropped": proxy.Drop} {
		b.meet("PutItem", lost)
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: item(name)})
		if err == nil || code(err) != "" || !strings.Contains(err.Error(), "connection reset") {
			t.Errorf("%s: %v, want a broken connection", name, err)
		}
		if there := exists(t, c, table, name); there != (name == "landed") {
			t.Errorf("%s: there is %t", name, there)
		}
		attempts := b.calls("PutItem")
		if len(attempts) != 3 {
			t.Fatalf("%s: %d attempts, the SDK makes 3", name, len(attempts))
		}
		for i, a := range attempts {
			if a.Attempt != i+1 || a.Invocation == "" || a.Invocation != attempts[0].Invocation {
				t.Errorf("%s: attempt %d is %d of %q, the first of %q", name, i+1, a.Attempt, a.Invocation, attempts[0].Invocation)
			}
		}
	}
}

func TestEveryWayToThrottleIsOneThatTheSDKKnows(t *testing.T) {
	t.Parallel()
	b, c, table := dynamoTable(t)
	for turn, want := range []string{"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"} {
		b.meet("PutItem", proxy.Throttle(turn))
		_, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: item("x")})
		if code(err) != want || len(b.calls("PutItem")) != 3 {
			t.Errorf("turn %d: %v after %d attempts", turn, err, len(b.calls("PutItem")))
		}
	}
	for turn, want := range map[int]string{3: "ThrottlingError", 4: "ProvisionedThroughputExceeded"} {
		b.meet("TransactWriteItems", proxy.Throttle(turn))
		put := func(p string) types.TransactWriteItem {
			return types.TransactWriteItem{Put: &types.Put{TableName: table, Item: item(p)}}
		}
		_, err := c.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{put("x"), put("y")}})
		cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
		if !ok || len(cancelled.CancellationReasons) != 2 || *cancelled.CancellationReasons[0].Code != "None" || *cancelled.CancellationReasons[1].Code != want {
			t.Errorf("turn %d: %v", turn, err)
		}
	}
	if exists(t, c, table, "x") {
		t.Error("what was refused was written")
	}

	b.meet("GetItem", proxy.Throttle(0))
	if _, err := c.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: table, Key: item("x")}); code(err) != "ThrottlingException" {
		t.Errorf("a read: %v", err)
	}
}

func TestHalfABatchIsTakenAndTheRestComesBack(t *testing.T) {
	t.Parallel()
	b, c, table := dynamoTable(t)
	b.meet("BatchWriteItem", proxy.Half)
	write := func(names ...string) (*dynamodb.BatchWriteItemOutput, error) {
		var all []types.WriteRequest
		for _, p := range names {
			all = append(all, types.WriteRequest{PutRequest: &types.PutRequest{Item: item(p)}})
		}
		return c.BatchWriteItem(t.Context(), &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*table: all}})
	}
	out, err := write("a", "b", "c")
	if err != nil || len(out.UnprocessedItems[*table]) != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	for name, want := range map[string]bool{"a": true, "b": false, "c": false} {
		if exists(t, c, table, name) != want {
			t.Errorf("%s is there: %t", name, !want)
		}
	}
	if _, err := write("d"); code(err) != "ProvisionedThroughputExceededException" || exists(t, c, table, "d") {
		t.Errorf("a batch of one: %v", err)
	}
}

func TestStaleIndexFindsNothingThatIsThere(t *testing.T) {
	t.Parallel()
	b, c, table := dynamoTable(t)
	if _, err := c.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: table, Item: item("x")}); err != nil {
		t.Fatal(err)
	}
	for want, trouble := range []proxy.Trouble{proxy.FindNothing, nil} {
		b.meet("Query", trouble)
		got, err := c.Query(t.Context(), &dynamodb.QueryInput{
			TableName: table, KeyConditionExpression: aws.String("p = :p"), ExpressionAttributeValues: map[string]types.AttributeValue{":p": item("x")["p"]},
		})
		if err != nil || len(got.Items) != want {
			t.Errorf("found %v, %v, want %d items", got, err, want)
		}
	}
}

func TestLostAnswerMakesTheSDKSendTwiceAndADeliveryCanComeTwice(t *testing.T) {
	t.Parallel()
	b := open(t, standin.SQS(t))
	c := sqs.NewFromConfig(b.config)
	made, err := c.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("proxy-" + rand.Text()[:8])})
	if err != nil {
		t.Fatal(err)
	}
	send := func() error {
		_, err := c.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{
			QueueUrl: made.QueueUrl, Entries: []sqstypes.SendMessageBatchRequestEntry{{Id: aws.String("1"), MessageBody: aws.String("Hei")}},
		})
		return err
	}
	b.meet("SendMessageBatch", func(x *proxy.Exchange) { // the first answer alone
		if x.Attempt == 1 {
			proxy.Lose(x)
			return
		}
		x.Answer(x.Forward(x.Body))
	})
	if err := send(); err != nil {
		t.Fatal(err)
	}
	twice := &proxy.Twice{}
	b.meet("ReceiveMessage", twice.Deliver)
	var bodies, ids []string
	for { // at most two messages, so this ends
		got, err := c.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: made.QueueUrl, MaxNumberOfMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Messages) == 0 {
			break
		}
		for _, m := range got.Messages {
			bodies, ids = append(bodies, *m.Body), append(ids, *m.MessageId)
		}
	}
	if !slices.Equal(bodies, []string{"Hei", "Hei", "Hei", "Hei"}) {
		t.Errorf("delivered %q", bodies)
	}
	slices.Sort(ids)
	if different := len(slices.Compact(ids)); different != 2 {
		t.Errorf("%d messages, want the two that the SDK sent, each twice", different)
	}
	b.meet("SendMessageBatch", proxy.Throttle(0))
	if err := send(); code(err) != "RequestThrottled" || len(b.calls("SendMessageBatch")) != 3 {
		t.Errorf("throttled: %v", err)
	}
}

func TestObjectCannotBeReadWhileStorageIsAskedForTooMuch(t *testing.T) {
	t.Parallel()
	b := open(t, standin.Moto(t))
	c := s3.NewFromConfig(b.config, func(o *s3.Options) { o.UsePathStyle = true })
	bucket, key := aws.String("proxy-"+strings.ToLower(rand.Text()[:8])), aws.String("k")
	if _, err := c.CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket: bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: standin.Region},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("Hei")}); err != nil {
		t.Fatal(err)
	}
	b.meet(http.MethodGet, proxy.Throttle(0))
	if _, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key}); code(err) != "SlowDown" {
		t.Errorf("got %v", err)
	}
	b.meet(http.MethodGet, nil)
	if _, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key}); err != nil {
		t.Error(err)
	}
	if _, err := c.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: bucket, Key: key}); err != nil {
		t.Error(err)
	}
}

func TestProxyKnowsTheCallerAndTheStandInDoesNot(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []http.Header
	standIn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, r.Header.Clone())
		_, _ = w.Write([]byte(`{}`))
	}))
	defer standIn.Close()
	b := open(t, standIn.URL)
	c := dynamodb.NewFromConfig(b.config)
	for _, who := range []string{"worker", ""} {
		b.meet("ListTables", nil)
		if _, err := c.ListTables(context.WithValue(t.Context(), callerKey{}, who), &dynamodb.ListTablesInput{}); err != nil {
			t.Fatal(err)
		}
		if calls := b.calls("ListTables"); len(calls) != 1 || calls[0].Caller != who {
			t.Errorf("the proxy saw %+v, want one of %q", calls, who)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, h := range told {
		if h.Get("X-Standin-Caller") != "" || h.Get("X-Amz-Target") == "" || strings.Contains(h.Get("Authorization"), "caller") {
			t.Errorf("the stand-in was told %v", h)
		}
	}
}
