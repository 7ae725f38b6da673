package local

import (
	"context"
	"time"

	"github.com/aikajana/aikajana/internal/table"
)

// How React's batches are taken from the change feed, and how often one that fails is tried before it is taken apart.
const (
	reactBatch = 256
	reactTries = 5
	reactPause = time.Second
)

// react follows the change feed until ctx ends. A change that always fails must not stop the ones behind it: after some tries
// the batch is gone through one by one, and what still fails is logged and left to "replay --react".
func (s *Server) react(ctx context.Context, feed table.Feed) {
	for ctx.Err() == nil {
		changes, err := feed.Next(ctx, reactBatch)
		if err != nil {
			if ctx.Err() == nil {
				s.log.Error("change feed not read", "err", err)
				pause(ctx, reactPause)
			}
			continue
		}
		if len(changes) == 0 {
			continue
		}
		if !s.reactTo(ctx, changes) {
			return // ending: the batch comes again after the restart
		}
		if err := feed.Ack(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("change feed not acknowledged", "err", err)
		}
	}
}

func (s *Server) reactTo(ctx context.Context, changes []table.Change) bool {
	for try := range reactTries {
		err := s.app.Pipeline.React(context.WithoutCancel(ctx), changes)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.log.Error("changes not followed up", "changes", len(changes), "try", try+1, "err", err)
		pause(ctx, reactPause<<try)
	}
	if len(changes) == 1 {
		s.log.Error("change given up; mend the cause, then run \"aikajana replay --react --since 24h\"", "key", changes[0].Key.String())
		return true
	}
	for i := range changes {
		if !s.reactTo(ctx, changes[i:i+1]) {
			return false
		}
	}
	return true
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
