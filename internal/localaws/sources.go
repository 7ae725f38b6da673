package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/standin"
)

// errFunction is wrapped when a function was called and failed, and not merely out of reach.
var errFunction = errors.New("the function failed")

// Invoke calls a function by its name in the template and returns what it answered. An error of the function is an error.
func (s *Stack) Invoke(ctx context.Context, function string, event []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.invoker+"/2015-03-31/functions/"+function+"/invocations", bytes.NewReader(event))
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", function, err)
	}
	response, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", function, err)
	}
	defer func() { _ = response.Body.Close() }() // read to the end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", function, err)
	}
	var failed struct {
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(body, &failed) == nil && failed.Message != "" || response.Header.Get("X-Amz-Function-Error") != "" {
		return nil, fmt.Errorf("invoke %s: %w: status %d: %s", function, errFunction, response.StatusCode, tail(string(body)))
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("invoke %s: status %d: %s", function, response.StatusCode, tail(string(body)))
	}
	return body, nil
}

// call is Invoke for what is played here.
func (s *Stack) call(ctx context.Context, function string, event []byte) ([]byte, error) {
	answer, err := s.Invoke(ctx, function, event)
	if s.o.called != nil {
		s.o.called(function, event, answer, err)
	}
	return answer, err
}

// sqsEvent is what Lambda makes of a batch.
func sqsEvent(name string, batch []queue.Message) ([]byte, error) {
	records := make([]map[string]any, len(batch))
	for i, m := range batch {
		attributes := map[string]string{"ApproximateReceiveCount": fmt.Sprint(m.Attempt), "SentTimestamp": fmt.Sprint(int64(m.SentAt)), "SenderId": "standin"}
		if m.Group != "" {
			attributes["MessageGroupId"] = m.Group
		}
		records[i] = map[string]any{
			"messageId": m.ID, "receiptHandle": m.Handle, "body": queue.EncodeText(m.Body), "attributes": attributes, "messageAttributes": map[string]any{},
			"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:" + standin.Region + ":123456789012:" + name, "awsRegion": standin.Region,
		}
	}
	return json.Marshal(map[string]any{"Records": records})
}

// poll is a queue's event source mapping: it deletes what the function did not report as failed.
func (s *Stack) poll(ctx context.Context, name string, from queueSource) {
	for ctx.Err() == nil {
		s.polling.RLock()
		s.complain(ctx, "work on "+name, s.takeBatch(ctx, name, from))
		s.polling.RUnlock()
	}
}

// takeBatch receives a batch and has it worked on. After an error all of it comes again.
func (s *Stack) takeBatch(ctx context.Context, name string, from queueSource) error {
	q := s.System.Queues[name]
	batch, err := q.Receive(ctx, from.batch, 2*time.Second)
	if err != nil || len(batch) == 0 {
		return err
	}
	event, err := sqsEvent(name, batch)
	if err != nil {
		return err
	}
	answer, err := s.call(ctx, from.function, event)
	if err != nil {
		return err
	}
	var failed struct {
		BatchItemFailures []struct {
			ItemIdentifier string `json:"itemIdentifier"`
		} `json:"batchItemFailures"`
	}
	if from.partial {
		if err := json.Unmarshal(answer, &failed); err != nil {
			return fmt.Errorf("read what %s answered: %w: %s", from.function, err, tail(string(answer)))
		}
	}
	bad := map[string]bool{}
	for _, f := range failed.BatchItemFailures {
		bad[f.ItemIdentifier] = true
	}
	done := slices.DeleteFunc(batch, func(m queue.Message) bool { return bad[m.ID] })
	if len(done) == 0 {
		return nil
	}
	return q.Ack(context.WithoutCancel(ctx), done...)
}

func (s *Stack) complain(ctx context.Context, doing string, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	_, _ = fmt.Fprintf(s.o.Log, "local-aws: %s: %v\n", doing, err) // there is no other place to say it
	pause(ctx, 300*time.Millisecond)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// schedule is the minute.
func (s *Stack) schedule(ctx context.Context) {
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-minute.C:
			_, err := s.Invoke(ctx, "TickFunction", []byte(`{"detail-type":"Scheduled Event","source":"aws.scheduler","detail":{}}`))
			s.complain(ctx, "tick", err)
		}
	}
}
