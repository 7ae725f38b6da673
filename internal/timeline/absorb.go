package timeline

import (
	"slices"

	"github.com/aikajana/aikajana/internal/msg"
)

// Absorb takes over what is known of an answer from the echo of it that was stored as an entry of its own before anybody knew
// that the two are one message: how far it has come, what was said about it, and the raw input. The answer keeps its place and
// its words, unless they were edited since. Counts of the ledger move along, so its sums stay as they were.
func (e *Entry) Absorb(echo *Entry, now msg.Time) {
	if next, moved := e.State.Next(echo.State); moved {
		e.State, e.Failure = next, echo.Failure
	}
	if e.Delivery != nil && e.State.Settled() {
		e.Delivery.Due, e.Delivery.Cause = 0, ""
	}
	for recipient, state := range echo.Recipients {
		if e.Recipients == nil {
			e.Recipients = map[string]msg.State{}
		}
		if was, ok := e.Recipients[recipient]; ok {
			state, _ = was.Next(state)
		}
		e.Recipients[recipient] = state
	}
	if e.Message != nil && echo.Message != nil {
		if len(echo.Edits) > 0 && len(e.Edits) == 0 {
			e.Edits, e.Message.Text = echo.Edits, echo.Message.Text
		}
		if len(e.Message.Parts) == 0 {
			e.Message.Parts = echo.Message.Parts
		}
	}
	if e.Removed.IsZero() {
		e.Removed = echo.Removed
	}
	e.Reactions = slices.Concat(e.Reactions, echo.Reactions)
	if len(e.Raw) == 0 && e.RawBlob == "" {
		e.Raw, e.RawBlob, e.Envelope = echo.Raw, echo.RawBlob, echo.Envelope
	}
	e.Applied += echo.Applied
	e.Seen += echo.Seen
	e.Touch(now)
}
