// Package queue is the contract of a message queue: unordered, at least once, with a visibility time-out, delayed retry and a
// dead-letter queue. SQS and the embedded queue pass the suite of package queuetest.
package queue

import (
	"context"
	"errors"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
)

// Message is one delivery of a message.
type Message struct {
	// ID stays the same over all deliveries; Handle names this delivery.
	ID     string
	Handle string
	Body   []byte
	// Group is the sender's, see Outgoing.
	Group string
	// Attempt counts deliveries from 1.
	Attempt int
	SentAt  msg.Time
}

// Outgoing is a message to be sent.
type Outgoing struct {
	Body []byte
	// Group is who it is for, "channel/account": queues share their workers fairly among groups and count by them. It
	// promises no order.
	Group string
	// Delay keeps it invisible for a while, at most MaxDelay; a longer one is refused with ErrLimit.
	Delay time.Duration
}

// Limits that both implementations keep to: SQS's, as documented on 2026-11-22.
const (
	MaxBody  = 1 << 20
	MaxDelay = 900 * time.Second
	// MaxAttempts is how often a message is delivered before it goes to the dead-letter queue.
	MaxAttempts = 5
)

// ErrLimit is wrapped by every refusal of a message over a limit.
var ErrLimit = errors.New("over a limit of the queue")

// Sender puts messages into a queue.
type Sender interface {
	// Send puts all messages into the queue. When it returns nil every one of them is durable. After an error some may be
	// there: sending again may double them, which is what "at least once" means.
	Send(ctx context.Context, out ...Outgoing) error
}

// Queue is a whole queue. All methods are safe for concurrent use.
type Queue interface {
	Sender
	// Receive returns up to max messages (at most 10 from SQS) and makes them invisible for the queue's visibility time-out.
	// It waits up to wait for the first; none is no error.
	Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error)
	// Ack removes deliveries. One whose visibility ran out in the meantime may have been delivered again; acking it is no
	// error.
	Ack(ctx context.Context, m ...Message) error
	// Release makes a delivery visible again after a delay; the next one counts as a further attempt.
	Release(ctx context.Context, m Message, delay time.Duration) error
	// Depth counts what is in the queue; approximate on SQS.
	Depth(ctx context.Context) (Depth, error)
	// Dead returns up to max messages of the dead-letter queue without removing them. Order and completeness as SQS gives.
	Dead(ctx context.Context, max int) ([]Message, error)
	// Redrive moves everything in the dead-letter queue back, attempts counted from 1 again, and says how many it were (-1
	// when the queue does not say). It may still be under way when it returns.
	Redrive(ctx context.Context) (int, error)
}

// Depth is how many messages a queue holds.
type Depth struct {
	// Ready can be received now, Delayed later, InFlight were received and are neither acked nor back.
	Ready, Delayed, InFlight int64
	Dead                     int64
}

// Ledger counts messages by Outgoing.Group. Accepted is counted when the message is made durable, independently of the other
// three, so that a lost message shows: Accepted = Processed + Queued + Dead.
type Ledger struct {
	Accepted  int64 `json:"accepted"`
	Processed int64 `json:"processed"`
	Queued    int64 `json:"queued"`
	Dead      int64 `json:"dead"`
	// Missing names what was accepted and is nowhere, in words, where the queue can tell.
	Missing string `json:"missing,omitempty"`
}

// Counter is a queue that keeps a ledger by group: exact, or with Queued as exact as its Depth. A redriven message is neither
// accepted nor processed anew.
type Counter interface {
	Ledger(ctx context.Context) (map[string]Ledger, error)
}

// Handler works on a batch and returns the IDs of the messages that failed; the others are acknowledged. It must not hold on
// to the messages. A failed message is delivered again after the visibility time-out, and goes to the dead-letter queue
// after MaxAttempts.
type Handler func(ctx context.Context, batch []Message) (failed []string)
