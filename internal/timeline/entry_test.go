package timeline_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/timeline"
)

var start = msg.TimeOf(time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC))

func answer() *timeline.Entry {
	return &timeline.Entry{
		Event: msg.Event{Kind: msg.KindMessage, Direction: msg.Out, Message: &msg.Message{Text: "a"}},
		State: msg.Accepted, Delivery: &timeline.Delivery{},
	}
}

// anEvent is an edit, removal, reaction or receipt. Words are few, so that the same text and emoji come back.
func anEvent(at msg.Time) *rapid.Generator[msg.Event] {
	return rapid.Custom(func(t *rapid.T) msg.Event {
		word := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "word")
		ev := msg.Event{Time: at, From: msg.Address{Kind: "k", Value: word}}
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			ev.Kind, ev.Removal = msg.KindRemoval, &msg.Removal{}
		case 1, 2, 3:
			ev.Kind, ev.Edit = msg.KindEdit, &msg.Edit{Message: msg.Message{Text: word}}
		case 4, 5, 6:
			emoji := rapid.SampledFrom([]string{"", "👍", "❤"}).Draw(t, "emoji")
			ev.Kind, ev.Reaction = msg.KindReaction, &msg.Reaction{Emoji: emoji}
		default:
			state := rapid.SampledFrom([]msg.State{msg.Sent, msg.Delayed, msg.Delivered, msg.Read}).Draw(t, "state")
			ev.Kind, ev.Receipt = msg.KindReceipt, &msg.Receipt{State: state, Recipient: word}
		}
		return ev
	})
}

func apply(events []msg.Event) *timeline.Entry {
	e := answer()
	for i := range events {
		e.Apply(&events[i], start)
	}
	slices.SortFunc(e.Reactions, func(a, b timeline.Reaction) int { return strings.Compare(a.From.Key(), b.From.Key()) })
	return e
}

func TestAnEntryDoesNotDependOnTheOrderOrTheRepetitionOfWhatIsSaidOfIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "n")
		var events []msg.Event
		for i := range n {
			events = append(events, anEvent(start.Add(time.Duration(i+1)*time.Second)).Draw(t, "event"))
		}
		repeated := append(slices.Clone(events), rapid.SliceOfN(rapid.SampledFrom(events), 0, 4).Draw(t, "again")...)
		shuffled := rapid.Permutation(repeated).Draw(t, "order")
		inOrder, anyhow := apply(events), apply(shuffled)
		if got := anyhow.Applied + anyhow.Seen; got != len(shuffled) {
			t.Fatalf("%d of %d events are counted", got, len(shuffled))
		}
		for _, e := range []*timeline.Entry{inOrder, anyhow} {
			e.Applied, e.Seen, e.ChangedAt = 0, 0, 0 // how often it changed on the way does depend on the order
		}
		if diff := cmp.Diff(inOrder, anyhow); diff != "" {
			t.Fatalf("the order matters (-in order +shuffled):\n%s", diff)
		}
	})
}

func TestApplyingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ev := anEvent(start).Draw(t, "event")
		e := answer()
		e.Apply(&ev, start)
		if e.Apply(&ev, start.Add(time.Hour)) {
			t.Fatalf("%s changed it twice", ev.Kind)
		}
	})
}

func TestWhatWasEditedBackStaysSoWhenTheEditInBetweenComesLate(t *testing.T) {
	t.Parallel()
	edit := func(text string, at time.Duration) msg.Event {
		return msg.Event{Kind: msg.KindEdit, Time: start.Add(at), Edit: &msg.Edit{Message: msg.Message{Text: text}}}
	}
	e := apply([]msg.Event{edit("a", 2*time.Second), edit("b", time.Second)})
	if e.Message.Text != "a" || len(e.Edits) != 2 || e.Edits[1].Message.Text != "b" {
		t.Errorf("it says %q after %+v", e.Message.Text, e.Edits)
	}
}

func TestManyEditsAndReactionsFitIntoAnItemAndTheNewestStands(t *testing.T) {
	t.Parallel()
	e := answer()
	for i := range 200 {
		e.Apply(&msg.Event{
			Kind: msg.KindEdit, Time: start.Add(time.Duration(i+1) * time.Second),
			Edit: &msg.Edit{Message: msg.Message{Text: fmt.Sprint(i, strings.Repeat("x", 10<<10))}},
		}, start)
	}
	for i := range 2000 {
		e.Apply(&msg.Event{Kind: msg.KindReaction, Time: start, From: msg.Address{Kind: "k", Value: fmt.Sprint(i)}, Reaction: &msg.Reaction{Emoji: "👍"}}, start)
	}
	if !strings.HasPrefix(e.Message.Text, "199x") || e.Edits[0].Message.Text != "a" || len(e.Edits) > 12 || len(e.Reactions) > 500 {
		t.Errorf("%.8s…, %d versions, %d reactions", e.Message.Text, len(e.Edits), len(e.Reactions))
	}
}

func TestATimeIsBelievedOnlyNearItsReceipt(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		name     string
		at, want msg.Time
		asserted bool
	}{
		{"a minute ago", start.Add(-time.Minute), start.Add(-time.Minute), false},
		{"eight days ago", start.Add(-8 * 24 * time.Hour), start.Add(-8 * 24 * time.Hour), false},
		{"longer ago", start.Add(-8*24*time.Hour - time.Millisecond), start, false},
		{"in half a minute", start.Add(30 * time.Second), start.Add(30 * time.Second), false},
		{"tomorrow", start.Add(24 * time.Hour), start.Add(time.Minute), false},
		{"not known", 0, start, false},
		{"only asserted", start.Add(-time.Minute), start, true},
		{"584 years ago, when durations overflow", start - 18446744073709, start, false},
		{"in 584 years", start + 18446744073709, start.Add(time.Minute), false},
		{"before all times", -1 << 62, start, false},
		{"after all times", 1 << 62, start.Add(time.Minute), false},
	} {
		if got := timeline.SortTime(one.at, start, one.asserted); got != one.want {
			t.Errorf("%s: %d, want %d", one.name, got, one.want)
		}
	}
}

func TestAnEditKeepsTheFilesThatItNamesAgainAndEveryPlaceOfAFileIsFound(t *testing.T) {
	t.Parallel()
	stored := &msg.Media{ID: "m1", State: msg.MediaStored, Key: "media/1"}
	e := timeline.Entry{Event: msg.Event{
		Kind: msg.KindMessage, Message: &msg.Message{Text: "look", Parts: []msg.Part{{Kind: msg.PartImage, Media: stored}}},
	}}
	parts := []msg.Part{
		{Kind: msg.PartImage, Media: &msg.Media{ID: "m2", State: msg.MediaWaiting}}, {Kind: msg.PartImage, Media: &msg.Media{ID: "m1", State: msg.MediaWaiting}},
	}
	edit := msg.Event{Kind: msg.KindEdit, Time: 1, Edit: &msg.Edit{Message: msg.Message{Text: "look", Parts: parts}}}
	if !e.Apply(&edit, 2) {
		t.Fatal("an edit that adds a picture changed nothing")
	}
	if got := e.Message.Parts[1].Media; *got != *stored {
		t.Errorf("the picture that was there is %+v", got)
	}
	if n := len(e.File(0, "m1")); n != 2 {
		t.Errorf("the first picture is shown in %d places", n)
	}
	if files := e.File(0, "m2"); len(files) != 1 || files[0].State != msg.MediaWaiting {
		t.Errorf("the second picture: %+v", files)
	}
	if files := e.File(0, ""); len(files) > 0 {
		t.Errorf("a part whose file has an ID was found without it: %+v", files)
	}
}
