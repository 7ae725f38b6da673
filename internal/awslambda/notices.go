package awslambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
)

// Notices makes a handler of notices that come through a queue or from who has something to tell: SNS, a Lambda action of an SES
// receipt rule, S3. What the handler sees is one message for each record, whose body is the notice as it would stand in a queue:
//
//	SQS  aws:sqs  the body of the message
//	SNS  aws:sns  Records[].Sns: the JSON that a subscribed queue gets
//	SES  aws:ses  an event of the one record: the verdicts and the mail's ID, and no word of where an earlier action put it
//	S3   aws:s3   an event of the one record: where a new object is, its key URL-encoded
//
// (docs.aws.amazon.com/lambda/latest/dg/with-sqs.html, with-sns.html, with-s3.html; docs.aws.amazon.com/ses/latest/dg/
// receiving-email-action-lambda-event.html; read on 2026-11-30)
//
// Messages of a queue that failed are reported as [SQS] does. The others call and wait for no answer, so that nothing can be
// reported: one failed record is an error, and Lambda calls again with all of them, twice
// (docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html, read on 2026-11-30).
func Notices(h queue.Handler) func(context.Context, json.RawMessage) (*events.SQSEventResponse, error) {
	queued := SQS(h)
	return func(ctx context.Context, raw json.RawMessage) (*events.SQSEventResponse, error) {
		var e struct{ Records []json.RawMessage }
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("read an event: %w", err)
		}
		if len(e.Records) == 0 {
			return nil, errors.New("read an event: it has no Records; this function is called by SQS, SNS, SES or S3")
		}
		batch := make([]queue.Message, len(e.Records))
		for i := range e.Records {
			var source string
			var err error
			if source, batch[i], err = told(e.Records[i]); err != nil {
				return nil, fmt.Errorf("read record %d of an event: %w", i, err)
			}
			if source == fromSQS { // then all are
				var all events.SQSEvent
				if err := json.Unmarshal(raw, &all); err != nil {
					return nil, fmt.Errorf("read an event of SQS: %w", err)
				}
				response, err := queued(ctx, all)
				return &response, err
			}
		}
		if failed := h(ctx, batch); len(failed) > 0 {
			return nil, fmt.Errorf("%d of %d notices were not worked on: %s; the log says why, and Lambda tries again", len(failed), len(batch), strings.Join(failed, ", "))
		}
		return nil, nil // nobody reads the answer
	}
}

const fromSQS = "aws:sqs"

// told is the source of a record, and the message that a record of SNS, SES or S3 would be.
func told(record json.RawMessage) (source string, m queue.Message, err error) {
	var r struct { // SNS writes its names with capitals; encoding/json takes either
		EventSource, EventName, EventTime string
		SNS                               json.RawMessage
		SES                               struct {
			Mail    struct{ MessageID string }
			Receipt struct{ Timestamp string }
		}
		S3 struct{ Object struct{ Key string } }
	}
	if err := json.Unmarshal(record, &r); err != nil {
		return "", m, err
	}
	m.Attempt = 1
	var at string
	switch source = r.EventSource; source {
	case fromSQS:
		return source, m, nil
	case "aws:sns":
		var notification struct{ MessageID, Timestamp string }
		if err := json.Unmarshal(r.SNS, &notification); err != nil {
			return source, m, fmt.Errorf("read its Sns: %w", err)
		}
		m.ID, m.Body, at = notification.MessageID, r.SNS, notification.Timestamp
	case "aws:ses":
		m.ID, m.Body, at = r.SES.Mail.MessageID, one(record), r.SES.Receipt.Timestamp
	case "aws:s3":
		if !strings.HasPrefix(r.EventName, "ObjectCreated:") {
			return source, m, fmt.Errorf("%s of %s is no new object: have the bucket tell of s3:ObjectCreated:* only", r.EventName, r.S3.Object.Key)
		}
		m.ID, m.Body, at = r.S3.Object.Key, one(record), r.EventTime
	default:
		return source, m, fmt.Errorf("it is of %q; this function is called by SQS, SNS, SES or S3", source)
	}
	sent, err := time.Parse(time.RFC3339, at)
	if err != nil || m.ID == "" {
		return source, m, fmt.Errorf("of %s: its ID %q or its time %q is missing", source, m.ID, at)
	}
	m.SentAt = msg.TimeOf(sent.UTC())
	return source, m, nil
}

// one is an event of one record.
func one(record json.RawMessage) []byte {
	return append(append([]byte(`{"Records":[`), record...), "]}"...)
}
