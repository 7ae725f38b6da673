// Package aws wires the program to AWS: DynamoDB, SQS, S3, SES and SSM. Each Lambda asks for the part that it is.
package aws

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // opening hours are told in the desk's time zone, which the runtime image may not know

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go/logging"

	"github.com/aikajana/aikajana/internal/app"
	blobs3 "github.com/aikajana/aikajana/internal/blob/s3"
	"github.com/aikajana/aikajana/internal/channel/email"
	"github.com/aikajana/aikajana/internal/guard"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/queue"
	queuesqs "github.com/aikajana/aikajana/internal/queue/sqs"
	"github.com/aikajana/aikajana/internal/secret"
	secretssm "github.com/aikajana/aikajana/internal/secret/ssm"
	"github.com/aikajana/aikajana/internal/sesmail"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table/dynamo"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Environment is what the template tells a function, by the names of its environment variables.
type Environment struct {
	Table, Bucket string
	// Queues and Dead are queue URLs by name: inbound, mail, media, wake.
	Queues, Dead map[string]string
	// SecretPath is the SSM path below which secrets lie ("/aikajana/prod").
	SecretPath string
	BaseURL    string
	Team       string
	// ConfigurationSet is the SES configuration set that mail is sent with.
	ConfigurationSet string
	Zone             string
	AllowPrivate     bool
	LogLevel         string
	// SocketEndpoint is where the management API of the WebSocket API is ("https://id.execute-api.region.amazonaws.com/stage").
	SocketEndpoint string
	// SocketURL is where staff sockets are opened ("wss://id.execute-api.region.amazonaws.com/stage").
	SocketURL string
}

// QueueNames are the queues, by the names that the template knows them by.
var QueueNames = []string{"inbound", "mail", "media", "wake"}

// ReadEnvironment reads AIKAJANA_… variables.
func ReadEnvironment(get func(string) string) (*Environment, error) {
	e := &Environment{
		Table: get("AIKAJANA_TABLE"), Bucket: get("AIKAJANA_BUCKET"), SecretPath: get("AIKAJANA_SECRET_PATH"), BaseURL: get("AIKAJANA_BASE_URL"),
		Team: get("AIKAJANA_TEAM"), ConfigurationSet: get("AIKAJANA_CONFIGURATION_SET"), Zone: get("AIKAJANA_TIME_ZONE"),
		AllowPrivate: get("AIKAJANA_ALLOW_PRIVATE") == "yes", LogLevel: get("AIKAJANA_LOG_LEVEL"),
		SocketEndpoint: get("AIKAJANA_SOCKET_ENDPOINT"), SocketURL: get("AIKAJANA_SOCKET_URL"), Queues: map[string]string{}, Dead: map[string]string{},
	}
	for _, name := range QueueNames {
		e.Queues[name] = get("AIKAJANA_QUEUE_" + upper(name))
		e.Dead[name] = get("AIKAJANA_DEAD_" + upper(name))
		if e.Queues[name] == "" {
			return nil, fmt.Errorf("start: the environment variable AIKAJANA_QUEUE_%s is not set; the template sets it", upper(name))
		}
	}
	for name, value := range map[string]string{"AIKAJANA_TABLE": e.Table, "AIKAJANA_BUCKET": e.Bucket, "AIKAJANA_SECRET_PATH": e.SecretPath} {
		if value == "" {
			return nil, fmt.Errorf("start: the environment variable %s is not set; the template sets it", name)
		}
	}
	if e.Zone == "" {
		e.Zone = "Europe/Helsinki"
	}
	return e, nil
}

func upper(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] -= 'a' - 'A'
	}
	return string(b)
}

// Clients are the AWS services; tests point them at stand-ins.
type Clients struct {
	DynamoDB dynamo.API
	SQS      *sqs.Client
	S3       *s3.Client
	SES      *sesv2.Client
	SSM      *ssm.Client
	Region   string
	// Config is what they were made of, for services that only one part needs.
	Config aws.Config
}

// ClientsOf makes the clients of a configuration. AWS_ENDPOINT_URL_… variables point them elsewhere.
func ClientsOf(c aws.Config) *Clients {
	return &Clients{
		DynamoDB: dynamodb.NewFromConfig(c), SQS: sqs.NewFromConfig(c), S3: s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = os.Getenv("AWS_ENDPOINT_URL_S3") != "" }),
		SES: sesv2.NewFromConfig(c), SSM: ssm.NewFromConfig(c), Region: c.Region, Config: c,
	}
}

// System is the program on AWS with the backends that it stands on.
type System struct {
	*app.App
	Table   *dynamo.Table
	Blobs   *blobs3.Store
	Secrets secret.Store
	Queues  map[string]queue.Queue
	Log     *slog.Logger
	Env     *Environment
	Key     []byte
	// always logs what must be logged whatever the log level.
	always *slog.Logger
	// Config is the AWS configuration of its clients.
	Config aws.Config
}

// Options change how a System is made; the zero value is right for a Lambda.
type Options struct {
	Now   func() msg.Time
	Push  pipeline.Push
	Log   *slog.Logger
	Meter *dynamo.Meter
	// Queues, when set, takes the place of a queue before the program sees it.
	Queues func(name string, q queue.Queue) queue.Queue
	// Notifiers tell staff outside the socket.
	Notifiers []pipeline.Notifier
	// Inspect says what a file's bytes are; only fetch needs it.
	Inspect func(name, claimed string, body []byte) pipeline.FileFacts
	// Rand is the source of IDs and secrets; crypto/rand when nil.
	Rand io.Reader
	// Pause waits before a write that met another is tried again; nil waits in real time.
	Pause func(ctx context.Context, attempt int) error
	// Key is the deployment key; read from the secrets when nil.
	Key []byte
	// Instance names the process among those that ever accept anything; made from the clock and chance when empty.
	Instance string
}

// KeyName is where the deployment key lies in the secret store.
const KeyName = "deployment/key"

// New puts the program together over AWS.
func New(ctx context.Context, e *Environment, c *Clients, o Options) (*System, error) {
	if o.Now == nil {
		o.Now = func() msg.Time { return msg.TimeOf(time.Now()) }
	}
	always := o.Log
	if o.Log == nil {
		o.Log, always = logger(os.Stdout, e.LogLevel), logger(os.Stdout, "debug")
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Instance == "" {
		o.Instance = instance(o.Now())
	}
	zone, err := time.LoadLocation(e.Zone)
	if err != nil {
		return nil, fmt.Errorf("start: time zone: %w", err)
	}
	s := &System{Env: e, Config: c.Config, Log: o.Log, always: always, Queues: map[string]queue.Queue{}, Key: o.Key}
	if s.Secrets, err = secretssm.New(c.SSM, e.SecretPath); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	if s.Key == nil {
		if s.Key, err = deploymentKey(ctx, s.Secrets); err != nil {
			return nil, err
		}
	}
	s.Table = dynamo.New(c.DynamoDB, e.Table, dynamo.Options{Now: o.Now, Meter: o.Meter})
	s.Blobs = blobs3.New(blobs3.Options{Client: c.S3, Bucket: e.Bucket})
	numbered := map[string]*pipeline.NumberedQueue{"inbound": {}, "mail": {Mails: true}}
	for _, name := range QueueNames {
		var q queue.Queue = queuesqs.New(c.SQS, e.Queues[name], e.Dead[name])
		if o.Queues != nil {
			q = o.Queues(name, q)
		}
		if n := numbered[name]; n != nil {
			n.Queue, q = q, n
		}
		s.Queues[name] = q
	}
	g := guard.New(guard.Options{AllowPrivate: e.AllowPrivate})
	s.App, err = app.New(app.Deps{
		Table: s.Table, Blobs: s.Blobs, Secrets: s.Secrets, Inbound: s.Queues["inbound"], Mails: s.Queues["mail"], Media: s.Queues["media"], Wake: s.Queues["wake"],
		HTTP: g.Client(), Files: g.Follower(), Inspect: o.Inspect, Mailer: sesmail.New(c.SES, c.Region, e.ConfigurationSet), Push: o.Push, Notifiers: o.Notifiers,
		Notice: notice, Instance: o.Instance, Key: s.Key, Now: o.Now, Rand: o.Rand, Pause: o.Pause, Log: o.Log,
		Config: pipeline.Config{BaseURL: e.BaseURL, Team: e.Team, Hours: timeline.OfficeHours(zone)},
	})
	if err != nil {
		return nil, err
	}
	for _, q := range numbered {
		q.Attach(s.Pipeline)
	}
	return s, nil
}

// instance names this process: when it began, in base 36, and four letters of chance.
func instance(now msg.Time) string {
	return strconv.FormatInt(int64(now), 36) + strings.ToLower(rand.Text()[:4])
}

// logger writes lines that Lambda takes as they are: JSON with "level" and "timestamp". Lambda gives a line without a timestamp
// of that name its own time, and the level INFO
// (docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html, read on 2026-11-30).
func logger(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime {
			a.Key = "timestamp"
		}
		return a
	}}))
}

func deploymentKey(ctx context.Context, secrets secret.Store) ([]byte, error) {
	values, err := secrets.Get(ctx, KeyName)
	if errors.Is(err, secret.ErrNotFound) {
		return nil, fmt.Errorf("start: there is no deployment key; make one with \"aikajana-aws key --create\" before the first start: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("start: read the deployment key: %w", err)
	}
	key, err := base64.StdEncoding.DecodeString(values[0])
	if err != nil || len(key) < 32 {
		return nil, errors.New("start: the deployment key is not 32 bytes in base64")
	}
	return key, nil
}

// notice understands what SES says: of a mail that it put into the bucket, and of what became of a mail that it sent.
func notice(raw []byte) (*pipeline.MailNotice, error) {
	if isGreeting(raw) {
		return &pipeline.MailNotice{Setup: true}, nil
	}
	if receipts, err := email.Events(raw); err == nil {
		return &pipeline.MailNotice{Receipts: receipts}, nil
	}
	n, err := email.Notification(raw)
	if err != nil {
		return nil, err
	}
	out := &pipeline.MailNotice{Setup: n.Setup, Key: n.Key, At: n.At, Mail: n.Mail}
	if out.Mail.ProviderID == "" {
		out.Mail.ProviderID = n.MessageID
	}
	if out.Key == "" { // a Lambda action names no object: the rule's S3 action has put it where all mail is
		out.Key = MailPrefix + n.MessageID
	}
	if len(out.Mail.Recipients) == 0 { // S3 told of it, and knows nothing of the mail
		out.Recipients = email.Recipients
	}
	return out, nil
}

// MailPrefix is where SES puts mail, under its own ID of it.
const MailPrefix = "ses/"

// isGreeting says that SES only tries the topic: when an event destination is made it publishes one line of text, "Successfully
// validated SNS topic for Amazon SES event publishing.". No page of the Developer Guide says so; it is seen in the field.
func isGreeting(raw []byte) bool {
	var outer struct{ Type, Message string }
	return json.Unmarshal(raw, &outer) == nil && outer.Type == "Notification" && strings.HasPrefix(outer.Message, "Successfully validated SNS topic")
}

// MustStart makes the program of the process's environment, for the main of a Lambda. What is missing ends the process with
// a line that says so: Lambda shows it and starts another.
func MustStart(o Options) *System {
	ctx := context.Background()
	e, err := ReadEnvironment(os.Getenv)
	if err == nil {
		var c aws.Config
		if c, err = configOf(os.Getenv, logging.NewStandardLogger(os.Stderr)); err == nil {
			var s *System
			if s, err = New(ctx, e, ClientsOf(c), o); err == nil {
				return s
			}
		}
	}
	Exit(err)
	return nil
}

// Exit ends the process with a line that says why it cannot start.
func Exit(err error) {
	logger(os.Stderr, "").Error("not started", "err", err)
	os.Exit(1)
}

// Hooks answers the webhook routes.
func (s *System) Hooks() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/hooks/{channel}/{account}", s.Pipeline.Ingest())
	return mux
}

// LookedAfter is what Tick logs each minute whatever the log level: a metric filter of the template reads $.unhealthy in it, and
// its alarm also tells when no line comes.
const LookedAfter = "looked after"

// Tick does the minute's work and logs how things are.
func (s *System) Tick(ctx context.Context) error {
	err := s.Pipeline.Tick(ctx)
	h := s.Pipeline.Health()
	lost := make([]string, 0, len(h.Overdue))
	for _, o := range h.Overdue {
		lost = append(lost, fmt.Sprintf("%s %s since %s", o.Account, store.Numbers([]store.Number{o.Number}), o.Since))
	}
	s.always.LogAttrs(ctx, slog.LevelInfo, LookedAfter, slog.Int("unhealthy", h.Unhealthy()), slog.Int("stuck_answers", h.Stuck), slog.Any("overdue_envelopes", lost))
	return err
}

// leaveWithin is how long a process has that is told to end: Lambda kills it after half a second.
const leaveWithin = 400 * time.Millisecond

// Leave tells how much was accepted, for a process that is told to end (awslambda.StartAndLeave).
func (s *System) Leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveWithin)
	defer cancel()
	if err := s.Pipeline.Leave(ctx); err != nil {
		s.Log.WarnContext(ctx, "not told how much was accepted", "err", err)
	}
}
