package pipeline

import (
	"context"
	"fmt"

	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// HoldAnswers makes every answer uncertain that is on its way in a table that was brought back from a copy: it may have gone
// out since the copy was made, and sending it again would double it. An agent decides about each. It says how many there were,
// and may be called again when it was cut short.
func HoldAnswers(ctx context.Context, items table.Scanner, desk *store.Store) (int, error) {
	var held []string
	for from := (table.Key{}); ; {
		some, err := items.Scan(ctx, from, sweepPage)
		if err != nil {
			return 0, fmt.Errorf("look for answers on their way: %w", err)
		}
		for i := range some {
			from = some[i].Key
			entry, err := store.OnItsWay(&some[i])
			if err != nil {
				return 0, fmt.Errorf("look for answers on their way: %w", err)
			}
			if entry != "" {
				held = append(held, entry)
			}
		}
		if len(some) < sweepPage {
			break
		}
	}
	for _, entry := range held {
		if _, err := desk.Hold(ctx, entry, "the desk was restored from a copy, and the answer may have gone out after the copy was made"); err != nil {
			return 0, fmt.Errorf("hold answer %s: %w", entry, err)
		}
	}
	return len(held), nil
}
