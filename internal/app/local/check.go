package local

import (
	"context"
	"time"

	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	queuelocal "github.com/aikajana/aikajana/internal/queue/local"
	"github.com/aikajana/aikajana/internal/table/pebble"
)

// Check verifies the invariants of a stopped store. It changes nothing that is kept.
func Check(ctx context.Context, data string) (*check.Report, error) {
	var report *check.Report
	err := withStore(data, func(db *engine.DB) (err error) {
		report, err = checkStore(ctx, db)
		return err
	})
	return report, err
}

func checkStore(ctx context.Context, db *engine.DB) (*check.Report, error) {
	t, err := pebble.New(db, func() msg.Time { return msg.TimeOf(time.Now()) })
	if err != nil {
		return nil, err
	}
	backlog, err := t.Backlog()
	if err != nil {
		return nil, err
	}
	in := check.Input{Table: t, Unfollowed: int64(backlog), Queues: map[string]queue.Counter{}}
	for name := range workers {
		q, err := queuelocal.New(db, name, queuelocal.Options{})
		if err != nil {
			return nil, err
		}
		in.Queues[name] = q
	}
	return check.Run(ctx, in)
}
