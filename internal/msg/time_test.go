package msg_test

import (
	"encoding/json"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/msg"
)

func TestEveryTimeCanBeReadBackAndOneOutOfTheCalendarIsNotKnown(t *testing.T) {
	t.Parallel()
	check := func(at msg.Time) (msg.Time, error) {
		b, err := json.Marshal(at)
		if err != nil {
			return 0, err
		}
		var back msg.Time
		return back, json.Unmarshal(b, &back)
	}
	for at, want := range map[msg.Time]msg.Time{
		0: 0, 1: 1, -1: -1, 253402300799999: 253402300799999, 253402300800000: 0, -62135596799999: -62135596799999, -62135596800001: 0,
		math.MaxInt64: 0, math.MinInt64: 0,
	} {
		if got, err := check(at); err != nil || got != want {
			t.Errorf("%d came back as %d, %v", at, got, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		at := msg.Time(rapid.Int64().Draw(t, "at"))
		if got, err := check(at); err != nil || got != at && got != 0 {
			t.Fatalf("%d came back as %d, %v", at, got, err)
		}
	})
}
