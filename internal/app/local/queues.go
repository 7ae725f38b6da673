package local

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/queue"
	queuelocal "github.com/aikajana/aikajana/internal/queue/local"
)

// The workers of each queue: how many batches at once, and how large.
var workers = map[string]queue.WorkOptions{
	"inbound": {Batch: 64, Concurrency: 2, Timeout: 30 * time.Second},
	"mail":    {Batch: 8, Concurrency: 2, Timeout: 120 * time.Second},
	"media":   {Batch: 1, Concurrency: 4, Timeout: 120 * time.Second},
	"wake":    {Batch: 8, Concurrency: 4, Timeout: 60 * time.Second},
}

// openQueues opens the queues and says which of them hold dead letters: an operator who restarted the program because of them
// sees that they are still there.
func (s *Server) openQueues() error {
	for name := range workers {
		log := s.log.With("queue", name)
		q, err := queuelocal.New(s.db, name, queuelocal.Options{
			Now:     s.o.Now,
			OnError: func(err error) { log.Error("queue", "err", err) },
			OnDead:  func(dead []queue.Message) { logDead(log, name, dead) },
		})
		if err != nil {
			return fmt.Errorf("open queue %s in %s: %w", name, s.o.Data, err)
		}
		s.queues[name] = q
		if s.o.Queues != nil {
			s.queues[name] = s.o.Queues(name, q)
		}
		d, err := q.Depth(context.Background())
		if err != nil {
			return fmt.Errorf("look into queue %s in %s: %w", name, filepath.Join(s.o.Data, storeFolder), err)
		}
		if d.Dead > 0 {
			log.Warn("dead letters are waiting", "messages", d.Dead, "do", redriveHint(name))
		}
	}
	return nil
}

// logDead tells what was given up, by account: the lines of the failed attempts name the message and say why, unless it was the
// process that ended.
func logDead(log *slog.Logger, name string, dead []queue.Message) {
	byGroup := map[string][]string{}
	for _, m := range dead {
		byGroup[m.Group] = append(byGroup[m.Group], m.ID)
	}
	for _, group := range slices.Sorted(maps.Keys(byGroup)) {
		ids := byGroup[group]
		log.Error("messages became dead letters after their last attempt", "group", group, "messages", len(ids), "ids", ids[:min(len(ids), 20)],
			"attempts", queue.MaxAttempts, "do", redriveHint(name))
	}
}

func redriveHint(name string) string {
	return fmt.Sprintf("nothing is lost: mend the cause, then run \"aikajana redrive %s\"", name)
}
