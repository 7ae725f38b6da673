package msg_test

import (
	"testing"

	"github.com/aikajana/aikajana/internal/msg"
)

// TestADeliveryStateOnlyMovesForward is the whole table of invariant I7: a letter in row s and column r says that a receipt
// of r changes s to r.
func TestADeliveryStateOnlyMovesForward(t *testing.T) {
	t.Parallel()
	states := []msg.State{msg.Pending, msg.Sending, msg.Uncertain, msg.Accepted, msg.Sent, msg.Delayed, msg.Delivered, msg.Read, msg.Failed}
	table := map[msg.State]string{
		msg.Pending:   ".xxxxxxxx",
		msg.Sending:   "..xxxxxxx",
		msg.Uncertain: "...xxxxxx",
		msg.Accepted:  "....xxxxx",
		msg.Sent:      ".....xxxx",
		msg.Delayed:   "......xxx",
		msg.Delivered: ".......xx",
		msg.Read:      ".........",
		msg.Failed:    "......xx.",
	}
	for _, s := range states {
		for i, r := range states {
			next, moved := s.Next(r)
			if want := table[s][i] == 'x'; moved != want || moved && next != r || !moved && next != s {
				t.Errorf("%s after %s: %s, %v", r, s, next, moved)
			}
		}
	}
	for _, odd := range []msg.State{"", msg.Received, "played"} {
		if _, moved := msg.Accepted.Next(odd); moved {
			t.Errorf("accepted became %q", odd)
		}
		if _, moved := odd.Next(msg.Read); moved {
			t.Errorf("%q became read", odd)
		}
	}
}
