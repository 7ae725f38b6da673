package pipeline_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
)

func TestATextTooLongForAnItemIsCutAndKeptWhole(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("määrä ", 80<<10)
	for name, send := range map[string]func(d *desk){
		"a message":             func(d *desk) { d.send(d.graph.Text(maija, long).ID("w1")) },
		"an edit":               func(d *desk) { d.send(d.graph.Text(maija, "hei").ID("w1")); d.send(d.graph.Edit(maija, "w1", long)) },
		"an edit that is early": func(d *desk) { d.send(d.graph.Edit(maija, "w1", long)); d.send(d.graph.Text(maija, "hei").ID("w1")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t)
			send(d)
			entries, _, err := d.Store.Timeline(t.Context(), d.customer(maija).Customer, store.Page{})
			must(t, err)
			if list, _, err := d.Store.QuarantineList(t.Context(), store.Page{}, false); err != nil || len(list) > 0 {
				t.Fatalf("quarantine: %+v, %v", list, err)
			}
			if len(entries) != 1 || !strings.HasPrefix(long, strings.TrimSuffix(entries[0].Message.Text, "…")) || len(entries[0].Message.Text) < 10_000 {
				t.Fatalf("%d entries", len(entries))
			}
			r, _, err := d.Blobs.Get(t.Context(), entries[0].Message.Body, 0, 0)
			must(t, err)
			body, err := io.ReadAll(r)
			must(t, err)
			must(t, r.Close())
			whole := new(msg.Event)
			must(t, json.Unmarshal(body, whole))
			if whole.Edit != nil {
				whole.Message = &whole.Edit.Message
			}
			if whole.Message.Text != long {
				t.Errorf("%d bytes of %d are kept", len(whole.Message.Text), len(long))
			}
		})
	}
}
