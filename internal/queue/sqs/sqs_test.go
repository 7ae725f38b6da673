package sqs

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/queue"
)

func TestRequestsHoldTenMessagesAndOneMebibyteAtMost(t *testing.T) {
	t.Parallel()
	var got []string
	small := strings.Repeat("s", 25)
	entries := strings.Split(small, "")
	for batch := range batches(entries, func(string) int { return 1 }) {
		got = append(got, strings.Join(batch, ""))
	}
	if want := []string{small[:10], small[:10], small[:5]}; !slices.Equal(got, want) {
		t.Errorf("cut %d small ones into %q", len(entries), got)
	}
	var sizes [][]int
	for batch := range batches([]int{queue.MaxBody, 1, queue.MaxBody - 1, 1, queue.MaxBody}, func(n int) int { return n }) {
		sizes = append(sizes, batch)
	}
	want := [][]int{{queue.MaxBody}, {1, queue.MaxBody - 1}, {1}, {queue.MaxBody}}
	if !slices.EqualFunc(sizes, want, slices.Equal[[]int]) {
		t.Errorf("cut large ones into %v, want %v", sizes, want)
	}
}

func TestDurationsAreRoundedUpToSeconds(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int32{0: 0, -time.Second: 0, 1: 1, time.Second: 1, time.Second + 1: 2, queue.MaxDelay: 900} {
		if got := seconds(d); got != want {
			t.Errorf("%s is %d seconds, want %d", d, got, want)
		}
	}
}
