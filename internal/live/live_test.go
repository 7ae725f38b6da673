package live_test

import (
	"encoding/json"
	"testing"

	"github.com/aikajana/aikajana/internal/live"
)

func FuzzSocketAnswersAnyFrame(f *testing.F) {
	for _, seed := range []string{"", "{", `{"type":"ping"}`, `{"type":{"a":[1]}}`, "\xff\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		var said struct{ Type string }
		if err := json.Unmarshal(live.Answer(frame), &said); err != nil || said.Type != "pong" && said.Type != "error" {
			t.Fatalf("%q is answered by %q", frame, said.Type)
		}
	})
}

func FuzzCursorOfAClientIsAPlaceOrNone(f *testing.F) {
	for _, seed := range []string{"", "=", "MQ", live.Cursor("2026-11-23T08:00:00.000Z#e1")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		place, ok := live.Place(cursor)
		if ok && live.Cursor(place) != cursor {
			t.Fatalf("%q stands for %q, whose cursor is another", cursor, place)
		}
	})
}
