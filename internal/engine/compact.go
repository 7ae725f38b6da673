package engine

import (
	"sync"

	"github.com/cockroachdb/pebble/v2"
)

// compactions is Pebble's scheduler of compactions: one at a time, and none before start or after stop.
//
// Pebble's own scheduler begins as soon as the replayed log has been flushed, and Open then waits for what has begun: on a
// store of some hundred megabytes that is half a second and more, for work that is not needed to serve. Close waits for it
// too.
//
// Pebble's locks come before mu, so its methods are called without it.
type compactions struct {
	mu      sync.Mutex
	db      pebble.DBForCompaction
	allowed bool
	running bool
	// refused says that the last who asked for the place did so in vain.
	refused bool
	// granting counts calls of Pebble that may start a compaction; idle is told when there are none.
	granting int
	idle     *sync.Cond
}

var (
	_ pebble.CompactionScheduler   = (*compactions)(nil)
	_ pebble.CompactionGrantHandle = (*compactions)(nil)
)

func newCompactions() *compactions {
	c := &compactions{}
	c.idle = sync.NewCond(&c.mu)
	return c
}

// start lets compactions begin, with the one that has been waiting.
func (c *compactions) start() {
	c.mu.Lock()
	c.allowed = true
	c.mu.Unlock()
	c.grant()
}

// stop lets none begin any more; one that runs goes on. It is safe to call twice.
func (c *compactions) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.allowed = false
	for c.granting > 0 {
		c.idle.Wait()
	}
}

// claim takes the one place there is. The caller holds mu.
func (c *compactions) claim() bool {
	if c.refused = !c.allowed || c.running; c.refused {
		return false
	}
	c.running = true
	return true
}

// grant starts the compaction that waits, if any. Whoever is refused while it looks has another look taken: Pebble asks only
// once and then waits to be called.
func (c *compactions) grant() {
	for c.enter() {
		waits, _ := c.db.GetWaitingCompaction()
		began := waits && c.db.Schedule(c)
		if !c.leave(began) {
			return
		}
	}
}

// enter claims the place for a look at what waits.
func (c *compactions) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.claim() {
		return false
	}
	c.granting++
	return true
}

// leave ends a look, and says whether another one is due. A compaction that began gives the place back by itself, and may
// have done so already.
func (c *compactions) leave(began bool) (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.granting--; c.granting == 0 {
		c.idle.Broadcast()
	}
	if began {
		return false
	}
	c.running = false
	return c.refused
}

// Register is pebble.CompactionScheduler's.
func (c *compactions) Register(_ int, db pebble.DBForCompaction) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.db = db
}

// Unregister is pebble.CompactionScheduler's.
func (c *compactions) Unregister() { c.stop() }

// TrySchedule is pebble.CompactionScheduler's.
func (c *compactions) TrySchedule() (bool, pebble.CompactionGrantHandle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.claim(), c
}

// UpdateGetAllowedWithoutPermission is pebble.CompactionScheduler's. More than one is never allowed.
func (c *compactions) UpdateGetAllowedWithoutPermission() {}

// Started is pebble.CompactionGrantHandle's.
func (c *compactions) Started() {}

// MeasureCPU is pebble.CompactionGrantHandle's.
func (c *compactions) MeasureCPU(pebble.CompactionGoroutineKind) {}

// CumulativeStats is pebble.CompactionGrantHandle's.
func (c *compactions) CumulativeStats(pebble.CompactionGrantHandleStats) {}

// Done is pebble.CompactionGrantHandle's: the next one may begin.
func (c *compactions) Done() {
	c.mu.Lock()
	c.running = false
	c.mu.Unlock()
	c.grant()
}
