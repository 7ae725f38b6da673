// Package localaws runs the AWS shape on this machine: the functions of template.yaml as sam local runs them, in containers,
// over stand-ins for the services. What no stand-in does is played here: event sources (queues, the table's stream, the
// schedule) and the WebSocket API. It is for tests and for "make local-aws".
//
// Everything listens on 127.0.0.1, and on the container bridge where containers must reach it. Stop leaves nothing behind.
package localaws

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	appaws "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// Options say how to run.
type Options struct {
	// Root is the project's folder, Dir a folder of the stack's own that Stop removes.
	Root, Dir string
	// Log takes what sam, the engine and the functions write.
	Log io.Writer
	// Visibility is how long a message that failed stays invisible; 0 takes the template's minutes, which are a long wait.
	Visibility time.Duration
	// HTTP is the port of the HTTP API; 0 takes a free one.
	HTTP int
	// called, when set, hears of each call that is played here (of event sources and of the WebSocket API) and its answer.
	called func(function string, event, answer []byte, err error)
}

// Stack is the running shape.
type Stack struct {
	// BaseURL is where the HTTP API is, SocketURL the WebSocket API.
	BaseURL, SocketURL string
	// System is the program over the same stand-ins, in this process: for preparing and for looking behind the scenes.
	System *appaws.System
	// SQS and S3 reach the stand-ins. What React gave up lies in the bucket "aikajana-local-failures".
	SQS *sqs.Client
	S3  *s3.Client

	o        Options
	settings *settings
	folder   *service
	parts    *standin.Stack
	engine   *engine
	forward  forwarders
	invoker  string
	sockets  *gateway
	services []*service
	stream   string
	cancel   context.CancelFunc
	working  sync.WaitGroup
	// polling and reading are held, for reading, by the sources of the queues and of the stream while they take and work: whoever
	// locks one sees them still, and what comes meanwhile taken as one batch.
	polling, reading sync.RWMutex
}

// name is what the table, the bucket and the queues are called, failures the bucket for what React gives up.
const (
	name     = "aikajana-local"
	failures = name + "-failures"
)

// Start builds the functions and starts everything. After an error nothing is left running.
func Start(ctx context.Context, o Options) (*Stack, error) {
	s := &Stack{o: o}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context) error {
	say := func(what string) { _, _ = fmt.Fprintln(s.o.Log, "local-aws:", what) } // a log that is full is no reason to stop
	if err := os.MkdirAll(filepath.Join(s.o.Dir, "tmp"), 0o700); err != nil {
		return fmt.Errorf("start the local AWS: %w", err)
	}
	var err error
	if s.settings, err = readSettings(filepath.Join(s.o.Root, "template.yaml"), appaws.QueueNames); err != nil {
		return err
	}
	if s.folder, err = keep(s.o.Log, nil, removeFolder, []string{"KEPT=" + s.o.Dir}, "sleep", forever); err != nil {
		return fmt.Errorf("start the local AWS: %w", err)
	}
	say("starting the container engine")
	if s.engine, err = openEngine(ctx, filepath.Join(s.o.Dir, "engine"), s.o.Log); err != nil {
		return err
	}
	s.forward.gateway = s.engine.gateway
	if err := s.engine.makeImage(ctx); err != nil {
		return err
	}
	say("starting the stand-ins")
	if s.parts, err = standin.Start(ctx, ""); err != nil {
		return err
	}
	say("building the functions")
	if err := build(ctx, s.o.Root, s.o.Dir, s.o.Log); err != nil {
		return err
	}
	if err := s.furnish(ctx); err != nil {
		return err
	}
	say("starting sam local")
	if err := s.serve(ctx); err != nil {
		return err
	}
	working, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.work(working)
	return nil
}

// furnish makes what the template would: table, queues, buckets; and the secrets that an operator makes.
func (s *Stack) furnish(ctx context.Context) error {
	db := dynamodb.NewFromConfig(standin.Config(s.parts.DynamoDB))
	s.SQS = sqs.NewFromConfig(standin.Config(s.parts.SQS))
	s.S3 = s3.NewFromConfig(standin.Config(s.parts.Moto), func(o *s3.Options) { o.UsePathStyle = true })
	var err error
	if s.stream, err = dynamo.CreateTable(ctx, db, name); err != nil {
		return err
	}
	for _, bucket := range []string{name, failures} {
		if _, err := s.S3.CreateBucket(ctx, &s3.CreateBucketInput{
			Bucket: aws.String(bucket), CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: standin.Region},
		}); err != nil {
			return fmt.Errorf("make the bucket %s: %w", bucket, err)
		}
	}
	web, err := standin.FreePort(s.o.HTTP)
	if err != nil {
		return err
	}
	if s.sockets, err = openGateway(s.call); err != nil {
		return err
	}
	s.BaseURL, s.SocketURL = "http://127.0.0.1:"+web, "ws://"+s.sockets.addr()+"/socket"
	e := &appaws.Environment{
		Table: name, Bucket: name, SecretPath: "/aikajana/local", BaseURL: s.BaseURL, SocketURL: s.SocketURL, SocketEndpoint: "http://" + s.sockets.addr(),
		Team: "support", Zone: "Europe/Helsinki", AllowPrivate: true, LogLevel: "info", Queues: map[string]string{}, Dead: map[string]string{},
	}
	for _, q := range appaws.QueueNames {
		if e.Queues[q], e.Dead[q], err = s.makeQueue(ctx, q); err != nil {
			return fmt.Errorf("make queue %s: %w", q, err)
		}
	}
	clients := &appaws.Clients{
		DynamoDB: db, SQS: s.SQS, S3: s.S3, SES: sesv2.NewFromConfig(standin.Config(s.parts.Moto)), SSM: ssm.NewFromConfig(standin.Config(s.parts.Moto)), Region: standin.Region,
	}
	key := []byte("0123456789abcdef0123456789abcdef") // nothing here is worth protecting, and it makes runs alike
	if s.System, err = appaws.New(ctx, e, clients, appaws.Options{Key: key, Log: slog.New(slog.NewJSONHandler(s.o.Log, nil))}); err != nil {
		return err
	}
	if err := s.System.Secrets.Put(ctx, appaws.KeyName, []string{base64.StdEncoding.EncodeToString(key)}); err != nil {
		return err
	}
	variables, err := s.variables(e)
	if err != nil {
		return err
	}
	return localise(s.template(), variables)
}

func (s *Stack) template() string { return filepath.Join(s.o.Dir, "build", "template.yaml") }

// variables is the environment of a function: the same names as in the template, and where the stand-ins are.
func (s *Stack) variables(e *appaws.Environment) (map[string]string, error) {
	v := map[string]string{
		"AIKAJANA_TABLE": e.Table, "AIKAJANA_BUCKET": e.Bucket, "AIKAJANA_SECRET_PATH": e.SecretPath, "AIKAJANA_BASE_URL": e.BaseURL,
		"AIKAJANA_SOCKET_URL": e.SocketURL, "AIKAJANA_TEAM": e.Team, "AIKAJANA_TIME_ZONE": e.Zone, "AIKAJANA_LOG_LEVEL": e.LogLevel,
		"AIKAJANA_ALLOW_PRIVATE": "yes", "AWS_EC2_METADATA_DISABLED": "true",
	}
	inner := map[string]string{
		"AIKAJANA_SOCKET_ENDPOINT":  e.SocketEndpoint,
		"AWS_ENDPOINT_URL_DYNAMODB": s.parts.DynamoDB, "AWS_ENDPOINT_URL_SQS": s.parts.SQS, "AWS_ENDPOINT_URL_S3": s.parts.Moto,
		"AWS_ENDPOINT_URL_SSM": s.parts.Moto, "AWS_ENDPOINT_URL_SESV2": s.parts.Moto,
	}
	for _, q := range appaws.QueueNames {
		inner["AIKAJANA_QUEUE_"+strings.ToUpper(q)], inner["AIKAJANA_DEAD_"+strings.ToUpper(q)] = e.Queues[q], e.Dead[q]
	}
	for k, url := range inner {
		reached, err := s.Inside(url)
		if err != nil {
			return nil, err
		}
		v[k] = reached
	}
	return v, nil
}

// Inside makes a URL of 127.0.0.1 one that functions reach.
func (s *Stack) Inside(url string) (string, error) { return s.forward.reach(url) }

func (s *Stack) makeQueue(ctx context.Context, q string) (url, dead string, err error) {
	made, err := s.SQS.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + "-" + q + "-dead")})
	if err != nil {
		return "", "", err
	}
	dead = *made.QueueUrl
	about, err := s.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &dead, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn}})
	if err != nil {
		return "", "", err
	}
	made, err = s.SQS.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name + "-" + q), Attributes: map[string]string{
		string(sqstypes.QueueAttributeNameVisibilityTimeout): fmt.Sprint(int(cmp.Or(s.o.Visibility, s.settings.queues[q].visibility).Seconds())),
		string(sqstypes.QueueAttributeNameRedrivePolicy): fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`,
			about.Attributes[string(sqstypes.QueueAttributeNameQueueArn)], s.settings.queues[q].attempts),
	}})
	if err != nil {
		return "", "", err
	}
	return *made.QueueUrl, dead, nil
}

// serve starts the HTTP API and the invoker of functions, and waits until both answer.
func (s *Stack) serve(ctx context.Context) error {
	port, err := standin.FreePort(0)
	if err != nil {
		return err
	}
	s.invoker = "http://127.0.0.1:" + port
	bin, err := sam()
	if err != nil {
		return err
	}
	_, web, err := net.SplitHostPort(strings.TrimPrefix(s.BaseURL, "http://"))
	if err != nil {
		return err
	}
	// One after the other: both would build the image of the runtime.
	for _, one := range [][2]string{{"start-lambda", port}, {"start-api", web}} {
		started, err := keep(s.o.Log, append(samEnvironment(s.o.Dir), s.engine.environment()...), "", nil, bin, "local", one[0],
			"--template", s.template(), "--parameter-overrides", "Architecture=x86_64", "--skip-pull-image",
			"--add-host", inside+":host-gateway", "--host", "127.0.0.1", "--port", one[1], "--warm-containers", "LAZY", "--region", standin.Region)
		if err != nil {
			return fmt.Errorf("sam local %s: %w", one[0], err)
		}
		s.services = append(s.services, started)
		if err := started.answers(ctx, "127.0.0.1:"+one[1]); err != nil {
			return fmt.Errorf("sam local %s: %w", one[0], err)
		}
	}
	return nil
}

// work starts the event sources.
func (s *Stack) work(ctx context.Context) {
	for q, from := range s.settings.queues {
		s.working.Go(func() { s.poll(ctx, q, from) })
	}
	from := s.settings.stream
	m := &mapping{
		streamSource: from, filter: s.settings.filter, arn: s.stream, id: uuid(), put: s.keepFailed, complain: s.complain, now: time.Now,
		call: func(ctx context.Context, event []byte) ([]byte, error) { return s.call(ctx, from.function, event) },
	}
	s.working.Go(func() { s.follow(ctx, dynamodbstreams.NewFromConfig(standin.Config(s.parts.DynamoDB)), m) })
	s.working.Go(func() { s.schedule(ctx) })
}

// Stop takes everything down: event sources, sam with its containers, stand-ins, a private engine, the folder.
func (s *Stack) Stop() error {
	var errs []error
	if s.cancel != nil {
		s.cancel()
		s.working.Wait()
	}
	for _, one := range s.services {
		one.stop() // it removes its containers
	}
	if s.sockets != nil {
		errs = append(errs, s.sockets.close())
	}
	s.forward.close()
	if s.parts != nil {
		s.parts.Stop()
	}
	if s.engine != nil {
		errs = append(errs, s.engine.stop())
	}
	if s.folder != nil {
		s.folder.stop()
	}
	errs = append(errs, os.RemoveAll(s.o.Dir))
	return errors.Join(errs...)
}

// removeFolder takes the stack's folder away once the engine in it is gone: its own keeper removes that.
const removeFolder = `n=0
while [ -e "$KEPT/engine" ] && [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done
[ -e "$KEPT/engine" ] || rm -rf "$KEPT"`

// client calls functions: a cold one takes its time.
var client = &http.Client{Timeout: 150 * time.Second}
