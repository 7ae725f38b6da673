package awslambda

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
)

// notices gives an event to the handler of the mail function and returns what it worked on, and what Lambda hears.
func notices(t *testing.T, event string, failed ...string) (batch []queue.Message, answer string, err error) {
	t.Helper()
	var said json.RawMessage
	err = Invoke(t.Context(), Notices(func(_ context.Context, b []queue.Message) []string {
		batch = b
		return failed
	}), json.RawMessage(event), &said)
	return batch, string(said), err
}

func text(t *testing.T, name string) string {
	t.Helper()
	return string(sample[json.RawMessage](t, name))
}

func TestNoticeOfAQueueIsAnsweredByWhatFailed(t *testing.T) {
	t.Parallel()
	batch, answer, err := notices(t, text(t, "process"), "2e1424d4-f796-459a-8184-9c92662be6da")
	if err != nil || len(batch) != 2 || batch[0].Attempt != 3 || batch[0].Group != "whatsapp/main" {
		t.Fatalf("got %+v, %v", batch, err)
	}
	if answer != `{"batchItemFailures":[{"itemIdentifier":"2e1424d4-f796-459a-8184-9c92662be6da"}]}` {
		t.Errorf("answered %s", answer)
	}
	if _, answer, err = notices(t, text(t, "mail")); err != nil || answer != `{"batchItemFailures":[]}` {
		t.Errorf("answered %s, %v", answer, err)
	}
}

func TestNoticesThatComeDirectlyAreTheMessagesThatAQueueWouldHold(t *testing.T) {
	t.Parallel()
	const mail = "o3vrnil0e2ic28trm7dfhrc2v0clambda4nbp0g1"
	for _, c := range []struct {
		event, id string
		at        msg.Time
		body      func(body []byte) bool
	}{
		{"mail-sns", "95df01b4-ee98-5cb9-9903-4c221d41eb5e", 1795334400000, func(body []byte) bool {
			var n struct{ Type, Message string } // as a subscribed queue gets it
			return json.Unmarshal(body, &n) == nil && n.Type == "Notification" && strings.Contains(n.Message, `"objectKey": "ses/`+mail)
		}},
		{"mail-ses", mail, 1795334400000, func(body []byte) bool {
			return strings.HasPrefix(string(body), `{"Records":[{`) && strings.Contains(string(body), `"dmarcVerdict"`)
		}},
		{"mail-s3", "ses/" + mail, 1795334400000, func(body []byte) bool {
			return strings.HasPrefix(string(body), `{"Records":[{`) && strings.Contains(string(body), `"sequencer"`)
		}},
	} {
		batch, answer, err := notices(t, text(t, c.event))
		if err != nil || len(batch) != 1 || answer != "null" {
			t.Fatalf("%s: got %+v, answered %s, %v", c.event, batch, answer, err)
		}
		m := batch[0]
		if m.ID != c.id || m.SentAt != c.at || m.Attempt != 1 || !json.Valid(m.Body) || !c.body(m.Body) {
			t.Errorf("%s: %q at %d, attempt %d: %s", c.event, m.ID, m.SentAt, m.Attempt, m.Body)
		}
	}
}

func TestRecordsOfOneEventAreMessagesOfTheirOwn(t *testing.T) {
	t.Parallel()
	one := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text(t, "mail-s3")), `{
  "Records": [`), `]
}`)
	other := strings.ReplaceAll(one, "0g1", "0g2")
	batch, _, err := notices(t, `{"Records":[`+one+","+other+"]}")
	if err != nil || len(batch) != 2 || batch[0].ID == batch[1].ID || strings.Contains(string(batch[0].Body), "0g2") || strings.Contains(string(batch[1].Body), "0g1") {
		t.Errorf("got %+v, %v", batch, err)
	}
}

func TestNoticeThatComesDirectlyAndFailsIsAnErrorSoThatLambdaTriesAgain(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mail-sns", "mail-ses", "mail-s3"} {
		if _, _, err := notices(t, text(t, name), "its-id"); err == nil || !strings.Contains(err.Error(), "its-id") || !strings.Contains(err.Error(), "1 of 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEventThatIsNoNoticeIsAnErrorAndNothingIsCalled(t *testing.T) {
	t.Parallel()
	removed := strings.Replace(text(t, "mail-s3"), "ObjectCreated:Put", "ObjectRemoved:Delete", 1)
	for event, want := range map[string]string{
		`[]`: "read an event", `{}`: "no Records", `{"Records":[]}`: "no Records", `{"Records":["x"]}`: "record 0",
		`{"Records":[{"eventSource":"aws:dynamodb"}]}`: `"aws:dynamodb"`, `{"Records":[{}]}`: "it is of",
		`{"Records":[{"EventSource":"aws:sns"}]}`:                                                            "its Sns",
		`{"Records":[{"EventSource":"aws:sns","Sns":{"MessageId":"1","Timestamp":"yesterday"}}]}`:            "yesterday",
		`{"Records":[{"eventSource":"aws:ses","ses":{"receipt":{"timestamp":"2026-11-22T08:00:00.000Z"}}}]}`: "its ID",
		`{"Records":[{"eventSource":"aws:sqs","attributes":3}]}`:                                             "of SQS",
		removed: "ObjectRemoved:Delete of ses/",
	} {
		batch, _, err := notices(t, event)
		if err == nil || !strings.Contains(err.Error(), want) || batch != nil {
			t.Errorf("%s: got %v and %v, want %s", event, batch, err, want)
		}
	}
}
