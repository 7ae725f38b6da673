package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// Lose has the call carried out and its answer lost.
func Lose(x *Exchange) {
	if x.Forward(x.Body) != nil {
		x.Cut()
	}
}

// Drop loses the call itself: it never arrives.
func Drop(x *Exchange) { x.Cut() }

// Throttle refuses a call as its service does when it is asked for too much. DynamoDB has several ways to say so; turn chooses
// one, any number will do.
//
// The words are those of "Error handling with DynamoDB" and "TransactWriteItems" (DynamoDB's Developer Guide and API reference)
// and of "Common errors" (API references of SQS and S3), read on 2026-11-30.
func Throttle(turn int) Trouble {
	return func(x *Exchange) {
		service, _, _ := strings.Cut(x.r.Header.Get("X-Amz-Target"), ".")
		switch service {
		case "AmazonSQS":
			x.refuse("com.amazonaws.sqs#", "RequestThrottled", nil)
		case "":
			x.Answer(&Answer{
				Status: http.StatusServiceUnavailable, Header: http.Header{"Content-Type": {"application/xml"}},
				Body: []byte(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`),
			})
		default:
			x.throttle(turn)
		}
	}
}

const dynamoDB = "com.amazonaws.dynamodb.v20120810#"

func (x *Exchange) throttle(turn int) {
	codes := []string{"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"}
	if x.Action == "TransactWriteItems" {
		codes = append(codes, "ThrottlingError", "ProvisionedThroughputExceeded")
	}
	code := codes[turn%len(codes)]
	if turn%len(codes) < 3 {
		x.refuse(dynamoDB, code, nil)
		return
	}
	var in struct{ TransactItems []json.RawMessage }
	if json.Unmarshal(x.Body, &in) != nil || len(in.TransactItems) == 0 {
		x.Cut() // no client of DynamoDB sends such
		return
	}
	reasons := make([]map[string]string, len(in.TransactItems)) // of one item: the others would have been fine
	for i := range reasons {
		reasons[i] = map[string]string{"Code": "None"}
	}
	reasons[len(reasons)-1] = map[string]string{"Code": code, "Message": "Throughput exceeds the current capacity of your table or index."}
	x.refuse(dynamoDB, "TransactionCanceledException", map[string]any{"CancellationReasons": reasons})
}

// refuse answers with an error of the AWS JSON protocols.
func (x *Exchange) refuse(prefix, code string, more map[string]any) {
	said := map[string]any{"__type": prefix + code, "message": "slow down"}
	for name, value := range more {
		said[name] = value
	}
	x.Say(http.StatusBadRequest, said)
}

// Say answers with JSON, as the services do that speak it.
func (x *Exchange) Say(status int, what any) {
	body, err := json.Marshal(what)
	if err != nil {
		panic(fmt.Sprintf("proxy: answer %s: %v", x.Action, err)) // maps of strings
	}
	x.Answer(&Answer{status, http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, body})
}

// Half has a BatchWriteItem half carried out: the rest comes back as not processed. A batch of one is throttled, as DynamoDB
// does when it can take nothing.
func Half(x *Exchange) {
	var in struct{ RequestItems map[string][]json.RawMessage }
	if err := json.Unmarshal(x.Body, &in); err != nil {
		x.Cut()
		return
	}
	taken, left := map[string][]json.RawMessage{}, map[string][]json.RawMessage{}
	for table, all := range in.RequestItems {
		if half := len(all) / 2; half > 0 {
			taken[table] = all[:half]
		}
		left[table] = all[len(all)/2:]
	}
	if len(taken) == 0 {
		x.throttle(1)
		return
	}
	body, err := json.Marshal(map[string]any{"RequestItems": taken})
	if err != nil {
		panic(fmt.Sprintf("proxy: halve a batch: %v", err)) // it was JSON before
	}
	answer := x.Forward(body)
	if answer == nil {
		return
	}
	if answer.Status != http.StatusOK {
		x.Answer(answer)
		return
	}
	x.Say(http.StatusOK, map[string]any{"UnprocessedItems": left})
}

// FindNothing answers a Query as an index does that does not show yet what was written.
func FindNothing(x *Exchange) {
	x.Say(http.StatusOK, map[string]any{"Items": []any{}, "Count": 0, "ScannedCount": 0})
}

// Twice delivers what ReceiveMessage brings a second time, to whoever asks next: queues deliver at least once. The zero value
// is ready; it is safe for concurrent use.
type Twice struct {
	mu   sync.Mutex
	kept *Answer
}

// Deliver is the trouble.
func (t *Twice) Deliver(x *Exchange) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept != nil {
		x.Answer(t.kept)
		t.kept = nil
		return
	}
	answer := x.Forward(x.Body)
	if answer == nil {
		return
	}
	var said struct{ Messages []json.RawMessage }
	if json.Unmarshal(answer.Body, &said) == nil && len(said.Messages) > 0 {
		t.kept = answer
	}
	x.Answer(answer)
}
