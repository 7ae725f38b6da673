package pipeline

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

func TestMessageCountsHowOftenItWasPutOffAndSaysTheSameOtherwise(t *testing.T) {
	t.Parallel()
	envelope, err := encode(&channel.Envelope{ID: "e1", Channel: "whatsapp", Account: "main", Body: []byte("{\"put_off\":7,\n\"x\":1}")})
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{
		"an envelope": string(envelope), "a wake-up": `{"entry":"e"}`, "a file": `{"entry":"e","part":1,"try":2}`,
		"what SNS hands on": "{\n  \"Type\" : \"Notification\",\n  \"Message\" : \"{}\"\n}",
	} {
		now := []byte(body)
		for n := 1; n <= 3; n++ {
			var times int
			if now, times = countedOff(now); times != n {
				t.Fatalf("%s: put off %d times, want %d", name, times, n)
			}
		}
		if got := strings.Replace(string(now), `"put_off":3,`, "", 1); got != body {
			t.Errorf("%s became %q", name, got)
		}
		head, _, _ := bytes.Cut(now, []byte("\n\"x"))
		if name != "an envelope" && !json.Valid(head) {
			t.Errorf("%s is no JSON any more: %s", name, now)
		}
	}
	e, err := decode(first(countedOff(envelope)))
	if err != nil || e.ID != "e1" || string(e.Body) != "{\"put_off\":7,\n\"x\":1}" {
		t.Errorf("the envelope became %+v, %v", e, err)
	}
}

func first(b []byte, _ int) []byte { return b }

func TestLoopOfPuttingOffEnds(t *testing.T) {
	t.Parallel()
	body := []byte(`{"entry":"e"}`)
	for range putOffMost {
		var times int
		if body, times = countedOff(body); times > putOffMost {
			t.Fatalf("it ends after %d rounds", times)
		}
	}
	if _, times := countedOff(body); times <= putOffMost {
		t.Errorf("it goes on after %d rounds", times)
	}
	for _, odd := range []string{"", "{", "{}", "[]", "text", `{1:2}`, "{\"put_off\":1,}"} {
		if got, times := countedOff([]byte(odd)); times <= putOffMost || string(got) != odd {
			t.Errorf("%q is put off as %q", odd, got)
		}
	}
}

func TestMailIsReceivedWhenItsProviderTookItUnlessThatCannotBe(t *testing.T) {
	t.Parallel()
	sent := msg.TimeOf(time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC))
	for name, c := range map[string]struct{ said, want msg.Time }{
		"a minute before":  {sent.Add(-time.Minute), sent.Add(-time.Minute)},
		"after 18 days":    {sent.Add(-18 * 24 * time.Hour), sent.Add(-18 * 24 * time.Hour)},
		"before any queue": {sent.Add(-18*24*time.Hour - 1e6), sent},
		"in the future":    {sent.Add(time.Second), sent},
		"nothing":          {0, sent},
	} {
		if got := (&MailNotice{At: c.said}).takenAt(sent); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
