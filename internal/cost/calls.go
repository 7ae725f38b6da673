package cost

import (
	"context"
	"maps"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"

	"github.com/aikajana/aikajana/internal/table"
)

// calls counts the calls to AWS and, while stretch is on, lets each take as long as it is assumed to take on AWS.
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
			call := awsmiddleware.GetServiceID(ctx) + "." + middleware.GetOperationName(ctx)
			c.mu.Lock()
			c.count[call]++
			stretch := c.stretch
			c.mu.Unlock()
			begun := time.Now()
			out, meta, err := next.HandleInitialize(ctx, in)
			if stretch {
				time.Sleep(c.a.latency(call) - time.Since(begun))
			}
			return out, meta, err
		}), middleware.After)
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
