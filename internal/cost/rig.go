package cost

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
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
	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/awsfilter"
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
)

// rig is the program on AWS, over stand-ins, twice over the same table: once metered, which reads before each write, and once
// as it is, for times, calls and logs.
type rig struct {
	a        Assumptions
	template string
	calls    *calls
	stack    *standin.Stack
	sqs      *sqs.Client
	s3       *s3.Client
	name     string
	streams  *changes
	plain    *shape
	metered  *shape
	meter    *dynamo.Meter
	kinds    *kinds
}

// shape is one of the two.
type shape struct {
	system  *awsapp.System
	desk    *desk.Desk
	pages   http.Handler
	react   *pipeline.Pipeline // with pushes
	quiet   *pipeline.Pipeline // without
	log     *countingLog
	gateway *countingGateway
}

func newRig(ctx context.Context, template string, a Assumptions) (*rig, error) {
	stack, err := standin.Start(ctx, "")
	if err != nil {
		return nil, err
	}
	r := &rig{a: a, template: template, stack: stack, calls: newCalls(&a), name: "cost-" + strings.ToLower(rand.Text()[:10]), kinds: newKinds()}
	if err := r.open(ctx); err != nil {
		stack.Stop()
		return nil, fmt.Errorf("build the desk over stand-ins: %w", err)
	}
	return r, nil
}

func (r *rig) close() { r.stack.Stop() }

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
	filter, err := awsfilter.OfTemplate(r.template, "ReactFunction", "Changes")
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
		Table: r.name, Bucket: r.name, SecretPath: "/" + r.name, BaseURL: baseURL, Zone: "Europe/Helsinki", Team: "support",
		Queues: map[string]string{}, Dead: map[string]string{},
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
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return err
	}
	r.meter = &dynamo.Meter{Item: r.kinds.add}
	if r.metered, err = newShape(ctx, env, clients, key, r.meter); err != nil {
		return err
	}
	if r.plain, err = newShape(ctx, env, clients, key, nil); err != nil {
		return err
	}
	return r.connect(ctx)
}

func newShape(ctx context.Context, env *awsapp.Environment, clients *awsapp.Clients, key []byte, meter *dynamo.Meter) (*shape, error) {
	s := &shape{log: &countingLog{}, gateway: &countingGateway{}}
	o := awsapp.Options{Log: slog.New(slog.NewJSONHandler(s.log, nil)), Key: key, Meter: meter, Inspect: app.InspectFile}
	var err error
	if s.system, err = awsapp.New(ctx, env, clients, o); err != nil {
		return nil, err
	}
	s.quiet = s.system.Pipeline
	pushing, err := awsapp.New(ctx, env, clients, o)
	if err != nil {
		return nil, err
	}
	if s.desk, err = desk.New(pushing, s.gateway); err != nil {
		return nil, err
	}
	s.react = s.desk.Tell()
	s.pages, err = front.New(s.system)
	return s, err
}

// connect makes one account of each channel and opens the sockets of the agents.
func (r *rig) connect(ctx context.Context) error {
	s := r.plain.system
	for channel, secrets := range map[string]map[string]string{
		"whatsapp": {"app_secret": appSecret, "verify_token": "a long random text", "access_token": "an access token"},
		"webhook":  {"signing_secret": hookSecret},
		"email":    nil, "form": nil,
	} {
		a := store.Connected{Channel: channel, Account: "main", Team: "support", Settings: map[string]map[string]string{
			"whatsapp": {"phone_number_id": phoneNumber}, "email": {"address": mailAddress},
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
		shape.quiet.ForgetAccounts()
		shape.react.ForgetAccounts()
	}
	return r.openSockets(ctx)
}

func (r *rig) openSockets(ctx context.Context) error {
	people := r.plain.desk.Auth
	_, secret, err := people.CreateToken(ctx, "cost", auth.Token{Name: "agent", Roles: []auth.Role{auth.Administrator}, Scopes: []auth.Scope{auth.ScopeRead}})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL+"/socket", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+secret)
	agent, err := people.Authenticate(request)
	if err != nil {
		return err
	}
	for n := range r.a.Agents {
		ticket, _, err := people.Ticket(ctx, agent)
		if err != nil {
			return err
		}
		open, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL+"/socket?ticket="+ticket+"&batch=yes", nil)
		if err != nil {
			return err
		}
		if status := r.plain.desk.Connect(ctx, fmt.Sprintf("connection-%d", n), open); status != http.StatusOK {
			return fmt.Errorf("open a socket: it was answered with %d", status)
		}
	}
	return nil
}

// countingGateway is the WebSocket API's way back to agents. A message costs one for each 32 KB.
type countingGateway struct{ messages float64 }

// PostToConnection implements desk.Gateway.
func (g *countingGateway) PostToConnection(_ context.Context, in *apigatewaymanagementapi.PostToConnectionInput, _ ...func(*apigatewaymanagementapi.Options)) (*apigatewaymanagementapi.PostToConnectionOutput, error) {
	g.messages += float64(1 + len(in.Data)/(32<<10))
	return &apigatewaymanagementapi.PostToConnectionOutput{}, nil
}

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

func now() msg.Time { return msg.TimeOf(time.Now()) }

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
		"B": "rate cap", "S": "status token", "Y": "idempotency key",
	}[letter]; ok {
		return name
	}
	return letter
}
