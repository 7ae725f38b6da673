package terminal_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/terminal"
	"github.com/aikajana/aikajana/internal/timeline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func at(t *testing.T, text string) msg.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return msg.TimeOf(when)
}

// story is a timeline that holds one of everything that is drawn in a way of its own.
func story(t *testing.T) []*timeline.Entry {
	t.Helper()
	maija := msg.Address{Kind: "whatsapp.phone", Value: "358401234567", Name: "Maija Meikäläinen"}
	entry := func(when string, e timeline.Entry) *timeline.Entry {
		e.Sort = at(t, when)
		e.ReceivedAt, e.StoredAt, e.ChangedAt = e.Sort, e.Sort, e.Sort
		if e.Kind == "" {
			e.Kind = msg.KindMessage
		}
		if e.Direction == "" {
			e.Direction = msg.In
		}
		if e.Direction == msg.In && e.From.Value == "" {
			e.From = maija
		}
		if e.Channel == "" {
			e.Channel = "whatsapp"
		}
		if e.Case == "" {
			e.Case = "k1"
		}
		return &e
	}
	event := func(e msg.Event) msg.Event { return e }
	text := func(s string) *msg.Message { return &msg.Message{Text: s} }

	picture := entry("2026-11-22T08:01:00Z", timeline.Entry{Event: event(msg.Event{Message: &msg.Message{Parts: []msg.Part{
		{Kind: msg.PartImage, Text: "Näin se tuli perille 😢", Media: &msg.Media{Name: "lamppu.jpg", Size: 1234567, State: msg.MediaStored}},
		{Kind: msg.PartVoice, Media: &msg.Media{Size: 4200}},
		{Kind: msg.PartFile, Media: &msg.Media{Name: "kuitti.pdf", State: msg.MediaFailed, Error: "gone at the provider"}},
	}}})})
	edited := entry("2026-11-22T08:02:00Z", timeline.Entry{Event: event(msg.Event{Message: text("Tilausnumero on 1055")}),
		Edits: []timeline.Version{{Message: msg.Message{Text: "Tilausnumero on 1505"}}}, Reactions: []timeline.Reaction{{From: msg.Address{Value: "x", Name: "Aino"}, Emoji: "👍"}}})
	removed := entry("2026-11-22T08:03:00Z", timeline.Entry{Event: event(msg.Event{Message: text("väärä ikkuna")}), Removed: at(t, "2026-11-22T08:04:00Z")})
	late := entry("2026-11-22T08:05:00Z", timeline.Entry{Event: event(msg.Event{Message: text("Oletteko siellä?")}), Late: true})
	late.ReceivedAt = at(t, "2026-11-22T09:15:00Z")
	read := entry("2026-11-22T08:06:00Z", timeline.Entry{Event: event(msg.Event{Direction: msg.Out, Message: text("Hei Maija, katson heti. Lähetämme uuden lampun jo tänään, eikä rikkinäistä tarvitse palauttaa.")}), Agent: "aino", State: msg.Read})
	note := entry("2026-11-22T08:07:00Z", timeline.Entry{Event: event(msg.Event{Kind: msg.KindNote, Direction: msg.Out, Message: text("Sama vika kolmella muulla tällä viikolla.\nKysytty varastolta.")}), Agent: "aino"})
	failed := entry("2026-11-23T08:00:00Z", timeline.Entry{Event: event(msg.Event{Direction: msg.Out, Message: text("Onko uusi lamppu kunnossa?")}), Agent: "eero", State: msg.Failed,
		Failure: &msg.ReceiptCode{Code: "131047", Title: "More than 24 hours have passed since the customer last replied"}})
	pending := entry("2026-11-23T08:01:00Z", timeline.Entry{Event: event(msg.Event{Direction: msg.Out, Message: text("Kokeilemme sähköpostia.")}), Agent: "eero", State: msg.Pending,
		Delivery: &timeline.Delivery{Cause: "no relay is configured"}})
	uncertain := entry("2026-11-23T08:02:00Z", timeline.Entry{Event: event(msg.Event{Direction: msg.Out, Message: text("Tässä linkki.")}), Agent: "aino", State: msg.Uncertain,
		Delivery: &timeline.Delivery{Cause: "the connection ended before the provider answered"}})
	mail := entry("2026-11-23T10:00:00Z", timeline.Entry{Event: event(msg.Event{Channel: "email", From: msg.Address{Kind: "email.unverified", Value: "maija@posti.example"}, Message: &msg.Message{
		Subject: "Re: Lamppu", Text: "Moi,\n\nkiitos, lamppu toimii! Onko teillä samanlaista mustana? 家族👨‍👩‍👧‍👦 laittaa terveisiä — ja tässä on hyvin pitkä sana: " + strings.Repeat("x", 130),
		Quoted: "> Hei\n> Onko kunnossa?\n> Aino", Parts: []msg.Part{{Kind: msg.PartLink, Text: "musta lamppu", URL: "https://kauppa.example/lamppu?vari=musta"}}}}),
		Unverified: true, Case: "k2"})
	mail.Time = at(t, "2026-11-20T10:00:00Z")
	form := entry("2026-11-23T11:00:00Z", timeline.Entry{Event: event(msg.Event{Channel: "form", Message: &msg.Message{Subject: "Palaute", Text: "Hyvä palvelu", Parts: []msg.Part{
		{Kind: msg.PartForm, Form: []msg.Field{{Name: "Tilausnumero", Value: "1055"}, {Name: "Arvosana", Value: "5"}}}, {Kind: msg.PartChoice, Text: "Kyllä"},
		{Kind: msg.PartLocation, Location: &msg.Location{Latitude: 60.1699, Longitude: 24.9384, Name: "Rautatientori"}}, {Kind: msg.PartRaw, Raw: json.RawMessage(`{"hologram":{"id":7}}`)}}}}), Case: "k3"})
	call := entry("2026-11-23T12:00:00Z", timeline.Entry{Event: event(msg.Event{Channel: "phone", Kind: msg.KindCall, Call: &msg.Call{State: "answered", Direction: msg.In, DurationS: 192, Transcript: "Hei, soitan lampusta."}}), Case: "k3"})
	signal := entry("2026-11-23T12:30:00Z", timeline.Entry{Event: event(msg.Event{Channel: "webhook", Kind: msg.KindSignal, Signal: &msg.Signal{Type: "temperature", Source: "lamp-17", Data: json.RawMessage(`{"celsius":81}`)}}), Case: "k3"})
	return []*timeline.Entry{
		entry("2026-11-22T08:00:00Z", timeline.Entry{Event: event(msg.Event{Message: text("Hei! Tilaamani lamppu saapui rikki. Mitä teen?")})}),
		picture, edited, removed, late, read, note, failed, pending, uncertain, mail, form, call, signal,
	}
}

func draw(t *testing.T, o terminal.Options) string {
	t.Helper()
	helsinki := time.FixedZone("Helsinki", 2*60*60)
	o.Location = helsinki
	o.Marks = map[string]string{"whatsapp": "◉", "email": "✉", "form": "▤", "webhook": "⇥"}
	o.Agents = map[string]string{"aino": "Aino Virtanen", "eero": "Eero Mäki"}
	o.Cases = map[string]terminal.CaseName{
		"k1": {Reference: "7KQ2-M9XD", Subject: "Lamppu rikki"}, "k2": {Reference: "ABCD-1234"}, "k3": {Reference: "QW12-ZX98", Subject: "Palaute"},
	}
	var out bytes.Buffer
	s := terminal.New(&out, o)
	s.Person(terminal.Person{Name: "Maija Meikäläinen", Addresses: []msg.Address{{Kind: "whatsapp.phone", Value: "358401234567"}, {Kind: "email.unverified", Value: "maija@posti.example"}},
		Cases: []terminal.PersonCase{{Reference: "7KQ2-M9XD", Subject: "Lamppu rikki", State: "open", Agent: "aino", Due: at(t, "2026-11-23T09:00:00Z")}, {Reference: "QW12-ZX98", State: "solved"}}, Suggested: 1})
	entries := story(t)
	for _, e := range entries {
		s.Entry(e)
	}
	delivered := *entries[8]
	delivered.State, delivered.ChangedAt = msg.Delivered, at(t, "2026-11-23T13:00:00Z")
	s.Changed(&delivered)
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return out.String()
}

func TestTimelineLooksAsItWasLastReadByAPerson(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]terminal.Options{
		"width-60": {Width: 60}, "width-100": {Width: 100}, "width-40-ascii": {Width: 40, ASCII: true}, "width-80-color": {Width: 80, Color: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, path := draw(t, o), filepath.Join("testdata", name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("it looks different (-want +got); read it, then go test ./internal/terminal -update\n%s", diff)
			}
		})
	}
}

func TestNoLineIsWiderThanTheScreen(t *testing.T) {
	t.Parallel()
	for _, width := range []int{40, 41, 59, 60, 80, 200} {
		for _, ascii := range []bool{false, true} {
			for _, line := range strings.Split(draw(t, terminal.Options{Width: width, ASCII: ascii}), "\n") {
				if n := ansi.StringWidth(line); n > width {
					t.Errorf("at %d columns (ASCII %v) a line takes %d: %q", width, ascii, n, line)
				}
			}
		}
	}
}

func TestWithoutUTF8EverythingIsASCII(t *testing.T) {
	t.Parallel()
	got := draw(t, terminal.Options{Width: 80, ASCII: true})
	for _, r := range got {
		if r >= utf8.RuneSelf {
			t.Fatalf("it holds %q:\n%s", r, got)
		}
	}
	if !strings.Contains(got, "Maija Meikalainen") {
		t.Errorf("accents went with their letters:\n%s", got)
	}
}

func TestColoursOnlyWhenAskedFor(t *testing.T) {
	t.Parallel()
	if got := draw(t, terminal.Options{Width: 80}); strings.Contains(got, "\x1b") {
		t.Error("without colours there are escape sequences")
	}
	if got := draw(t, terminal.Options{Width: 80, Color: true}); !strings.Contains(got, "\x1b[") {
		t.Error("with colours there are none")
	}
}
