package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/aikajana/aikajana/internal/engine"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// The indexes by their codes on disk, which never change. Code 0 orders items by their expiry.
var indexes = [...]table.Index{table.WorkList, table.Due}

const expiryIndex byte = 0

func indexCode(i table.Index) byte {
	if i == table.WorkList {
		return 1
	}
	return 2
}

func indexPrefix(i table.Index) []byte { return []byte{engine.PrefixIndex, indexCode(i)} }

var errEncoding = errors.New("the store is damaged: restore a backup")

// appendEscapedPart appends s so that bytes keep their order and 0 0, 0 1 and 0 2 never occur.
func appendEscapedPart(b []byte, s string) []byte {
	for {
		n := indexZero(s)
		if n < 0 {
			return append(b, s...)
		}
		b = append(b, s[:n]...)
		b = append(b, 0, 0xff)
		s = s[n+1:]
	}
}

func indexZero(s string) int {
	for n := range len(s) {
		if s[n] == 0 {
			return n
		}
	}
	return -1
}

// appendEscaped appends s and its end, which sorts before anything that could follow in a longer string.
func appendEscaped(b []byte, s string) []byte { return append(appendEscapedPart(b, s), 0, 1) }

// cutEscaped undoes appendEscaped and returns what follows.
func cutEscaped(b []byte) (s string, rest []byte, err error) {
	end := bytes.Index(b, []byte{0, 1})
	if end < 0 {
		return "", nil, fmt.Errorf("key part %q has no end: %w", b, errEncoding)
	}
	return string(bytes.ReplaceAll(b[:end], []byte{0, 0xff}, []byte{0})), b[end+2:], nil
}

func appendKey(b []byte, k table.Key) []byte { return append(appendEscaped(b, k.PK), k.SK...) }

func decodeKey(b []byte) (table.Key, error) {
	pk, sk, err := cutEscaped(b)
	return table.Key{PK: pk, SK: string(sk)}, err
}

func itemKey(k table.Key) []byte {
	return appendKey(append(make([]byte, 0, len(k.PK)+len(k.SK)+8), engine.PrefixItem), k)
}

func decodeItemKey(b []byte) (table.Key, error) { return decodeKey(b[1:]) }

func entryKey(i table.Index, place, item table.Key) []byte {
	b := appendEscaped(indexPrefix(i), place.PK)
	return appendKey(appendEscaped(b, place.SK), item)
}

func expiryKey(seconds uint64, item table.Key) []byte {
	return appendKey(binary.BigEndian.AppendUint64([]byte{engine.PrefixIndex, expiryIndex}, seconds), item)
}

// decodeEntry reads what follows the partition in an index entry.
func decodeEntry(i table.Index, pk string, key, value []byte) (table.Item, error) {
	sk, rest, err := cutEscaped(key)
	if err != nil {
		return table.Item{}, err
	}
	item, err := decodeKey(rest)
	if err != nil {
		return table.Item{}, err
	}
	expires, n := binary.Uvarint(value)
	if n <= 0 {
		return table.Item{}, fmt.Errorf("entry of index %s for %s: %w", i, item, errEncoding)
	}
	return table.Item{Key: item, Index: map[table.Index]table.Key{i: {PK: pk, SK: sk}}, Expires: fromSeconds(expires)}, nil
}

// seconds rounds up, so that nothing expires early.
func seconds(t msg.Time) uint64 {
	if t <= 0 {
		return 0
	}
	return (uint64(t) + 999) / 1000
}

func fromSeconds(s uint64) msg.Time { return msg.Time(s * 1000) } //nolint:gosec // what seconds made

// itemVersion is the first byte of every item.
const itemVersion = 1

// encodeItem writes: version, revision, expiry in seconds, number of index entries, each of them (code, PK, SK), body. Numbers
// are varints; strings have their length before them.
func encodeItem(i *table.Item, rev int64) []byte {
	b := make([]byte, 0, i.Size())
	b = append(b, itemVersion)
	b = binary.AppendVarint(b, rev)
	b = binary.AppendUvarint(b, seconds(i.Expires))
	b = append(b, byte(len(i.Index)))
	for _, index := range indexes {
		if place, ok := i.Index[index]; ok {
			b = append(b, indexCode(index))
			b = appendString(b, place.PK)
			b = appendString(b, place.SK)
		}
	}
	return append(b, i.Body...)
}

// header is an item without its body.
type header struct {
	rev     int64
	expires msg.Time
	places  [len(indexes)]table.Key // by code - 1; the zero Key is none
}

func (h *header) index(i table.Index) (table.Key, bool) {
	k := h.places[indexCode(i)-1]
	return k, k != table.Key{}
}

func decodeHeader(k table.Key, b []byte) (header, error) {
	h, _, err := split(k, b)
	return h, err
}

func split(k table.Key, b []byte) (h header, body []byte, err error) {
	r := reader{b: b}
	if r.byte() != itemVersion {
		r.bad = true
	}
	h.rev = r.varint()
	h.expires = fromSeconds(r.uvarint())
	for range r.byte() {
		code := int(r.byte())
		place := table.Key{PK: r.string(), SK: r.string()}
		if code < 1 || code > len(indexes) {
			r.bad = true
			break
		}
		h.places[code-1] = place
	}
	if r.bad {
		return header{}, nil, fmt.Errorf("item %s cannot be read: %w", k, errEncoding)
	}
	return h, r.b, nil
}

// decodeItem reads an item and keeps b.
func decodeItem(k table.Key, b []byte) (table.Item, error) {
	h, body, err := split(k, b)
	if err != nil {
		return table.Item{}, err
	}
	i := table.Item{Key: k, Rev: h.rev, Body: body, Expires: h.expires}
	for _, index := range indexes {
		if place, ok := h.index(index); ok {
			if i.Index == nil {
				i.Index = make(map[table.Index]table.Key, len(indexes))
			}
			i.Index[index] = place
		}
	}
	return i, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte { return append(binary.AppendUvarint(b, uint64(len(s))), s...) }

// reader takes values off the front of b; bad says that it came to an end too early.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

func (r *reader) string() string { return string(r.bytes()) }
