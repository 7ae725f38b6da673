package local

import (
	"testing"

	"github.com/aikajana/aikajana/internal/msg"
)

func FuzzRecordRoundTrip(f *testing.F) {
	f.Add(uint8(0), int64(0), int64(0), "")
	f.Add(uint8(5), int64(1_800_000_000_000), int64(-1), "email/main")
	f.Fuzz(func(t *testing.T, attempts uint8, visibleAt, sentAt int64, name string) {
		e := &entry{group: &group{name: name}, sentAt: msg.Time(sentAt)}
		got, err := decodeRecord(e.recordOf(attempts, msg.Time(visibleAt)))
		if want := (record{attempts, msg.Time(visibleAt), msg.Time(sentAt), name}); err != nil || got != want {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func FuzzHandle(f *testing.F) {
	for _, seed := range []string{"", ".", "1.1", "ff.256", "-1.1", "1.1.1", "ffffffffffffffff.5", "c0cf47cf-552b#f1a8"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, handle string) {
		seq, attempts, ok := parseHandle(handle)
		if !ok {
			return
		}
		e := &entry{seq: seq, group: &group{}}
		again, n, ok := parseHandle(e.message(nil, attempts).Handle)
		if again != seq || n != attempts || !ok {
			t.Errorf("%q was read as %x.%d, and that as %x.%d", handle, seq, attempts, again, n)
		}
	})
}

func TestRecordOfALaterVersionIsNotGuessedAt(t *testing.T) {
	t.Parallel()
	b := (&entry{group: &group{name: "email/main"}}).record()
	for _, broken := range [][]byte{nil, b[:recordHead-1], append([]byte{recordVersion + 1}, b[1:]...)} {
		if r, err := decodeRecord(broken); err == nil {
			t.Errorf("read %x as %+v", broken, r)
		}
	}
}
