package cost

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/aikajana/aikajana/internal/table"
)

// calls counts the calls to AWS and, while stretch is on, lets each take as long as it is assumed to take on AWS.
// SQS requests that carry a message with a group are counted once more, as fair.
type calls struct {
	a *Assumptions

	mu      sync.Mutex
	count   map[string]float64
	stretch bool
}

func newCalls(a *Assumptions) *calls { return &calls{a: a, count: map[string]float64{}} }

// watch is an option of every client. It sees operations, not the attempts inside: a stand-in throttles nobody.
func (c *calls) watch(s *middleware.Stack) error {
	return s.Initialize.Add(middleware.InitializeMiddlewareFunc("CountCalls",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			end := c.begin(awsmiddleware.GetServiceID(ctx) + "." + middleware.GetOperationName(ctx))
			out, meta, err := next.HandleInitialize(ctx, in)
			end()
			if grouped(in.Parameters) {
				c.add(fair, 1)
			}
			return out, meta, err
		}), middleware.After)
}

// begin counts a call; what it returns is called when the answer is there.
func (c *calls) begin(call string) (end func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[call]++
	if !c.stretch {
		return func() {}
	}
	least, begun := c.a.latency(call), time.Now()
	return func() { time.Sleep(least - time.Since(begun)) }
}

func (c *calls) add(call string, n float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[call] += n
}

// Names of what is counted beside the operations of services.
const (
	fair             = "fair"
	postToConnection = "ApiGatewayManagementApi.PostToConnection"
	askProvider      = "WhatsApp.messages"
)

// grouped says that a request sends a message with a group. Who receives and deletes one says so itself, see rig.work.
func grouped(request any) bool {
	switch in := request.(type) {
	case *sqs.SendMessageInput:
		return in.MessageGroupId != nil
	case *sqs.SendMessageBatchInput:
		return slices.ContainsFunc(in.Entries, func(e types.SendMessageBatchRequestEntry) bool { return e.MessageGroupId != nil })
	}
	return false
}

// stretched runs f with calls that take as long as on AWS.
func (c *calls) stretched(f func() error) error {
	c.set(true)
	defer c.set(false)
	return f()
}

func (c *calls) set(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stretch = on
}

func (c *calls) take() map[string]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := maps.Clone(c.count)
	clear(c.count)
	return all
}

// kinds sums write units by kind of item.
type kinds struct {
	mu  sync.Mutex
	sum map[string]float64
}

func newKinds() *kinds { return &kinds{sum: map[string]float64{}} }

func (k *kinds) add(key table.Key, units, index float64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sum[kindOf(key)] += units
	if index > 0 {
		k.sum[kindOf(key)+", in an index"] += index
	}
}

func (k *kinds) take() map[string]float64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := maps.Clone(k.sum)
	clear(k.sum)
	return all
}
