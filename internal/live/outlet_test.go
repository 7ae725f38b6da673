package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/store"
)

func TestFramesHoldSeveralMessagesUpToTheirSizeAndLoseNone(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 1000, batchBytes / 2, batchBytes - len("[]"), batchBytes, 3 * batchBytes} {
		var bodies [][]byte
		for i := range 20 {
			body := fmt.Appendf(nil, `{"n":%d,"text":"`, i)
			body = append(body, strings.Repeat("x", max(0, size-len(body)-len(`"}`)))+`"}`...)
			bodies = append(bodies, body)
		}
		var back []int
		for _, frame := range pack(bodies) {
			var all []struct{ N int }
			if err := json.Unmarshal(frame, &all); err != nil {
				t.Fatalf("messages of %d bytes: %v", size, err)
			}
			if len(frame) > batchBytes && len(all) > 1 {
				t.Errorf("messages of %d bytes: %d of them in a frame of %d", size, len(all), len(frame))
			}
			for _, one := range all {
				back = append(back, one.N)
			}
		}
		if len(back) != len(bodies) || !slices.IsSorted(back) {
			t.Errorf("messages of %d bytes came back as %v", size, back)
		}
	}
	if frames := pack(nil); frames != nil {
		t.Errorf("nothing became %q", frames)
	}
}

func TestMessageOverTheLimitGoesWithoutItsEntry(t *testing.T) {
	t.Parallel()
	const most = 128 << 10
	long := []byte(`{"cursor":"c","type":"entry","case":"k","entry":{"text":"` + strings.Repeat("ä", most) + `"}}`)
	kept := bytes.Clone(long)
	for _, batch := range []bool{false, true} {
		var sent []string
		o := Outlet{Batch: batch, Most: most, Send: func(_ context.Context, frame []byte) error { sent = append(sent, string(frame)); return nil }}
		if err := o.SendAll(t.Context(), [][]byte{long, []byte(`{"type":"pong"}`)}); err != nil {
			t.Fatal(err)
		}
		want := []string{`{"case":"k","cursor":"c","type":"entry"}`, `{"type":"pong"}`}
		if batch {
			want = []string{"[" + strings.Join(want, ",") + "]"}
		}
		if !slices.Equal(sent, want) {
			t.Errorf("sent %.200q, want %q", sent, want)
		}
	}
	if !bytes.Equal(long, kept) {
		t.Error("the message of the other sockets was changed")
	}
}

func TestSocketThatTakesNothingMoreIsSentNothingMore(t *testing.T) {
	t.Parallel()
	gone, sent := errors.New("gone"), 0
	o := Outlet{Send: func(context.Context, []byte) error { sent++; return gone }}
	if err := o.SendAll(t.Context(), [][]byte{[]byte("{}"), []byte("{}")}); !errors.Is(err, gone) || sent != 1 {
		t.Errorf("sent %d, %v", sent, err)
	}
}

func TestEachEntryAndCaseIsToldOnceAsItWasLastAndWhatWasNewOfIt(t *testing.T) {
	t.Parallel()
	n := func(cursor, kind, in, entry, why string) *store.Notification {
		return &store.Notification{Cursor: cursor, Type: kind, Case: in, Entry: entry, Why: why}
	}
	all := []*store.Notification{
		n("1", "entry", "k1", "e1", "changed"), n("2", "case", "k1", "", "changed"), n("3", "entry", "k1", "e2", "new_case"),
		n("4", "entry", "k1", "e1", "failed"), n("5", "case", "k2", "", "assigned"), n("6", "case", "k1", "", "changed"),
		n("7", "entry", "k1", "e2", "changed"), n("8", "entry", "k1", "e2", "changed"),
	}
	var left []string
	for _, one := range Newest(all, func(n *store.Notification) *store.Notification { return n }) {
		left = append(left, one.Cursor)
	}
	if want := []string{"3", "4", "5", "6", "8"}; !slices.Equal(left, want) {
		t.Errorf("left are %v, want %v", left, want)
	}
}
