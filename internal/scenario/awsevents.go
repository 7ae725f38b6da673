//go:build parts

package scenario

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/mail"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/aikajana/aikajana/internal/awsfilter"
	"github.com/aikajana/aikajana/internal/awslambda"
	"github.com/aikajana/aikajana/internal/awspolicy"
	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/table/dynamo/streams"
)

// gateway is an HTTP API in front of the function of that name: it makes an event of payload format 2.0 of each request, with header names in
// lower case, cookies apart and a body that is not text in base64
// (docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html, seen 2026-11-23).
func gateway(name string, h http.Handler) http.Handler {
	function := awslambda.HTTP(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		headers := map[string]string{"host": "desk.example", "content-length": fmt.Sprint(len(body))}
		var cookies []string
		for name, values := range r.Header {
			if name == "Cookie" {
				cookies = strings.Split(values[0], "; ")
				continue
			}
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
		client, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			client = "203.0.113.1"
		}
		text, encoded := string(body), false
		if !utf8.Valid(body) {
			text, encoded = base64.StdEncoding.EncodeToString(body), true
		}
		var answer struct {
			StatusCode      int
			Headers         map[string]string
			Body            string
			IsBase64Encoded bool
			Cookies         []string
		}
		err = awslambda.Invoke(awspolicy.As(r.Context(), name), function, map[string]any{
			"version": "2.0", "routeKey": "$default", "rawPath": r.URL.EscapedPath(), "rawQueryString": r.URL.RawQuery, "headers": headers, "cookies": cookies,
			"body": text, "isBase64Encoded": encoded,
			"requestContext": map[string]any{
				"accountId": "123456789012", "apiId": "api", "domainName": "desk.example", "stage": "$default", "requestId": "id",
				"http": map[string]any{"method": r.Method, "path": r.URL.Path, "protocol": "HTTP/1.1", "sourceIp": client, "userAgent": r.UserAgent()},
			},
		}, &answer)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		for name, value := range answer.Headers {
			w.Header().Set(name, value)
		}
		for _, c := range answer.Cookies {
			w.Header().Add("Set-Cookie", c)
		}
		out := []byte(answer.Body)
		if answer.IsBase64Encoded {
			if out, err = base64.StdEncoding.DecodeString(answer.Body); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(out) // a recorder takes everything
	})
}

// sqsEvent is a batch as Lambda's poller hands it over
// (docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event, seen 2026-11-23).
func sqsEvent(name string, batch []queue.Message) map[string]any {
	records := make([]map[string]any, len(batch))
	for i, m := range batch {
		attributes := map[string]string{
			"ApproximateReceiveCount": fmt.Sprint(m.Attempt), "SentTimestamp": fmt.Sprint(int64(m.SentAt)), "SenderId": "AIDAIENQZJOLO23YVJ4VO",
			"ApproximateFirstReceiveTimestamp": fmt.Sprint(int64(m.SentAt)),
		}
		if m.Group != "" {
			attributes["MessageGroupId"] = m.Group
		}
		records[i] = map[string]any{
			"messageId": m.ID, "receiptHandle": m.Handle, "body": queue.EncodeText(m.Body), "attributes": attributes, "messageAttributes": map[string]any{},
			"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:" + standin.Region + ":123456789012:" + name, "awsRegion": standin.Region,
		}
	}
	return map[string]any{"Records": records}
}

// streamReader reads a table's stream and makes Lambda's events of it: one shard at a time, in order, the same records again
// until they are done.
type streamReader struct {
	client *dynamodbstreams.Client
	arn    string
	clock  *Clock
	// filter is the event source's: what it holds back is not seen.
	filter  *awsfilter.Filter
	shards  map[string]*string // the next iterator; nil at the end
	order   []string
	pending map[string]any
	size    int
}

func newStreamReader(c *dynamodbstreams.Client, arn string, clock *Clock, filter *awsfilter.Filter) *streamReader {
	return &streamReader{client: c, arn: arn, clock: clock, filter: filter, shards: map[string]*string{}}
}

// next is the next batch and how many records it has, 0 when there is none.
func (s *streamReader) next(ctx context.Context) (map[string]any, int, error) {
	if s.pending != nil {
		return s.pending, s.size, nil
	}
	about, err := s.client.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{StreamArn: &s.arn})
	if err != nil {
		return nil, 0, err
	}
	for _, shard := range about.StreamDescription.Shards {
		id := aws.ToString(shard.ShardId)
		if _, known := s.shards[id]; known {
			continue
		}
		at, err := s.client.GetShardIterator(ctx, &dynamodbstreams.GetShardIteratorInput{
			StreamArn: &s.arn, ShardId: &id, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			return nil, 0, err
		}
		s.shards[id], s.order = at.ShardIterator, append(s.order, id)
	}
	for _, id := range s.order {
		if s.shards[id] == nil {
			continue
		}
		for s.shards[id] != nil {
			got, err := s.client.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{ShardIterator: s.shards[id], Limit: aws.Int32(100)})
			if err != nil {
				return nil, 0, err
			}
			s.shards[id] = got.NextShardIterator
			if s.pending, s.size = streamEvent(s.arn, id, got.Records, s.clock, s.filter); s.size > 0 {
				return s.pending, s.size, nil
			}
			s.pending = nil
			if len(got.Records) == 0 {
				break
			}
		}
	}
	return nil, 0, nil
}

func (s *streamReader) done() { s.pending = nil }

// streamEvent is a batch of a stream with a tumbling window, and how many records the filter lets into it
// (docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html, seen 2026-11-23).
func streamEvent(arn, shard string, records []types.Record, clock *Clock, filter *awsfilter.Filter) (map[string]any, int) {
	all := make([]map[string]any, 0, len(records))
	for i := range records {
		// The real time is the machine's; the story's is the script's.
		record := streams.EventRecord(arn, clock.Time(), &records[i])
		if filter.Passes(record) {
			all = append(all, record)
		}
	}
	return map[string]any{
		"Records": all, "window": map[string]string{"start": "2026-11-23T08:00:00Z", "end": "2026-11-23T08:01:00Z"}, "state": map[string]string{},
		"shardId": shard, "eventSourceARN": arn, "isFinalInvokeForWindow": false, "isWindowTerminatedEarly": false,
	}, len(all)
}

// Mail implements World: SES writes the mail into the bucket and announces it through SNS to the queue
// (docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html, seen 2026-11-23).
func (w *amazon) Mail(ctx context.Context, m *Letter) error {
	key := path.Join("ses", m.Rule, m.ID) // below the prefix that the template's receipt rule has
	if m.Unreadable {
		w.mu.Lock()
		w.hidden[key] = m.Raw
		w.mu.Unlock()
	} else if err := w.put(ctx, key, m.Raw); err != nil {
		return err
	}
	verdict := func(v string) map[string]string { return map[string]string{"status": v} }
	f := &m.Facts
	notice := map[string]any{
		"notificationType": "Received",
		"receipt": map[string]any{
			"recipients": f.Recipients, "spfVerdict": verdict(f.SPF), "dkimVerdict": verdict(f.DKIM), "dmarcVerdict": verdict(f.DMARC),
			"spamVerdict": verdict(f.Spam), "virusVerdict": verdict(f.Virus),
			"action": map[string]string{"type": "S3", "bucketName": w.name, "objectKey": key},
		},
		"mail": map[string]any{
			"timestamp": w.stage.Clock.Now().String(), "messageId": m.ID, "source": f.Sender, "destination": f.Recipients, "headers": sesHeaders(m),
		},
	}
	text, err := jsonText(notice)
	if err != nil {
		return err
	}
	_, err = w.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(w.system.Env.Queues["mail"]), MessageBody: &text})
	return err
}

func (w *amazon) put(ctx context.Context, key string, raw []byte) error {
	w.mu.Lock()
	w.written[key] = w.stage.Clock.Time()
	w.mu.Unlock()
	_, err := w.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &w.name, Key: &key, Body: bytes.NewReader(raw)})
	return err
}

// mailsOf lists the bucket with the script's times: S3 knows the machine's.
type mailsOf struct{ *amazon }

// List implements check.Lister.
func (m mailsOf) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	all, err := m.system.Blobs.List(ctx, prefix, after, limit)
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range all {
		at, ours := m.written[all[i].Key]
		if !ours {
			return nil, fmt.Errorf("object %s is nobody's mail", all[i].Key)
		}
		all[i].Modified = at
	}
	return all, err
}

// sesHeaders are the mail's own headers below those that SES writes on top, where its verdicts stand.
func sesHeaders(m *Letter) []map[string]string {
	f := &m.Facts
	results := "amazonses.com; spf=" + strings.ToLower(word(f.SPF))
	if f.SPFDomain != "" {
		results += " smtp.mailfrom=" + f.Sender
	}
	for _, d := range f.DKIMDomains {
		results += "; dkim=pass header.i=@" + d
	}
	results += "; dmarc=" + strings.ToLower(word(f.DMARC))
	headers := []map[string]string{
		{"name": "Return-Path", "value": "<" + f.Sender + ">"},
		{"name": "Received", "value": "from mail.world.example by inbound-smtp." + standin.Region + ".amazonaws.com with SMTP id " + m.ID},
		{"name": "X-SES-Spam-Verdict", "value": f.Spam}, {"name": "X-SES-Virus-Verdict", "value": f.Virus},
		{"name": "Authentication-Results", "value": results},
	}
	if parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw)); err == nil {
		for name, values := range parsed.Header {
			for _, v := range values {
				headers = append(headers, map[string]string{"name": name, "value": v})
			}
		}
	}
	return headers
}

func word(verdict string) string {
	if verdict == "GRAY" {
		return "none"
	}
	return verdict
}
