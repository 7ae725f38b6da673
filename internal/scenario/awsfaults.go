//go:build parts

package scenario

import (
	"context"
	"encoding/json"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/aikajana/aikajana/internal/standin/proxy"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// weather decides for the proxies in front of the stand-ins what becomes of a call.
type weather struct {
	*Faults

	mu sync.Mutex
	// turn has each way to throttle come round.
	turn int
	// broken are calls of the SDK whose connection is lost for good: it tries in vain.
	broken map[string]bool
	// deliveries are those of queues that deliver everything twice.
	deliveries map[string]*proxy.Twice
}

func newWeather(f *Faults) *weather {
	return &weather{Faults: f, broken: map[string]bool{}, deliveries: map[string]*proxy.Twice{}}
}

func (w *weather) throttle() proxy.Trouble {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turn++
	return proxy.Throttle(w.turn)
}

// table decides for DynamoDB.
func (w *weather) table(c *proxy.Call) proxy.Trouble {
	f := w.Faults
	switch c.Action {
	case "PutItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem":
		switch {
		case f.asked(c.Caller, func() bool { return f.meets(f.writesUntil, writesRefused) }):
			return w.throttle()
		case f.asked(c.Caller, func() bool { return once(&f.lose) }):
			return proxy.Lose
		case c.Action == "BatchWriteItem" && f.asked(c.Caller, func() bool { return once(&f.half) }):
			return proxy.Half
		}
	case "GetItem", "Query":
		switch {
		case ofCustomers(partition(c.Body)) && f.asked(c.Caller, func() bool { return f.meets(f.readsUntil, readsRefused) }):
			return w.throttle()
		case c.Action == "Query" && c.Caller == "worker" && f.asked(c.Caller, func() bool { return f.stale }) && asksIndex(c.Body):
			return proxy.FindNothing
		}
	}
	return nil
}

// partition is what a read is about.
func partition(body []byte) string {
	var in struct {
		Key                       struct{ P struct{ S string } }
		ExpressionAttributeValues struct {
			P struct{ S string } `json:":p"`
		}
	}
	_ = json.Unmarshal(body, &in) // what cannot be read is of nobody
	return in.Key.P.S + in.ExpressionAttributeValues.P.S
}

func asksIndex(body []byte) bool {
	var in struct{ IndexName string }
	return json.Unmarshal(body, &in) == nil && in.IndexName != ""
}

// queue decides for SQS. The queues of the world are called like it and like their part.
func (w *weather) queue(c *proxy.Call) proxy.Trouble {
	var in struct{ QueueUrl string } //nolint:revive // SQS's name
	if err := json.Unmarshal(c.Body, &in); err != nil {
		return nil
	}
	name := in.QueueUrl[strings.LastIndexByte(in.QueueUrl, '-')+1:]
	f := w.Faults
	switch c.Action {
	case "SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch":
		if f.asked(c.Caller, func() bool { return f.meets(f.queueUntil[name], queueThrottled+name) }) {
			return w.throttle()
		}
	}
	switch c.Action {
	case "SendMessageBatch":
		if w.isBroken(c) {
			return proxy.Drop
		}
		if f.asked(c.Caller, func() bool { return onceOf(f.sendLose, name) }) {
			w.breakOff(c)
			return proxy.Lose
		}
		if f.asked(c.Caller, func() bool { return onceOf(f.sendTwice, name) }) {
			return proxy.Lose // and the SDK sends again
		}
	case "DeleteMessageBatch":
		if w.isBroken(c) {
			return proxy.Drop
		}
		if f.asked(c.Caller, func() bool { return onceOf(f.ackLose, name) }) {
			w.breakOff(c)
			return proxy.Drop
		}
	case "ReceiveMessage":
		return w.deliver(c, name)
	}
	return nil
}

// breakOff has all further attempts at a call come to nothing.
func (w *weather) breakOff(c *proxy.Call) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.broken[c.Invocation] = true
}

func (w *weather) isBroken(c *proxy.Call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken[c.Invocation]
}

// deliver delivers twice, until a queue that is to do so has been emptied.
func (w *weather) deliver(c *proxy.Call, name string) proxy.Trouble {
	if !w.asked(c.Caller, func() bool { return w.twice[name] }) {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.deliveries[name] == nil {
		w.deliveries[name] = &proxy.Twice{}
	}
	return w.deliveries[name].Deliver
}

// storage decides for S3.
func (w *weather) storage(c *proxy.Call) proxy.Trouble {
	f := w.Faults
	if c.Action == "GET" && f.asked(c.Caller, func() bool { return f.meets(f.blobsUntil, blobsRefused) }) {
		return w.throttle()
	}
	return nil
}

// mortal is DynamoDB for a worker that may be killed between two calls: a process ends inside itself, so this alone is no matter
// of the wire.
type mortal struct {
	dynamo.API
	faults *Faults
	// written is told of every item that was written; nil when nobody wants to know.
	written func(Written)
}

func (m mortal) tell(err error, w Written) {
	if err == nil && m.written != nil {
		m.written(w)
	}
}

func (m mortal) write(ctx context.Context, do func() error) error {
	after := m.faults.beforeWrite(ctx)
	err := do()
	if err == nil {
		after()
	}
	return err
}

// PutItem implements dynamo.API.
func (m mortal) PutItem(ctx context.Context, in *dynamodb.PutItemInput, o ...func(*dynamodb.Options)) (out *dynamodb.PutItemOutput, err error) {
	err = m.write(ctx, func() error { out, err = m.API.PutItem(ctx, in, o...); return err })
	m.tell(err, Written{Item: in.Item})
	return out, err
}

// DeleteItem implements dynamo.API.
func (m mortal) DeleteItem(ctx context.Context, in *dynamodb.DeleteItemInput, o ...func(*dynamodb.Options)) (out *dynamodb.DeleteItemOutput, err error) {
	err = m.write(ctx, func() error { out, err = m.API.DeleteItem(ctx, in, o...); return err })
	m.tell(err, Written{Item: in.Key, Deleted: true})
	return out, err
}

// BatchWriteItem implements dynamo.API.
func (m mortal) BatchWriteItem(ctx context.Context, in *dynamodb.BatchWriteItemInput, o ...func(*dynamodb.Options)) (out *dynamodb.BatchWriteItemOutput, err error) {
	err = m.write(ctx, func() error { out, err = m.API.BatchWriteItem(ctx, in, o...); return err })
	for _, requests := range in.RequestItems {
		for i := range requests {
			if put := requests[i].PutRequest; put != nil {
				m.tell(err, Written{Item: put.Item})
			} else if gone := requests[i].DeleteRequest; gone != nil {
				m.tell(err, Written{Item: gone.Key, Deleted: true})
			}
		}
	}
	return out, err
}

// TransactWriteItems implements dynamo.API.
func (m mortal) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput, o ...func(*dynamodb.Options)) (out *dynamodb.TransactWriteItemsOutput, err error) {
	err = m.write(ctx, func() error { out, err = m.API.TransactWriteItems(ctx, in, o...); return err })
	for i := range in.TransactItems {
		if put := in.TransactItems[i].Put; put != nil {
			m.tell(err, Written{Item: put.Item, Transaction: true})
		} else if gone := in.TransactItems[i].Delete; gone != nil {
			m.tell(err, Written{Item: gone.Key, Deleted: true, Transaction: true})
		}
	}
	return out, err
}
