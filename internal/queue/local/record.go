package local

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
)

// The kinds of key of a queue, all under 'q', the queue's name and a zero byte. One range holds them all, so that one pass
// over it sees messages and counters of one moment.
const (
	kindBody    byte = 'b' // + number: the body
	kindCounter byte = 'c' // + counter, + group: a counter
	kindDead    byte = 'd' // + number: the record of a dead letter
	kindRecord  byte = 'r' // + number: the record of a message
)

const (
	counterAccepted  byte = 'a'
	counterProcessed byte = 'p'
)

// keys makes the keys of one queue.
type keys struct{ prefix string }

func newKeys(name string) keys { return keys{string(engine.PrefixQueue) + name + "\x00"} }

// of is the key of a message's body or record. Numbers are big endian: older messages first.
func (k keys) of(kind byte, seq uint64) []byte {
	b := make([]byte, 0, len(k.prefix)+9)
	b = append(append(b, k.prefix...), kind)
	return binary.BigEndian.AppendUint64(b, seq)
}

func (k keys) counter(counter byte, group string) []byte {
	return append(append(append([]byte(nil), k.prefix...), kindCounter, counter), group...)
}

// seqOf reads the number at the end of a key.
func seqOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// scan calls f for every message key of a kind, oldest first, until it returns false.
func (q *Queue) scan(kind byte, f func(seq uint64, value []byte) bool) error {
	lower, upper := engine.Span(append([]byte(q.keys.prefix), kind))
	return q.db.Scan(lower, upper, false, func(key, value []byte) bool { return f(seqOf(key), value) })
}

// record is a message's record, decoded.
type record struct {
	attempts          uint8
	visibleAt, sentAt msg.Time
	group             string
}

// recordVersion is the first byte of every record; recordHead what comes before the group.
const (
	recordVersion = 1
	recordHead    = 1 + 1 + 8 + 8
)

// recordOf is the entry's record with other attempts and visibility.
func (e *entry) recordOf(attempts uint8, visibleAt msg.Time) []byte {
	b := make([]byte, 0, recordHead+len(e.group.name))
	b = append(b, recordVersion, attempts)
	b = binary.BigEndian.AppendUint64(b, uint64(visibleAt)) //nolint:gosec // there and back
	b = binary.BigEndian.AppendUint64(b, uint64(e.sentAt))  //nolint:gosec // there and back
	return append(b, e.group.name...)
}

func (e *entry) record() []byte { return e.recordOf(e.attempts, e.at) }

var errRecord = errors.New("its record in the store cannot be read: restore a backup, or start with a newer version of the program")

func decodeRecord(b []byte) (record, error) {
	if len(b) < recordHead || b[0] != recordVersion {
		return record{}, errRecord
	}
	return record{
		attempts:  b[1],
		visibleAt: msg.Time(binary.BigEndian.Uint64(b[2:])),  //nolint:gosec // there and back
		sentAt:    msg.Time(binary.BigEndian.Uint64(b[10:])), //nolint:gosec // there and back
		group:     string(b[recordHead:]),
	}, nil
}

// message is a delivery of the entry.
func (e *entry) message(body []byte, attempt uint8) queue.Message {
	id := idOf(e.seq)
	return queue.Message{
		ID: id, Handle: fmt.Sprintf("%s.%d", id, attempt), Body: body, Group: e.group.name, Attempt: int(attempt), SentAt: e.sentAt,
	}
}

func idOf(seq uint64) string { return strconv.FormatUint(seq, 16) }

// parseHandle reverses what message makes. ok is false for a handle that is not this queue's kind.
func parseHandle(handle string) (seq uint64, attempts uint8, ok bool) {
	id, attempt, found := strings.Cut(handle, ".")
	seq, err1 := strconv.ParseUint(id, 16, 64)
	n, err2 := strconv.ParseUint(attempt, 10, 8)
	return seq, uint8(n), found && err1 == nil && err2 == nil
}
