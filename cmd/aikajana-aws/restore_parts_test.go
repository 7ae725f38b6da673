//go:build parts

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	appaws "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/scenario"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/store"
)

// stack is one deployment over stand-ins: the Lambda handlers, worked by hand.
type stack struct {
	scenario.World
	t *testing.T
	// name is what table and bucket are called, and how the names of queues and secrets begin.
	name string
}

// people are those who write, by the addresses they are known by.
var (
	maija = fake.Person{Phone: "358401234567", Name: "Maija"}
	pekka = fake.Person{Phone: "358507654321", Name: "Pekka"}
	ville = fake.Person{Phone: "358407777777", Name: "Ville"}
)

var rehearsalKey = bytes.Repeat([]byte("k"), 32)

// deploy makes a stack of the template and finds out what its table is called.
func deploy(t *testing.T, template string, clock *scenario.Clock, seed byte) *stack {
	t.Helper()
	client := dynamodb.NewFromConfig(standin.Config(standin.DynamoDB(t)))
	names := func() []string {
		all, err := client.ListTables(t.Context(), &dynamodb.ListTablesInput{})
		if err != nil {
			t.Fatal(err)
		}
		return all.TableNames
	}
	before := names()
	stage := scenario.Stage{
		Dir: t.TempDir(), Key: rehearsalKey, Rand: rand.NewChaCha8([32]byte{seed}), Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError})),
		Clock: clock, SES: "http://127.0.0.1:1",
	}
	stage.Faults = scenario.NewFaults(clock)
	w, err := scenario.Parts{DynamoDB: standin.DynamoDB(t), SQS: standin.SQS(t), Moto: standin.Moto(t), Template: template}.NewAWS(t.Context(), &stage)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	s := &stack{World: w, t: t}
	for _, name := range names() {
		if strings.HasPrefix(name, "scenario-") && !slices.Contains(before, name) {
			s.name = name
		}
	}
	return s
}

// settle works until nothing moves any more.
func (s *stack) settle() {
	s.t.Helper()
	for moved := true; moved; {
		moved = false
		for _, name := range []string{"inbound", "mail", "media", "wake"} {
			moved = s.work(name, 1) || moved
		}
		n, err := s.React(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		moved = moved || n > 0
	}
}

// work hands a batch to a queue's worker, and says whether there was one.
func (s *stack) work(name string, most int) bool {
	s.t.Helper()
	batch, err := s.Queue(name).Receive(s.t.Context(), most, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(batch) == 0 {
		return false
	}
	if failed, err := s.Handle(s.t.Context(), name, batch); err != nil || len(failed) > 0 {
		s.t.Fatalf("%s: %v failed, %v", name, failed, err)
	}
	if err := s.Queue(name).Ack(s.t.Context(), batch...); err != nil {
		s.t.Fatal(err)
	}
	return true
}

// post delivers a webhook as WhatsApp does.
func (s *stack) post(p *fake.Provider, u fake.Update) {
	s.t.Helper()
	body := p.Body(u)
	s.deliver("/hooks/whatsapp/main", "application/json", body, "X-Hub-Signature-256", p.Sign(body))
}

func (s *stack) deliver(path, kind string, body []byte, header ...string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, scenario.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer := httptest.NewRecorder()
	if s.Door().ServeHTTP(answer, r); answer.Code/100 > 3 {
		s.t.Fatalf("%s was answered %d %s", path, answer.Code, answer.Body)
	}
}

// letter sends a mail with the fields that SES writes on top of it.
func (s *stack) letter(id, from, subject, text string) {
	s.t.Helper()
	_, domain, _ := strings.Cut(from, "@")
	raw := "Return-Path: <" + from + ">\r\nReceived: from mail.world.example by inbound-smtp.eu-north-1.amazonaws.com with SMTP id " + id + "\r\n" +
		"X-SES-Spam-Verdict: PASS\r\nX-SES-Virus-Verdict: PASS\r\n" +
		"Authentication-Results: amazonses.com; spf=pass smtp.mailfrom=" + from + "; dkim=pass header.i=@" + domain + "; dmarc=pass header.from=" + domain + "\r\n" +
		"From: <" + from + ">\r\nTo: help@desk.example\r\nSubject: " + subject + "\r\nMessage-ID: <" + id + "@" + domain + ">\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\n" + text + "\r\n"
	m := &scenario.Letter{ID: id, Raw: []byte(raw), Facts: channel.Mail{
		Via: "ses", Sender: from, Recipients: []string{"help@desk.example"}, ProviderID: id,
		SPF: "PASS", DKIM: "PASS", DMARC: "PASS", Spam: "PASS", Virus: "PASS", SPFDomain: domain, DKIMDomains: []string{domain},
	}}
	if err := s.Mail(s.t.Context(), m); err != nil {
		s.t.Fatal(err)
	}
}

// timelines are everybody's entries in order, by address, without when this stack wrote them.
func (s *stack) timelines(addresses ...msg.Address) string {
	s.t.Helper()
	var b strings.Builder
	for _, a := range addresses {
		c, err := s.App().Store.CustomerAt(s.t.Context(), a)
		if err != nil {
			s.t.Fatalf("find %s: %v", a.Value, err)
		}
		entries, _, err := s.App().Store.Timeline(s.t.Context(), c.Customer, store.Page{Limit: 200})
		if err != nil {
			s.t.Fatal(err)
		}
		fmt.Fprintf(&b, "# %s is %s %q\n", a.Value, c.Customer, c.Name)
		for _, e := range entries {
			own := *e
			own.StoredAt, own.ChangedAt = 0, 0
			line, err := json.Marshal(&own)
			if err != nil {
				s.t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s\n", line)
		}
	}
	return b.String()
}

// stored is what each account's ledger says of what lasts: duplicates are more in the stack that was replayed to.
func (s *stack) stored() string {
	s.t.Helper()
	ledger, err := s.App().Store.Ledger(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var lines []string
	for _, l := range ledger {
		lines = append(lines, fmt.Sprintf("%s/%s %d and %d", l.Channel, l.Account, l.Stored, l.Quarantined))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

func phone(p fake.Person) msg.Address { return msg.Address{Kind: "whatsapp.phone", Value: p.Phone} }

// queueURL is what the stack's resources name.
func (s *stack) queueURL(name string) string {
	s.t.Helper()
	out, err := sqs.NewFromConfig(standin.Config(standin.SQS(s.t))).GetQueueUrl(s.t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(s.name + "-" + name)})
	if err != nil {
		s.t.Fatal(err)
	}
	return *out.QueueUrl
}

// operator works through the commands of docs/aws/restore.md as somebody does who has nothing but the page, the program,
// credentials and a region.
type operator struct {
	t *testing.T
	// page holds the commands that are still to be given, names what its variables stand for.
	page  []string
	names map[string]string
	// template is where template.yaml is, wherever the operator is.
	template string
}

func newOperator(t *testing.T) *operator {
	t.Helper()
	page, err := os.ReadFile("../../docs/aws/restore.md")
	if err != nil {
		t.Fatal(err)
	}
	o := &operator{t: t, names: map[string]string{}}
	for text := range strings.Lines(string(page)) {
		if command, ok := strings.CutPrefix(strings.TrimSpace(text), "aikajana-aws "); ok && strings.HasPrefix(text, "    ") {
			o.page = append(o.page, command)
		}
	}
	if o.template, err = filepath.Abs("../../template.yaml"); err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_DYNAMODB": standin.DynamoDB(t), "AWS_ENDPOINT_URL_SQS": standin.SQS(t), "AWS_ENDPOINT_URL_S3": standin.Moto(t), "AWS_ENDPOINT_URL_SSM": standin.Moto(t),
		"AWS_ACCESS_KEY_ID": "standin", "AWS_SECRET_ACCESS_KEY": "standin", "AWS_REGION": standin.Region, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	return o
}

// next gives the page's next command, which must be the one named, and returns everything that it says.
func (o *operator) next(command string) string {
	o.t.Helper()
	if len(o.page) == 0 || !strings.HasPrefix(o.page[0], command+" ") {
		o.t.Fatalf("the page goes on with %q, and not with %s", o.page, command)
	}
	args := strings.Fields(os.Expand(o.page[0], func(name string) string {
		if o.names[name] == "" {
			o.t.Fatalf("the page does not say what %s is", name)
		}
		return o.names[name]
	}))
	for i := range args {
		args[i] = strings.Trim(args[i], `"`)
	}
	o.page = o.page[1:]
	return o.run(args...)
}

func (o *operator) run(args ...string) string {
	o.t.Helper()
	code, out, errs := try(o.t, func(ctx context.Context) (aws.Config, error) { return config.LoadDefaultConfig(ctx) }, "", args...)
	if code != exitOK {
		o.t.Fatalf("aikajana-aws %s: exit %d: %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out + errs
}

// TestARestoredStackHasEveryTimelineAndNobodyWhoWasErased rehearses docs/aws/restore.md: what the dump holds is loaded, who was
// erased since stays erased, what came since is replayed, and the check finds nothing.
func TestARestoredStackHasEveryTimelineAndNobodyWhoWasErased(t *testing.T) { //nolint:paralleltest // it sets the operator's environment
	at := newOperator(t)
	clock := scenario.NewClock(scenario.Start)
	provider := fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: scenario.AppSecret, AccessToken: "an access token", Now: clock.Time})
	graph := httptest.NewServer(provider)
	defer graph.Close()
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	media := provider.AddMedia("image/png", picture.Bytes())
	first, second := deploy(t, at.template, clock, 1), deploy(t, at.template, clock, 2)
	at.names = map[string]string{
		"OLD_TABLE": first.name, "OLD_BUCKET": first.name, "OLD_SECRET_PATH": "/" + first.name,
		"NEW_TABLE": second.name, "NEW_BUCKET": second.name, "NEW_SECRET_PATH": "/" + second.name,
		"INBOUND": second.queueURL("inbound"), "MAIL": second.queueURL("mail"), "MOMENT": clock.Time().Format(time.RFC3339),
	}
	if err := scenario.Connect(t.Context(), first, graph.URL); err != nil {
		t.Fatal(err)
	}
	if err := second.Secrets().Delete(t.Context(), appaws.KeyName); err != nil { // a new stack has none until it is brought back
		t.Fatal(err)
	}

	beforeTheCopy(first, provider, media)
	at.next("key")
	at.next("dump")
	afterTheCopy(first, provider, media)
	everybody := []msg.Address{phone(maija), phone(pekka), phone(ville), {Kind: "email", Value: "liisa@mail.example"}, {Kind: "email.unverified", Value: "olli@mail.example"}}
	want := first.timelines(everybody...)
	if strings.Contains(want, "Unohtakaa") || strings.Count(want, "\n") != len(everybody)+12 {
		t.Fatalf("the first stack says:\n%s", want)
	}

	at.next("key")
	at.next("dump")
	at.next("load")
	if n, err := second.React(t.Context()); err != nil || n == 0 {
		t.Fatalf("the table tells of %d changes, %v: nothing is shown by their being passed over", n, err)
	}
	second.settle()
	if said := at.next("erase-again"); !strings.HasPrefix(said, "1 erasures in the ledger; ") {
		t.Errorf("it says %q", said)
	}
	if said := at.next("hold-answers"); !strings.HasPrefix(said, "0 answers were on their way") {
		t.Errorf("hold-answers said %q", said)
	}
	if _, err := second.App().Store.CustomerAt(t.Context(), phone(ville)); err == nil {
		t.Error("whom the first stack erased is there again")
	}
	if err := scenario.Connect(t.Context(), second, graph.URL); err != nil { // it gives the accounts their secrets
		t.Fatal(err)
	}
	if said := at.next("replay"); !strings.HasPrefix(said, "13 inputs replayed") {
		t.Errorf("it says %q", said)
	}
	second.settle()

	if got := second.timelines(everybody...); got != want {
		t.Errorf("the second stack has\n%s\nand the first has\n%s", got, want)
	}
	if got, want := second.stored(), first.stored(); got != want {
		t.Errorf("the second stack has stored and quarantined %s, the first %s", got, want)
	}
	if out := at.next("check"); !strings.Contains(out, " 0 problems") {
		t.Errorf("check of the second: %s", out)
	}
	if out := at.run("check", "--table", first.name, "--settled"); !strings.Contains(out, " 0 problems") {
		t.Errorf("check of the first: %s", out)
	}
	second.filesAreThere(2, everybody)
	if len(at.page) > 0 {
		t.Errorf("the page goes on with %q", at.page)
	}
}

// beforeTheCopy is what the copy holds: three people, files, a mail, a form, a duplicate, and a message that staff are told of
// only later, so that the tallies lag behind.
func beforeTheCopy(s *stack, provider *fake.Provider, media string) {
	s.t.Helper()
	long := strings.Repeat("Pitkä tarina rikkinäisestä lampusta. ", 100) // packed in the table
	s.post(provider, provider.Text(maija, "Hei, lamppu on rikki").ID("w1"))
	s.post(provider, provider.Image(maija, media, "Näin").ID("w2"))
	s.post(provider, provider.Image(ville, media, "Unohtakaa minut").ID("w3"))
	s.post(provider, provider.Text(pekka, long).ID("w4"))
	s.post(provider, provider.Text(pekka, long).ID("w4"))
	s.letter("m1", "liisa@mail.example", "Lasku", "Missä laskuni on?")
	s.deliver("/forms/main", "application/x-www-form-urlencoded", []byte("name=Olli&email=olli@mail.example&message=Onko+auki%3F"))
	s.settle()
	s.post(provider, provider.Text(maija, "Oletteko siellä?").ID("w5"))
	s.work("inbound", 10)
}

// afterTheCopy is what only the first stack saw: an erasure, messages, one of them from the one who was erased, a file, a mail,
// a form, raw input that lies in a blob, and something that nobody understands.
func afterTheCopy(s *stack, provider *fake.Provider, media string) {
	s.t.Helper()
	s.settle()
	c, err := s.App().Store.CustomerAt(s.t.Context(), phone(ville))
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.App().Pipeline.Erase(s.t.Context(), c.Customer, "aino"); err != nil {
		s.t.Fatal(err)
	}
	s.settle()
	s.post(provider, provider.Text(maija, "Entä nyt?").ID("w6"))
	s.post(provider, provider.Image(pekka, media, "Minullakin").ID("w7"))
	s.post(provider, provider.Text(ville, "Olen uusi täällä").ID("w8"))
	s.letter("m2", "liisa@mail.example", "Toinen", "Löytyi jo, kiitos.")
	s.deliver("/forms/main", "application/x-www-form-urlencoded", []byte("name=Olli&email=olli@mail.example&message=Enta+lauantaina%3F"))
	noise := make([]byte, 12_000)
	for i, r := 0, rand.New(rand.NewPCG(1, 2)); i < len(noise); i++ {
		noise[i] = 'a' + byte(r.IntN(26))
	}
	s.post(provider, provider.Text(maija, string(noise)).ID("w9"))
	odd := []byte(`{"object":"whatsapp_business_account","entry":"what is this"}`)
	s.deliver("/hooks/whatsapp/main", "application/json", odd, "X-Hub-Signature-256", provider.Sign(odd))
	s.settle()
}

// filesAreThere opens every file of theirs.
func (s *stack) filesAreThere(want int, everybody []msg.Address) {
	t, n := s.t, 0
	t.Helper()
	for _, a := range everybody {
		c, err := s.App().Store.CustomerAt(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		entries, _, err := s.App().Store.Timeline(t.Context(), c.Customer, store.Page{Limit: 200})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Message == nil {
				continue
			}
			for _, p := range e.Message.Parts {
				if p.Media == nil {
					continue
				}
				n++
				r, _, err := s.App().Pipeline.Blobs.Get(t.Context(), p.Media.Key, 0, 0)
				if err != nil {
					t.Errorf("file %q of entry %s: %v", p.Media.Key, e.Entry, err)
					continue
				}
				_ = r.Close()
			}
		}
	}
	if n != want {
		t.Errorf("%d files, want %d", n, want)
	}
}
