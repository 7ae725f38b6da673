package cost

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/aikajana/aikajana/internal/app"
	awsapp "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/aws/desk"
	"github.com/aikajana/aikajana/internal/app/aws/front"
	"github.com/aikajana/aikajana/internal/app/aws/httpapi"
	"github.com/aikajana/aikajana/internal/awsfilter"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// Secrets and addresses of the accounts that are measured.
const (
	baseURL     = "https://desk.example"
	appSecret   = "the secret of the app"
	hookSecret  = "a secret of twenty-four characters or more"
	phoneNumber = "1055"
	mailAddress = "help@desk.example"
	deskTeam    = "support"
)

// rig is the program on AWS, over stand-ins, twice over the same table: once metered, which reads before each write, and once
// as it is, for times, calls and logs.
type rig struct {
	a        *Assumptions
	clock    *clock
	outside  *outside
	calls    *calls
	stack    *standin.Stack
	provider *http.Server
	graph    string // where the provider takes answers
	sqs      *sqs.Client
	s3       *s3.Client
	name     string
	streams  *changes
	window   window
	plain    *shape
	metered  *shape
	meter    *dynamo.Meter
	kinds    *kinds
	met      int // people so far
	agents   []*agent
	seen     time.Time // when their sockets were opened
}

// shape is one of the two.
type shape struct {
	system  *awsapp.System
	desk    *desk.Desk
	pages   http.Handler
	api     http.Handler
	told    *pipeline.Pipeline // tells staff of what it follows up
	quiet   *pipeline.Pipeline // tells nobody
	studied [steps]*pipeline.Pipeline
	log     *countingLog
	gateway *countingGateway
}

// clock is the real one, and can be put forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) time() time.Time         { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) now() msg.Time           { return msg.TimeOf(c.time()) }
func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

// pause lets so much time pass that sockets look at their sessions again.
func (c *clock) pause() { c.forward(live.RecheckEvery + time.Second) }

func newRig(ctx context.Context, a *Assumptions) (*rig, error) {
	stack, err := standin.Start(ctx, "")
	if err != nil {
		return nil, err
	}
	r := &rig{a: a, clock: &clock{}, stack: stack, calls: newCalls(a), name: "cost-" + strings.ToLower(rand.Text()[:10]), kinds: newKinds()}
	r.outside = newOutside(r.clock.time)
	if err := r.open(ctx); err != nil {
		r.close()
		return nil, fmt.Errorf("build the desk over stand-ins: %w", err)
	}
	return r, nil
}

func (r *rig) close() {
	if r.provider != nil {
		_ = r.provider.Close() // nobody asks it any more
	}
	r.stack.Stop()
}

func (r *rig) config(endpoint string) aws.Config {
	c := standin.Config(endpoint)
	c.APIOptions = append(c.APIOptions, r.calls.watch)
	return c
}

func (r *rig) open(ctx context.Context) error {
	client := dynamodb.NewFromConfig(r.config(r.stack.DynamoDB))
	arn, err := dynamo.CreateTable(ctx, client, r.name)
	if err != nil {
		return err
	}
	filter, err := awsfilter.OfTemplate(r.a.Template, "ReactFunction", "Changes")
	if err != nil {
		return err
	}
	r.streams = newChanges(dynamodbstreams.NewFromConfig(standin.Config(r.stack.DynamoDB)), arn, filter)
	r.sqs = sqs.NewFromConfig(r.config(r.stack.SQS))
	r.s3 = s3.NewFromConfig(r.config(r.stack.Moto), func(o *s3.Options) { o.UsePathStyle = true })
	if _, err := r.s3.CreateBucket(ctx, &s3.CreateBucketInput{
		Bucket: &r.name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: standin.Region},
	}); err != nil {
		return err
	}
	env := &awsapp.Environment{
		Table: r.name, Bucket: r.name, SecretPath: "/" + r.name, BaseURL: baseURL, Zone: "Europe/Helsinki", Team: deskTeam,
		AllowPrivate: true, // the provider's stand-in is on this machine
		Queues:       map[string]string{}, Dead: map[string]string{},
	}
	for _, name := range awsapp.QueueNames {
		made, err := r.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(r.name + "-" + name)})
		if err != nil {
			return err
		}
		env.Queues[name], env.Dead[name] = *made.QueueUrl, *made.QueueUrl
	}
	clients := &awsapp.Clients{
		DynamoDB: client, SQS: r.sqs, S3: r.s3, SES: sesv2.NewFromConfig(r.config(r.stack.Moto)), SSM: ssm.NewFromConfig(r.config(r.stack.Moto)),
		Region: standin.Region, Config: r.config(r.stack.Moto),
	}
	if _, err := clients.SES.CreateEmailIdentity(ctx, &sesv2.CreateEmailIdentityInput{EmailIdentity: aws.String(mailAddress)}); err != nil {
		return err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	r.meter = &dynamo.Meter{Item: r.kinds.add}
	if r.metered, err = r.newShape(ctx, env, clients, key, r.meter); err != nil {
		return err
	}
	if r.plain, err = r.newShape(ctx, env, clients, key, nil); err != nil {
		return err
	}
	if err := r.serveProvider(ctx); err != nil {
		return err
	}
	return r.connect(ctx)
}

func (r *rig) newShape(ctx context.Context, env *awsapp.Environment, clients *awsapp.Clients, key []byte, meter *dynamo.Meter) (*shape, error) {
	s := &shape{log: &countingLog{}, gateway: &countingGateway{calls: r.calls}}
	o := awsapp.Options{Log: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{ReplaceAttr: timestamp})), Key: key, Meter: meter, Inspect: app.InspectFile, Now: r.clock.now}
	var err error
	if s.system, err = awsapp.New(ctx, env, clients, o); err != nil {
		return nil, err
	}
	s.quiet = s.system.Pipeline
	if s.studied, err = prototypes(s.system, &o, &r.window); err != nil {
		return nil, err
	}
	telling, err := awsapp.New(ctx, env, clients, o)
	if err != nil {
		return nil, err
	}
	if s.desk, err = desk.New(telling, s.gateway); err != nil {
		return nil, err
	}
	s.told = s.desk.Tell()
	if s.pages, err = front.New(s.system); err != nil {
		return nil, err
	}
	s.api, err = httpapi.New(s.system)
	return s, err
}

// timestamp names the time of a log line as functions do.
func timestamp(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		a.Key = "timestamp"
	}
	return a
}

// serveProvider opens the provider's API, which takes answers.
func (r *rig) serveProvider(ctx context.Context) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.provider = &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		defer r.calls.begin(askProvider)()
		r.outside.whatsapp.ServeHTTP(w, q)
	})}
	r.graph = "http://" + l.Addr().String()
	go func() { _ = r.provider.Serve(l) }() // it ends with close
	return nil
}

// connect makes one account of each channel.
func (r *rig) connect(ctx context.Context) error {
	s := r.plain.system
	for channel, secrets := range map[string]map[string]string{
		"whatsapp": {"app_secret": appSecret, "verify_token": "a long random text", "access_token": "an access token"},
		"webhook":  {"signing_secret": hookSecret},
		"email":    nil, "form": nil,
	} {
		a := store.Connected{Channel: channel, Account: "main", Team: deskTeam, Settings: map[string]map[string]string{
			"whatsapp": {"phone_number_id": phoneNumber, "api_base": r.graph}, "email": {"address": mailAddress},
		}[channel]}
		for name, value := range secrets {
			if err := s.Secrets.Put(ctx, pipeline.SecretName(channel, "main", name), []string{value}); err != nil {
				return err
			}
			a.Secrets = append(a.Secrets, name)
		}
		if err := s.Store.PutAccount(ctx, a); err != nil {
			return err
		}
	}
	for _, shape := range []*shape{r.plain, r.metered} {
		for _, p := range append(shape.studied[singleWrites:], shape.quiet, shape.told) {
			p.ForgetAccounts()
		}
	}
	return nil
}

// countingGateway is the WebSocket API's way back to agents. A message costs one for each 32 KB.
type countingGateway struct {
	calls    *calls
	messages atomic.Int64
}

// PostToConnection implements desk.Gateway.
func (g *countingGateway) PostToConnection(_ context.Context, in *apigatewaymanagementapi.PostToConnectionInput, _ ...func(*apigatewaymanagementapi.Options)) (*apigatewaymanagementapi.PostToConnectionOutput, error) {
	defer g.calls.begin(postToConnection)()
	g.messages.Add(frames(in.Data))
	return &apigatewaymanagementapi.PostToConnectionOutput{}, nil
}

// frames is how many messages of the WebSocket API a frame counts for: one for each 32 KB begun.
func frames(data []byte) int64 { return max(1, (int64(len(data))+(32<<10)-1)/(32<<10)) }

// DeleteConnection implements desk.Gateway.
func (g *countingGateway) DeleteConnection(context.Context, *apigatewaymanagementapi.DeleteConnectionInput, ...func(*apigatewaymanagementapi.Options)) (*apigatewaymanagementapi.DeleteConnectionOutput, error) {
	return nil, errors.New("a socket that should be open was closed")
}

// countingLog counts what a function logs.
type countingLog struct {
	bytes, lines float64
	last         []byte
}

// Write implements io.Writer: one call is one line.
func (l *countingLog) Write(b []byte) (int, error) {
	l.bytes += float64(len(b))
	l.lines++
	l.last = append(l.last[:0], bytes.TrimSpace(b)...)
	return len(b), nil
}

var _ io.Writer = (*countingLog)(nil)

// kindOf says what an item is, by its key.
func kindOf(k table.Key) string {
	switch {
	case strings.HasPrefix(k.PK, "C#") && strings.HasPrefix(k.SK, "E#"):
		return "entry"
	case strings.HasPrefix(k.PK, "C#") && strings.HasPrefix(k.SK, "K#"):
		return "case header"
	case strings.HasPrefix(k.PK, "C#"):
		return "customer"
	}
	letter, _, _ := strings.Cut(k.PK, "#")
	if name, ok := map[string]string{
		"X": "external ID", "I": "identity", "H": "Message-ID", "R": "case reference", "N": "notification", "T": "tally", "V": "note", "Q": "quarantine",
		"B": "rate cap", "S": "status token", "Y": "idempotency key", "U": "session",
	}[letter]; ok {
		return name
	}
	return letter
}
