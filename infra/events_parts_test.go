//go:build parts

package infra

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/aikajana/aikajana/internal/app"
	appaws "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/people"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table/dynamo"
	"github.com/aikajana/aikajana/internal/timeline"
)

var update = flag.Bool("update", false, "write infra/events/react.json anew, from what the functions stored")

// TestEverySampleEventIsWorkedOnByItsFunction gives each to the program that is deployed, over stand-ins, in the order of a
// story: customers write, what they wrote is worked on, an answer goes out, staff look.
func TestEverySampleEventIsWorkedOnByItsFunction(t *testing.T) {
	t.Parallel()
	all := samples(t)
	left := maps.Clone(all)
	w := newWorld(t)
	var acknowledgement string // the answer that React makes
	var ticket string          // which the API gives
	for _, step := range []struct {
		sample string
		// change makes of the sample what a person would change in it before it fits; nil for nothing.
		change func(event string) string
		check  func(answer string)
	}{
		{"webhook", nil, func(answer string) {
			w.has(answer, `"statusCode":200`)
			if m := w.next("inbound"); !strings.Contains(string(m.Body), "Toimiiko lähetys 😀") || m.Group != "whatsapp/main" {
				t.Errorf("the queue holds %q of %s", m.Body, m.Group)
			}
		}},
		{"process", nil, func(answer string) {
			w.has(answer, `{"batchItemFailures":[]}`)
			w.said("whatsapp.phone", "358401234567", "Hei, paketti tuli rikki.", "")
			w.said("email.unverified", "maija@example.net", "Miten palautan tuotteen?")
		}},
		{"fetch", nil, func(answer string) {
			w.has(answer, `{"batchItemFailures":[]}`)
			e := w.said("whatsapp.phone", "358401234567", "Hei, paketti tuli rikki.", "")[1]
			if file := e.Message.Parts[0].Media; file.State != msg.MediaStored || file.Type != "image/png" {
				t.Errorf("the picture of %s is %+v", e.Entry, file)
			}
		}},
		{"mail", nil, func(answer string) {
			w.has(answer, `{"batchItemFailures":[]}`)
			w.said("email", "maija@example.net", "Hei, lasku tuli kahteen kertaan.")
		}},
		{"mail-sns", nil, w.theSameMail},
		{"mail-ses", nil, w.theSameMail},
		{"mail-s3", nil, w.theSameMail},
		{"mail-greeting", nil, func(answer string) { w.has(answer, `{"batchItemFailures":[]}`) }},
		{"react", w.written, func(answer string) {
			w.has(answer, `"batchItemFailures":[]`)
			e := w.said("email", "maija@example.net", "Hei, lasku tuli kahteen kertaan.", "Hei,\n\nviestisi on perillä")[1]
			acknowledgement = e.Entry
			if told, err := w.system.Store.Notifications(t.Context(), "support", "", 10); err != nil || len(told) != 1 {
				t.Errorf("%d notifications of one new case, %v", len(told), err)
			}
		}},
		{"deliver", func(event string) string { return strings.Replace(event, `\"c1\"`, `\"`+acknowledgement+`\"`, 1) }, func(answer string) {
			w.has(answer, `{"batchItemFailures":[]}`)
			w.state(acknowledgement, msg.Accepted)
		}},
		{"mail-delivery", func(event string) string { return strings.Replace(event, tagged, acknowledgement, 1) }, func(answer string) {
			w.has(answer, `{"batchItemFailures":[]}`)
			w.state(acknowledgement, msg.Delivered)
		}},
		{"mail-bounce", func(event string) string { return strings.Replace(event, tagged, acknowledgement, 1) }, func(answer string) {
			w.has(answer, `{"batchItemFailures":[]}`)
			w.state(acknowledgement, msg.Failed)
		}},
		{"tick", func(event string) string { w.forget(); return event }, func(answer string) {
			w.has(answer, "null")
			if m := w.next("wake"); !strings.Contains(string(m.Body), w.forgotten) {
				t.Errorf("woken is %s, want %s", m.Body, w.forgotten)
			}
			w.complained(`"msg":"looked after","unhealthy":1,"stuck_answers":1`)
		}},
		{"api", nil, func(answer string) {
			w.has(answer, `"statusCode":200`)
			w.has(answer, `Maija Meikäläinen`)
			ticket = w.ticket(all["api"])
		}},
		{"pages", nil, func(answer string) {
			w.has(answer, `"statusCode":200`)
			w.has(answer, `lang=\"sv\"`)
		}},
		{"socket-connect", func(event string) string { return strings.ReplaceAll(event, "one-time", ticket) }, func(answer string) { w.has(answer, `"statusCode":200`) }},
		{"socket-message", nil, func(answer string) {
			w.has(answer, `"statusCode":200`)
			if got := w.posted(); !slices.Contains(got, `{"type":"pong"}`) {
				t.Errorf("the socket was told %q", got)
			}
		}},
		{"socket-disconnect", nil, func(answer string) {
			w.has(answer, `"statusCode":200`)
			if n := w.items("W#sockets"); len(n) > 0 {
				t.Errorf("%d connections are remembered", len(n))
			}
		}},
	} {
		event, ok := all[step.sample]
		if !ok {
			t.Fatalf("there is no sample %s", step.sample)
		}
		delete(left, step.sample)
		if step.change != nil {
			event = step.change(event)
		}
		answer, err := w.call(functionOf(step.sample), event)
		if err != nil {
			t.Fatalf("%s: %v", step.sample, err)
		}
		w.step = step.sample
		step.check(answer)
		w.complained("")
		if t.Failed() {
			t.Fatalf("%s: answered %s", step.sample, answer)
		}
	}
	if len(left) > 0 {
		t.Errorf("no function is given %v", slices.Sorted(maps.Keys(left)))
	}
}

// tagged is the answer that the samples of SES's events name.
const tagged = "sp6eufchiehedzzugivviz5ztu-e0mwsz6rk20mwsz6rk2zzzpzgvo2bwr7jpq"

// sampleToken is the API token in api.json.
const sampleToken = "sample-of-an-api-token"

// world is what the functions stand on.
type world struct {
	t     *testing.T
	step  string
	bin   string
	env   []string
	table string
	db    *dynamodb.Client
	// system looks behind the scenes; past is the same an hour ago.
	system, past *appaws.System
	// complaints are the lines that the last function wrote to its log.
	complaints []string
	// forgotten is an answer whose wake-up was lost.
	forgotten string

	mu    sync.Mutex
	posts []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, bin: t.TempDir(), table: "infra-events"}
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", w.bin+"/", "./functions/...")
	build.Dir, build.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the functions: %v\n%s", err, said)
	}
	table, queues, moto := standin.DynamoDB(t), standin.SQS(t), standin.Moto(t)
	provider := fake.New(fake.Options{AppSecret: "app-secret", VerifyToken: "verify", AccessToken: "access", Client: http.DefaultClient})
	graph, gateway := httptest.NewServer(provider), httptest.NewServer(http.HandlerFunc(w.post))
	t.Cleanup(graph.Close)
	t.Cleanup(gateway.Close)
	variables := map[string]string{
		"AIKAJANA_TABLE": w.table, "AIKAJANA_BUCKET": w.table, "AIKAJANA_SECRET_PATH": "/aikajana/" + w.table, "AIKAJANA_BASE_URL": "https://desk.example",
		"AIKAJANA_SOCKET_URL": "wss://socket.example/live", "AIKAJANA_SOCKET_ENDPOINT": gateway.URL, "AIKAJANA_CONFIGURATION_SET": "",
		"AIKAJANA_TEAM": "support", "AIKAJANA_TIME_ZONE": "Europe/Helsinki", "AIKAJANA_LOG_LEVEL": "warn", "AIKAJANA_ALLOW_PRIVATE": "yes",
	}
	// The clients are made of the same configuration that a function reads from its environment.
	clients := &appaws.Clients{
		DynamoDB: dynamodb.NewFromConfig(standin.Config(table)), SQS: sqs.NewFromConfig(standin.Config(queues)), SSM: ssm.NewFromConfig(standin.Config(moto)),
		S3: s3.NewFromConfig(standin.Config(moto), func(o *s3.Options) { o.UsePathStyle = true }), SES: sesv2.NewFromConfig(standin.Config(moto)), Region: standin.Region,
	}
	w.db = dynamodb.NewFromConfig(standin.Config(table))
	ctx := t.Context()
	_, err := dynamo.CreateTable(ctx, w.db, w.table)
	w.must(err)
	for _, q := range appaws.QueueNames {
		for variable, name := range map[string]string{"AIKAJANA_QUEUE_": q, "AIKAJANA_DEAD_": q + "-dead"} {
			made, err := clients.SQS.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(w.table + "-" + name)})
			w.must(err)
			variables[variable+strings.ToUpper(q)] = *made.QueueUrl
		}
	}
	_, err = clients.S3.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &w.table, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: standin.Region}})
	w.must(err)
	letter, err := os.ReadFile("events/mail.eml")
	w.must(err)
	_, err = clients.S3.PutObject(ctx, &s3.PutObjectInput{Bucket: &w.table, Key: aws.String(appaws.MailPrefix + "o3vrnil0e2ic28trm7dfhrc2v0clambda4nbp0g1"), Body: bytes.NewReader(letter)})
	w.must(err)
	_, err = clients.SES.CreateEmailIdentity(ctx, &sesv2.CreateEmailIdentityInput{EmailIdentity: aws.String("help@desk.example")})
	w.must(err)
	w.furnish(clients, variables, graph.URL)
	if id := provider.AddMedia("image/png", picture); id != "100001" {
		t.Fatalf("the picture is called %s, and process.json names another", id)
	}
	w.environment(variables, map[string]string{"DYNAMODB": table, "SQS": queues, "S3": moto, "SSM": moto, "SESV2": moto})
	return w
}

// furnish lets a program in, and connects the accounts that the samples name.
func (w *world) furnish(clients *appaws.Clients, variables map[string]string, graph string) {
	ctx := w.t.Context()
	e, err := appaws.ReadEnvironment(func(name string) string { return variables[name] })
	w.must(err)
	key := []byte("0123456789abcdef0123456789abcdef") // that of "make local-aws": the IDs in fetch.json and react.json are made with it
	w.system, err = appaws.New(ctx, e, clients, appaws.Options{Key: key, Log: slog.New(slog.DiscardHandler)})
	w.must(err)
	w.must(w.system.Secrets.Put(ctx, appaws.KeyName, []string{base64.StdEncoding.EncodeToString(key)}))
	w.must(w.system.Declare(ctx, &app.Config{Accounts: []app.AccountConfig{
		{Channel: "whatsapp", Account: "main", Settings: map[string]string{"phone_number_id": "1055", "api_base": graph},
			Secrets: map[string]string{"app_secret": "literal:app-secret", "verify_token": "literal:verify", "access_token": "literal:access"}},
		{Channel: "email", Account: "help", Settings: map[string]string{"address": "help@desk.example", "acknowledge": "yes", "language": "fi"}},
		{Channel: "form", Account: "contact"},
	}}, w.system.Secrets, app.SystemLookup()))
	w.past, err = appaws.New(ctx, e, clients, appaws.Options{Key: key, Log: w.system.Log, Now: func() msg.Time { return msg.TimeOf(time.Now().Add(-time.Hour)) }})
	w.must(err)
	staff, err := people.New(w.system.App, people.Options{BaseURL: e.BaseURL, Log: w.system.Log})
	w.must(err)
	_, err = staff.Auth.Bootstrap(ctx, "not used here", sampleToken)
	w.must(err)
}

// picture is one red dot as PNG.
var picture, _ = base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")

// environment is what a function finds: what the template says, no more and no less, and what Lambda sets.
func (w *world) environment(variables, endpoints map[string]string) {
	w.t.Helper()
	declared := globals(template(w.t), "Environment", "Variables").value.(map[string]any)
	for name, value := range declared {
		set, ok := variables[name]
		if strings.HasPrefix(name, "GO") { // Go's own, which is the same wherever the program runs
			set, ok = value.(string)
		}
		if !ok {
			w.t.Fatalf("the template sets %s to %v, and this test does not know to what", name, value)
		}
		w.env = append(w.env, name+"="+set)
	}
	for name, url := range endpoints {
		w.env = append(w.env, "AWS_ENDPOINT_URL_"+name+"="+url)
	}
	w.env = append(w.env, "AWS_REGION="+standin.Region, "AWS_ACCESS_KEY_ID=standin", "AWS_SECRET_ACCESS_KEY=standin", "_HANDLER=bootstrap", "PATH="+os.Getenv("PATH"))
}

// call starts a function, hands it one event as Lambda does, and ends it
// (docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, read on 2026-11-30).
func (w *world) call(function, event string) (answer string, err error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	var handed atomic.Bool
	answers := make(chan [2]string, 1)
	api := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		what := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		switch {
		case what == "register": // as an extension, to be told of its end
			rw.Header().Set("Lambda-Extension-Identifier", "one")
		case what == "response" || what == "error":
			body, err := io.ReadAll(r.Body)
			answers <- [2]string{what, fmt.Sprint(string(body), errText(err))}
			rw.WriteHeader(http.StatusAccepted)
		case strings.HasSuffix(r.URL.Path, "/invocation/next") && handed.CompareAndSwap(false, true):
			rw.Header().Set("Lambda-Runtime-Aws-Request-Id", "one")
			rw.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(time.Minute).UnixMilli()))
			_, _ = io.WriteString(rw, event) // the function reads it, or the test ends with its patience
		default: // there is no other event: an answer without one would be worked on, and answered, until the process has ended
			<-r.Context().Done()
		}
	}))
	defer api.Close()
	defer api.CloseClientConnections()
	cmd := exec.CommandContext(ctx, filepath.Join(w.bin, function))
	cmd.Env = append(slices.Clone(w.env), "AWS_LAMBDA_RUNTIME_API="+strings.TrimPrefix(api.URL, "http://"))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case a := <-answers:
		cancel() // and the process with it: it waits for another event
		if err := <-ended; err == nil {
			return "", errors.New("the function ended by itself after its answer")
		}
		if a[0] == "error" {
			return "", fmt.Errorf("the function failed: %s\n%s", a[1], said.String())
		}
		for line := range strings.Lines(said.String()) { // at warn, a function that has nothing to complain of says nothing
			if !strings.HasPrefix(line, "SDK ") { // the clients complain of moto's checksums
				w.complaints = append(w.complaints, line)
			}
		}
		return a[1], nil
	case err := <-ended:
		return "", fmt.Errorf("the function ended before its answer: %w\n%s", err, said.String())
	}
}

// complained says what the last function had to complain of, in one line, and takes it; "" is nothing.
func (w *world) complained(what string) {
	w.t.Helper()
	if what == "" && len(w.complaints) > 0 || what != "" && (len(w.complaints) != 1 || !strings.Contains(w.complaints[0], what)) {
		w.t.Errorf("%s complained %q, want %q", w.step, w.complaints, what)
	}
	w.complaints = nil
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) has(answer, part string) {
	w.t.Helper()
	if !strings.Contains(answer, part) {
		w.t.Errorf("%s: the answer has no %s", w.step, part)
	}
}

// said compares a customer's timeline by how its texts begin, oldest first, and returns it.
func (w *world) said(kind, address string, texts ...string) []*timeline.Entry {
	w.t.Helper()
	c, err := w.system.Store.CustomerAt(w.t.Context(), msg.Address{Kind: kind, Value: address})
	w.must(err)
	all, _, err := w.system.Store.Timeline(w.t.Context(), c.Customer, store.Page{Limit: 20})
	w.must(err)
	slices.SortFunc(all, func(a, b *timeline.Entry) int { return strings.Compare(a.Entry, b.Entry) })
	if len(all) != len(texts) {
		w.t.Fatalf("%s: %d entries of %s %s, want %d", w.step, len(all), kind, address, len(texts))
	}
	for i, e := range all {
		if !strings.HasPrefix(e.Message.Text, texts[i]) || texts[i] == "" && e.Message.Text != "" {
			w.t.Errorf("%s: entry %d of %s %s is %q, want %q", w.step, i, kind, address, e.Message.Text, texts[i])
		}
	}
	return all
}

func (w *world) theSameMail(answer string) {
	w.t.Helper()
	w.has(answer, "null")
	w.said("email", "maija@example.net", "Hei, lasku tuli kahteen kertaan.")
}

func (w *world) state(entry string, want msg.State) {
	w.t.Helper()
	e, err := w.system.Store.Entry(w.t.Context(), entry)
	w.must(err)
	if e.State != want {
		w.t.Errorf("%s: the answer is %s (%+v), want %s", w.step, e.State, e.Failure, want)
	}
}

// next is what a queue holds, which it holds no more.
func (w *world) next(name string) queue.Message {
	w.t.Helper()
	batch, err := w.system.Queues[name].Receive(w.t.Context(), 1, 5*time.Second)
	w.must(err)
	if len(batch) == 0 {
		w.t.Fatalf("%s: queue %s is empty", w.step, name)
	}
	w.must(w.system.Queues[name].Ack(w.t.Context(), batch...))
	return batch[0]
}

// forget writes an answer an hour ago, and loses its wake-up; those of earlier steps are taken out of the way.
func (w *world) forget() {
	w.t.Helper()
	for {
		batch, err := w.system.Queues["wake"].Receive(w.t.Context(), 10, 0)
		w.must(err)
		if len(batch) == 0 {
			break
		}
		w.must(w.system.Queues["wake"].Ack(w.t.Context(), batch...))
	}
	asked := w.said("email", "maija@example.net", "Hei, lasku", "Hei,\n\nviestisi")[0]
	c, err := w.past.Store.Case(w.t.Context(), asked.Case)
	w.must(err)
	route, err := w.past.Pipeline.Route(w.t.Context(), c, asked, "", "")
	w.must(err)
	e, err := w.past.Store.Reply(w.t.Context(), store.Answer{
		Case: c.Case, Agent: "aino", Channel: route.Channel, Account: route.Account, To: route.To, Text: "Hyvitämme toisen.", MessageID: route.MessageID,
	})
	w.must(err)
	w.forgotten = e.Entry
}

// ticket asks the API for one, with the credentials of a sample.
func (w *world) ticket(event string) string {
	w.t.Helper()
	event = strings.ReplaceAll(event, "/api/v1/cases", "/api/v1/socket-ticket")
	event = strings.Replace(event, `"method": "GET"`, `"method": "POST"`, 1)
	event = strings.Replace(event, `"team=support&state=open&limit=10"`, `""`, 1)
	answer, err := w.call("api", event)
	w.must(err)
	var response struct{ Body string }
	w.must(json.Unmarshal([]byte(answer), &response))
	var made struct{ Ticket string }
	if err := json.Unmarshal([]byte(response.Body), &made); err != nil || made.Ticket == "" {
		w.t.Fatalf("no ticket: %s", answer)
	}
	return made.Ticket
}

// post is API Gateway's management API: it takes what a connection is to be told.
func (w *world) post(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.posts = append(w.posts, string(body)+errText(err))
}

func (w *world) posted() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.posts)
}

// items are those of a partition, as DynamoDB has them.
func (w *world) items(pk string) []map[string]types.AttributeValue {
	w.t.Helper()
	out, err := w.db.Query(w.t.Context(), &dynamodb.QueryInput{
		TableName: &w.table, KeyConditionExpression: aws.String("p = :p"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: pk}},
	})
	w.must(err)
	return out.Items
}

// written is the sample of a change: the case and the entry that the mail became. With -update it is made anew, of what the
// function stored: when the form of items changes, the old sample is passed over and this test fails.
func (w *world) written(event string) string {
	w.t.Helper()
	if !*update {
		return event
	}
	e := w.said("email", "maija@example.net", "Hei, lasku tuli kahteen kertaan.")[0]
	var records []any
	for _, item := range w.items("C#" + e.Customer) {
		sk := item["s"].(*types.AttributeValueMemberS).Value
		if !strings.HasPrefix(sk, "K#") && !strings.HasPrefix(sk, "E#") {
			continue
		}
		image := map[string]any{}
		for name, v := range item {
			switch v := v.(type) {
			case *types.AttributeValueMemberS:
				image[name] = map[string]string{"S": v.Value}
			case *types.AttributeValueMemberN:
				image[name] = map[string]string{"N": v.Value}
			case *types.AttributeValueMemberB:
				image[name] = map[string]string{"B": base64.StdEncoding.EncodeToString(v.Value)}
			}
		}
		records = append(records, map[string]any{
			"eventID": fmt.Sprintf("c4ca4238a0b923820dcc509a6f7584%02d", len(records)), "eventName": "INSERT", "eventVersion": "1.1", "eventSource": "aws:dynamodb",
			"awsRegion": standin.Region, "eventSourceARN": changesOf, "dynamodb": map[string]any{
				"ApproximateCreationDateTime": 1795334401, "Keys": map[string]any{"p": image["p"], "s": image["s"]}, "NewImage": image,
				"SequenceNumber": fmt.Sprintf("442158450000000001745043909%d", len(records)), "SizeBytes": 59, "StreamViewType": "NEW_AND_OLD_IMAGES",
			},
		})
	}
	body, err := json.MarshalIndent(map[string]any{
		"Records": records, "window": map[string]string{"start": "2026-11-22T08:00:00Z", "end": "2026-11-22T08:15:00Z"}, "state": map[string]any{},
		"shardId": "shardId-00000001795334400000-aaaaaaaa", "eventSourceARN": changesOf, "isFinalInvokeForWindow": false, "isWindowTerminatedEarly": false,
	}, "", "  ")
	w.must(err)
	w.must(os.WriteFile("events/react.json", append(body, '\n'), 0o600))
	return string(body)
}

const changesOf = "arn:aws:dynamodb:eu-north-1:123456789012:table/aikajana/stream/2026-11-22T00:00:00.000"
