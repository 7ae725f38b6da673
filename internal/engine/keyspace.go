package engine

import "encoding/binary"

// The first byte of every key says whose it is. One database is shared, so that one batch can hold a table write and the
// acknowledgement of the queue message that caused it; nobody touches another's keys.
const (
	PrefixItem      byte = 't' // internal/table/pebble: items by partition and sort key
	PrefixIndex     byte = 'x' // internal/table/pebble: index entries
	PrefixChange    byte = 'c' // internal/table/pebble: the change log, by number
	PrefixReader    byte = 'r' // internal/table/pebble: how far each reader of the change log has come
	PrefixQueue     byte = 'q' // internal/queue/local: messages
	PrefixQueueTime byte = 'v' // internal/queue/local: messages by when they become visible
	PrefixLedger    byte = 'l' // internal/queue/local: counters
	PrefixMeta      byte = 'm' // what the store says about itself: its format
)

// Span is the range [lower, upper) of all keys that start with prefix. upper is nil when there is no such bound.
func Span(prefix []byte) (lower, upper []byte) {
	for n := len(prefix) - 1; n >= 0; n-- {
		if prefix[n] != 0xff {
			upper = append([]byte(nil), prefix[:n+1]...)
			upper[n]++
			break
		}
	}
	return prefix, upper
}

// counterSize is the length of a counter's value: an int64, little endian.
const counterSize = 8

func encodeCounter(n int64) []byte {
	return binary.LittleEndian.AppendUint64(make([]byte, 0, counterSize), uint64(n)) //nolint:gosec // two's complement on purpose
}

func decodeCounter(b []byte) (int64, bool) {
	if len(b) != counterSize {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint64(b)), true //nolint:gosec // two's complement on purpose
}
