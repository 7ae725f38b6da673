//go:build parts

package scenario

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/aikajana/aikajana/internal/app"
	awsapp "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/aws/desk"
	"github.com/aikajana/aikajana/internal/app/aws/front"
	"github.com/aikajana/aikajana/internal/app/aws/httpapi"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/awsfilter"
	"github.com/aikajana/aikajana/internal/awslambda"
	"github.com/aikajana/aikajana/internal/awspolicy"
	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/localaws"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/standin/proxy"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// Parts are the endpoints of the stand-ins.
type Parts struct {
	DynamoDB, SQS, Moto string
	// Written, when set, is told of each item that was put, or deleted: then only its key is there. It is called by whoever
	// writes, several at once.
	Written func(w Written)
	// Template is the path of template.yaml, whose event sources are played; empty is right for a package two folders down.
	Template string
	// Visibility, when set, is how long a message that was received stays hidden, by SQS's clock: queues are then SQS's alone.
	// Otherwise delays and visibility go by the script's clock.
	Visibility time.Duration
	// Calls, when set, remembers what each function called.
	Calls *awspolicy.Recorder
}

// Written is one write that landed, as DynamoDB has it.
type Written struct {
	Item map[string]types.AttributeValue
	// Deleted says that the item is gone, Transaction that it cost double.
	Deleted, Transaction bool
}

// config is that of a client of the endpoint.
func (parts Parts) config(endpoint string, w *awspolicy.World) aws.Config {
	if parts.Calls == nil {
		return standin.Config(endpoint)
	}
	return parts.Calls.Watch(standin.Config(endpoint), w)
}

// NewAWS builds the AWS shape over stand-ins: the system of package app/aws, worked through its Lambda handlers with events
// in the JSON that AWS sends.
func (parts Parts) NewAWS(ctx context.Context, s *Stage) (World, error) {
	w := &amazon{stage: s, parts: parts, name: "scenario-" + strings.ToLower(rand.Text()[:12]), queues: map[string]queue.Queue{}, held: map[string]*heldQueue{}}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("build the AWS world: %w", err), w.Close())
	}
	return w, nil
}

// amazon is the AWS shape.
type amazon struct {
	stage *Stage
	parts Parts
	name  string
	// dynamoDB, sqs and s3 are the world's own way to the stand-ins, past the proxies that the program's clients go through.
	dynamoDB *dynamodb.Client
	sqs      *sqs.Client
	s3       *s3.Client
	proxies  []*proxy.Proxy
	// system is the operator's view; functions are the Lambdas by name.
	system    *awsapp.System
	functions map[string]*awsapp.System
	people    *people.People
	door      http.Handler
	queues    map[string]queue.Queue
	// held are the queues whose time is the script's.
	held   map[string]*heldQueue
	stream *streamReader
	// sockets is where the WebSocket API is; closing closes it.
	sockets string
	closing func() error
	// resources are the names of everything in the template.
	resources *awspolicy.World

	mu sync.Mutex
	// hidden are objects that are announced but cannot be read yet.
	hidden map[string][]byte
	// written is when SES wrote each mail, by the script's clock.
	written map[string]time.Time
	// mislay is closed when the next $disconnect got lost; nil when none is to.
	mislay chan struct{}
}

func (w *amazon) open(ctx context.Context) error {
	w.hidden, w.written, w.resources = map[string][]byte{}, map[string]time.Time{}, logical(w.name)
	w.dynamoDB = dynamodb.NewFromConfig(standin.Config(w.parts.DynamoDB))
	streamARN, err := dynamo.CreateTable(ctx, w.dynamoDB, w.name)
	if err != nil {
		return err
	}
	filter, err := awsfilter.OfTemplate(cmp.Or(w.parts.Template, "../../template.yaml"), "ReactFunction", "Changes")
	if err != nil {
		return err
	}
	w.stream = newStreamReader(dynamodbstreams.NewFromConfig(standin.Config(w.parts.DynamoDB)), streamARN, w.stage.Clock, filter)
	w.sqs = sqs.NewFromConfig(standin.Config(w.parts.SQS))
	w.s3 = s3.NewFromConfig(standin.Config(w.parts.Moto), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := w.s3.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: &w.name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: standin.Region},
	}); err != nil {
		return err
	}
	env := &awsapp.Environment{
		Table: w.name, Bucket: w.name, SecretPath: "/" + w.name, BaseURL: BaseURL, Zone: "Europe/Helsinki", AllowPrivate: true, ConfigurationSet: "ConfigurationSet",
		Queues: map[string]string{}, Dead: map[string]string{},
	}
	for _, name := range queueNames {
		if env.Queues[name], env.Dead[name], err = w.makeQueue(ctx, name); err != nil {
			return err
		}
	}
	clients, err := w.clients()
	if err != nil {
		return err
	}
	options := awsapp.Options{
		Now: w.stage.Clock.Now, Log: w.stage.Log, Key: w.stage.Key, Rand: w.stage.Rand, Pause: atOnce, Inspect: app.InspectFile,
		Queues: func(name string, q queue.Queue) queue.Queue {
			if w.queues[name] == nil { // one for all: it holds back what is delayed
				w.queues[name] = q
				if w.parts.Visibility == 0 {
					w.held[name] = newHeldQueue(q, w.stage.Clock)
					w.queues[name] = w.held[name]
				}
			}
			return w.queues[name]
		},
	}
	if w.system, err = awsapp.New(ctx, env, clients, options); err != nil {
		return err
	}
	if err := w.start(ctx, env, clients, options); err != nil {
		return err
	}
	return w.openDoor()
}

// clients are the program's: the SDK's own, through proxies that make the script's trouble. What the world does itself, as AWS's
// other services would, goes past them.
func (w *amazon) clients() (*awsapp.Clients, error) {
	trouble := newWeather(w.stage.Faults)
	through := func(endpoint string, decide proxy.Decide) (aws.Config, error) {
		p, err := proxy.Open(endpoint, decide)
		if err != nil {
			return aws.Config{}, err
		}
		w.proxies = append(w.proxies, p)
		c := proxy.Named(w.parts.config(p.URL, w.resources), at)
		c.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = 100 }) // as many as may work at once
		c.Retryer = func() aws.Retryer {                                                                                          // which waits no longer than a story may take
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
		}
		return c, nil
	}
	toTable, err := through(w.parts.DynamoDB, trouble.table)
	if err != nil {
		return nil, err
	}
	toQueues, err := through(w.parts.SQS, trouble.queue)
	if err != nil {
		return nil, err
	}
	toStorage, err := through(w.parts.Moto, trouble.storage)
	if err != nil {
		return nil, err
	}
	return &awsapp.Clients{
		DynamoDB: mortal{dynamodb.NewFromConfig(toTable), w.stage.Faults, w.parts.Written}, SQS: sqs.NewFromConfig(toQueues),
		S3: s3.NewFromConfig(toStorage, func(o *s3.Options) { o.UsePathStyle = true }), Region: standin.Region,
		SES: sesv2.NewFromConfig(w.parts.config(w.stage.SES, w.resources)), SSM: ssm.NewFromConfig(w.parts.config(w.parts.Moto, w.resources)),
	}, nil
}

// start gives each function a system of its own, as it has in its process: they share nothing but what is stored.
func (w *amazon) start(ctx context.Context, env *awsapp.Environment, clients *awsapp.Clients, options awsapp.Options) error {
	if err := w.system.Secrets.Put(ctx, awsapp.KeyName, []string{base64.StdEncoding.EncodeToString(options.Key)}); err != nil {
		return err
	}
	options.Key = nil
	w.functions = map[string]*awsapp.System{}
	for _, name := range []string{"Webhook", "Process", "Mail", "Fetch", "Deliver", "React", "Tick", "Api", "Pages", "Socket"} {
		options.Instance = strings.ToLower(name)
		s, err := awsapp.New(awspolicy.As(ctx, name), env, clients, options)
		if err != nil {
			return err
		}
		w.functions[name] = s
	}
	return nil
}

// openDoor lets people in: what they talk to is what the functions serve, behind API Gateway's events.
func (w *amazon) openDoor() error {
	api, err := httpapi.New(w.functions["Api"])
	if err != nil {
		return err
	}
	pages, err := front.New(w.functions["Pages"])
	if err != nil {
		return err
	}
	// The story's own hands make users, whose passwords cost little to check until they have signed in once.
	w.people, err = people.New(w.system.App, people.Options{BaseURL: BaseURL, Log: w.stage.Log, Cost: cheap})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/hooks/", gateway("Webhook", w.functions["Webhook"].Hooks()))
	mux.Handle("/api/", gateway("Api", api))
	mux.Handle("/healthz", gateway("Api", api))
	mux.Handle("/", gateway("Pages", pages))
	w.door = mux
	return nil
}

// visibility is SQS's own where the script's clock counts: so long that it never ends.
const visibility = 6 * time.Hour

func (w *amazon) makeQueue(ctx context.Context, name string) (url, dead string, err error) {
	made, err := w.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(w.name + "-" + name + "-dead")})
	if err != nil {
		return "", "", err
	}
	dead = *made.QueueUrl
	about, err := w.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &dead, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", "", err
	}
	made, err = w.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(w.name + "-" + name), Attributes: map[string]string{
		string(sqstypes.QueueAttributeNameVisibilityTimeout): fmt.Sprint(int(cmp.Or(w.parts.Visibility, visibility).Seconds())),
		string(sqstypes.QueueAttributeNameRedrivePolicy): fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`,
			about.Attributes[string(sqstypes.QueueAttributeNameQueueArn)], queue.MaxAttempts),
	}})
	if err != nil {
		return "", "", err
	}
	return *made.QueueUrl, dead, nil
}

// App implements World.
func (w *amazon) App() *app.App { return w.system.App }

// People implements World.
func (w *amazon) People() *people.People { return w.people }

// Secrets implements World.
func (w *amazon) Secrets() secret.Store { return w.system.Secrets }

// Door implements World.
func (w *amazon) Door() http.Handler { return w.door }

// Sockets implements World: from now on React tells the connections of a WebSocket API, whose events go to the socket
// function.
func (w *amazon) Sockets(context.Context) (string, error) {
	if w.closing != nil {
		return w.sockets, nil
	}
	var handler any
	addr, stop, err := localaws.OpenWebSocketAPI(func(ctx context.Context, _ string, event []byte) ([]byte, error) {
		if w.mislaid(event) {
			return []byte(`{"statusCode":200}`), nil
		}
		var answer json.RawMessage
		err := awslambda.Invoke(awspolicy.As(ctx, "Socket"), handler, json.RawMessage(event), &answer)
		return answer, err
	})
	if err != nil {
		return "", err
	}
	manage := func(name string) (*desk.Desk, error) {
		config := w.parts.config("http://"+addr, w.resources)
		return desk.New(w.functions[name], apigatewaymanagementapi.NewFromConfig(config))
	}
	answering, err := manage("Socket")
	if err != nil {
		return "", errors.Join(err, stop())
	}
	telling, err := manage("React")
	if err != nil {
		return "", errors.Join(err, stop())
	}
	handler = awslambda.WebSocket(answering)
	react := w.functions["React"].Pipeline
	react.Push, react.Watch = telling.Sockets, telling.Watch
	w.sockets, w.closing = "ws://"+addr+"/socket", stop
	return w.sockets, nil
}

// Connections implements World: the items that the functions remember connections by.
func (w *amazon) Connections(ctx context.Context) (int, error) {
	items, err := w.system.Table.Query(ctx, table.Query{PK: "W#sockets"})
	return len(items), err
}

// Expired implements keeping: what DynamoDB itself holds, and nothing of ours has looked at.
func (w *amazon) Expired(ctx context.Context) (int, error) {
	found, err := w.dynamoDB.Scan(ctx, &dynamodb.ScanInput{
		TableName: &w.name, ConsistentRead: aws.Bool(true), FilterExpression: aws.String("#x <= :now"),
		ExpressionAttributeNames:  map[string]string{"#x": dynamo.TTLAttribute},
		ExpressionAttributeValues: map[string]types.AttributeValue{":now": &types.AttributeValueMemberN{Value: strconv.FormatInt(w.stage.Clock.Time().Unix(), 10)}},
	})
	if err != nil {
		return 0, err
	}
	return int(found.Count), nil
}

// Unheard implements forgetful: API Gateway lets go of the connection, and its $disconnect gets lost.
func (w *amazon) Unheard(ctx context.Context, end func() error) error {
	before, err := w.Connections(ctx)
	if err != nil {
		return err
	}
	gone := make(chan struct{})
	w.mu.Lock()
	w.mislay = gone
	w.mu.Unlock()
	if err := end(); err != nil {
		return err
	}
	select {
	case <-gone:
	case <-time.After(hearWithin):
		return errors.New("the WebSocket API did not notice that a connection has ended")
	}
	if after, err := w.Connections(ctx); err != nil || after != before {
		return fmt.Errorf("%d connections are remembered after one was lost without a word, of %d: %w", after, before, err)
	}
	return nil
}

// mislaid says that an event gets lost on its way to the socket function.
func (w *amazon) mislaid(event []byte) bool {
	var e struct{ RequestContext struct{ EventType string } }
	if json.Unmarshal(event, &e) != nil || e.RequestContext.EventType != "DISCONNECT" {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mislay == nil {
		return false
	}
	close(w.mislay)
	w.mislay = nil
	return true
}

// End tells a function's process to end, as Lambda does when there is nothing to do for it.
func (w *amazon) End(ctx context.Context, function string) error {
	s := w.functions[function]
	if s == nil {
		return fmt.Errorf("there is no function %q", function)
	}
	return s.Pipeline.Leave(awspolicy.As(ctx, function))
}

// Queue implements World.
func (w *amazon) Queue(name string) queue.Queue { return w.queues[name] }

// Handle implements World: a batch goes to the function as the event source mapping hands it over.
func (w *amazon) Handle(ctx context.Context, name string, batch []queue.Message) ([]string, error) {
	function := map[string]string{"inbound": "Process", "mail": "Mail", "media": "Fetch", "wake": "Deliver"}[name]
	p := w.functions[function].Pipeline
	handler := map[string]any{
		"inbound": awslambda.SQS(p.Process), "mail": awslambda.Notices(p.Mail), "media": awslambda.SQS(p.Fetch), "wake": awslambda.SQS(p.Deliver),
	}[name]
	ctx = awspolicy.As(ctx, function)
	var response struct {
		BatchItemFailures []struct{ ItemIdentifier string }
	}
	if err := awslambda.Invoke(ctx, handler, sqsEvent(name, batch), &response); err != nil {
		return nil, err
	}
	var failed []string
	for _, f := range response.BatchItemFailures {
		failed = append(failed, f.ItemIdentifier)
	}
	return failed, nil
}

// React implements World: records of the stream go to the function shard by shard.
func (w *amazon) React(ctx context.Context) (int, error) {
	event, n, err := w.stream.next(ctx)
	if err != nil || n == 0 {
		return 0, err
	}
	if err := awslambda.Invoke(awspolicy.As(ctx, "React"), awslambda.Changes(w.functions["React"].Pipeline.React), event, nil); err != nil {
		return 0, err
	}
	w.stream.done()
	return n, nil
}

// Tick implements World.
func (w *amazon) Tick(ctx context.Context) error {
	return awslambda.Invoke(awspolicy.As(ctx, "Tick"), awslambda.Schedule(w.functions["Tick"].Tick), map[string]any{
		"version": "0", "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa", "detail-type": "Scheduled Event", "source": "aws.events", "account": "123456789012",
		"time": w.stage.Clock.Time().Format(time.RFC3339), "region": standin.Region, "detail": map[string]any{},
		"resources": []string{"arn:aws:events:" + standin.Region + ":123456789012:rule/tick"},
	}, nil)
}

// Moved implements World.
func (w *amazon) Moved(ctx context.Context) error {
	w.mu.Lock()
	hidden := w.hidden
	w.hidden = map[string][]byte{}
	w.mu.Unlock()
	for key, raw := range hidden { // what could not be read yet can be read now
		if err := w.put(ctx, key, raw); err != nil {
			return err
		}
	}
	for _, name := range queueNames {
		if q := w.held[name]; q != nil {
			if err := q.moved(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// Redriven implements World.
func (w *amazon) Redriven(ctx context.Context, name string) error {
	for {
		d, err := w.queues[name].Depth(ctx)
		if err != nil || d.Dead == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond): // SQS moves by itself and tells nobody when it is through
		}
	}
}

// Check implements World: what "aikajana-aws check --bucket --settled" says an hour later.
func (w *amazon) Check(ctx context.Context) ([]string, error) {
	later := w.stage.Clock.Now().Add(time.Hour + time.Millisecond)
	r, err := check.Run(ctx, check.Deployment(w.system.Table, mailsOf{w}, later, true))
	if err != nil {
		return nil, err
	}
	return r.Problems, nil
}

// Close implements World.
func (w *amazon) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := w.dynamoDB.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &w.name})
	if w.closing != nil {
		err = errors.Join(err, w.closing())
	}
	for _, p := range w.proxies {
		err = errors.Join(err, p.Close())
	}
	return err
}

func jsonText(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
