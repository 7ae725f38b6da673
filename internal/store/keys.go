package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strconv"
	"strings"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// How things are named.
//
//	customer  26 characters: HMAC(kind, address, generation)
//	case      <customer>-k<13>: hash of the event that opened it; <customer>-m<13> when an undone merge made it
//	entry     <customer>-e<time><received><place><13>: when it happened, when we got it (9 digits in base 36 each), its place
//	          in the envelope (3 digits), and the hash of the event. Two workers on one envelope agree.
//
// A case and an entry name their partition, so that finding one needs no index. To everybody outside this file the IDs are
// opaque. Times in keys are milliseconds in fixed width, so that bytes sort as time does.

var base = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// hash is 16 bytes of HMAC-SHA256 under the deployment key over a purpose and parts, in 26 characters.
func (s *Store) hash(purpose string, parts ...string) string {
	mac := hmac.New(sha256.New, s.key)
	mac.Write([]byte(purpose))
	for _, p := range parts {
		var length [8]byte
		n := len(p)
		for i := range length {
			length[i] = byte(n >> (8 * i))
		}
		mac.Write(length[:])
		mac.Write([]byte(p))
	}
	return base.EncodeToString(mac.Sum(nil)[:16])
}

func (s *Store) short(purpose string, parts ...string) string { return s.hash(purpose, parts...)[:13] }

func (s *Store) customerID(a msg.Address, generation int) string {
	return s.hash("customer", a.Kind, a.Value, strconv.Itoa(generation))
}

// entryID names an entry. Messengers tell time in seconds, so many entries have the same: those stand in the order in which
// they were received, and as their envelope tells them. What we say ourselves (place maxPlace) stands behind what came in the
// same millisecond: it answers it.
func entryID(customer string, sort, received msg.Time, place int, hash string) string {
	return customer + "-e" + base36(sort) + base36(received) + digits36(int64(min(place, maxPlace)), placeLen) + hash
}

const (
	placeLen = 3
	maxPlace = 36*36*36 - 1
	tailLen  = 9 + placeLen + 13
)

// base36 is a time in nine digits: enough until the year 5188.
func base36(t msg.Time) string { return digits36(max(int64(t), 0), 9) }

func digits36(n int64, width int) string {
	d := strconv.FormatInt(n, 36)
	return strings.Repeat("0", max(0, width-len(d))) + d
}

const customerLen = 26

// entryKey finds an entry by its ID.
func entryKey(id string) (table.Key, error) {
	if len(id) != customerLen+2+9+tailLen || id[customerLen:customerLen+2] != "-e" || !plain(id) {
		return table.Key{}, missing("entry", id)
	}
	at, err := strconv.ParseInt(id[customerLen+2:customerLen+11], 36, 64)
	if err != nil {
		return table.Key{}, missing("entry", id)
	}
	return table.Key{PK: "C#" + id[:customerLen], SK: entrySK(msg.Time(at), id)}, nil
}

func entrySK(sort msg.Time, id string) string {
	return "E#" + millis(sort) + "#" + id[customerLen+11:]
}

// millis is a time as keys hold it.
func millis(t msg.Time) string { return fmt.Sprintf("%015d", max(int64(t), 0)) }

// caseKey finds a case by its ID.
func caseKey(id string) (table.Key, error) {
	if len(id) != customerLen+2+13 || id[customerLen] != '-' || id[customerLen+1] != 'k' && id[customerLen+1] != 'm' || !plain(id) {
		return table.Key{}, missing("case", id)
	}
	return table.Key{PK: "C#" + id[:customerLen], SK: "K#" + id[customerLen+1:]}, nil
}

// CustomerOf is the customer in whose partition a case or an entry lies, "" for something that is neither.
func CustomerOf(id string) string {
	if len(id) <= customerLen || id[customerLen] != '-' {
		return ""
	}
	return id[:customerLen]
}

func customerKey(id string) (table.Key, error) {
	if len(id) != customerLen || !plain(id) {
		return table.Key{}, missing("customer", id)
	}
	return table.Key{PK: "C#" + id, SK: "A"}, nil
}

func plain(id string) bool {
	for i := range len(id) {
		if c := id[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return true
}

func missing(what, id string) error {
	if len(id) > 80 {
		id = id[:80] + "…"
	}
	return fault.Newf(fault.Missing, "not_found", "there is no %s %q", what, id)
}

func (s *Store) identityKey(a msg.Address) table.Key {
	return table.Key{PK: "I#" + s.hash("identity", a.Kind, a.Value), SK: "A"}
}

// keptKey is where an address of a customer stands that the profile does not hold.
func (s *Store) keptKey(customer string, a msg.Address) table.Key {
	return table.Key{PK: "C#" + customer, SK: "I#" + s.hash("identity", a.Kind, a.Value)}
}

// markerKey is where it is remembered that something was done once on a case: with its customer, so that it goes with them.
func (s *Store) markerKey(purpose, caseID, name string) table.Key {
	return table.Key{PK: "C#" + CustomerOf(caseID), SK: "Y#" + s.hash(purpose, caseID, name)}
}

// externalKey is where the external ID of an object on a channel is remembered. Scope is the provider's own account ID.
func (s *Store) externalKey(channel, scope, id string) table.Key {
	return table.Key{PK: "X#" + s.hash("external", channel, scope, id), SK: "A"}
}

// messageIDKey is the partition of the entries with a Message-ID: several may share one, because a stranger can reuse it.
func (s *Store) messageIDKey(messageID string) string {
	return "H#" + s.hash("message-id", messageID)
}

func referenceKey(reference string) table.Key { return table.Key{PK: "R#" + reference, SK: "A"} }

func (s *Store) replyTokenKey(token string) table.Key {
	return table.Key{PK: "R#token#" + s.hash("reply-token-key", token), SK: "A"}
}

// ReplyToken is the secret part of the address that answers to a case come back to: 128 bits, bound to case and channel.
func (s *Store) ReplyToken(channel, caseID string) string {
	return s.hash("reply-token", channel, caseID)
}

// reference is what people call a case: eight letters and digits that are not mistaken for each other on the phone. Salt
// counts up in the rare case that two cases would be called the same.
func (s *Store) reference(caseID string, salt int) string {
	const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	sum := hmac.New(sha256.New, s.key)
	sum.Write([]byte("reference\x00" + caseID + "\x00" + strconv.Itoa(salt)))
	bytes := sum.Sum(nil)
	out := make([]byte, 0, 9)
	for i := range 8 {
		if i == 4 {
			out = append(out, '-')
		}
		out = append(out, alphabet[bytes[i]&31])
	}
	return string(out)
}
