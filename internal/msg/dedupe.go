package msg

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
)

// DedupeKey is what makes the event happen once only, within its channel and scope:
//
//	message, call  the object's ID
//	edit           of + time + hash of the content
//	removal        of
//	reaction       of + from + time
//	receipt        of + recipient + state
//	anything else  the provider's event ID
//
// It is a plain string in clear; whoever stores it hashes it first, because external IDs may hold phone numbers.
func (e *Event) DedupeKey() string {
	switch {
	case e.Kind == KindEdit && e.Edit != nil:
		content, _ := json.Marshal(e.Edit.Message) // plain data: cannot fail
		sum := sha256.Sum256(content)
		return join("edit", e.Edit.Of, e.Time.String(), base64.RawURLEncoding.EncodeToString(sum[:12]))
	case e.Kind == KindRemoval && e.Removal != nil:
		return join("removal", e.Removal.Of)
	case e.Kind == KindReaction && e.Reaction != nil:
		return join("reaction", e.Reaction.Of, e.From.Key(), e.Time.String())
	case e.Kind == KindReceipt && e.Receipt != nil:
		of := e.Receipt.Of
		if of == "" {
			of = e.Tag
		}
		return join("receipt", of, e.Receipt.Recipient, string(e.Receipt.State))
	case e.Kind == KindMessage || e.Kind == KindCall:
		return join(e.ID)
	}
	if e.EventID != "" {
		return join(string(e.Kind), e.EventID)
	}
	return join(string(e.Kind), e.ID)
}

// Target is the external ID of the message that the event is about: empty for one that stands by itself.
func (e *Event) Target() string {
	switch {
	case e.Edit != nil:
		return e.Edit.Of
	case e.Removal != nil:
		return e.Removal.Of
	case e.Reaction != nil:
		return e.Reaction.Of
	case e.Receipt != nil:
		return e.Receipt.Of
	}
	return ""
}

func join(parts ...string) string { return strings.Join(parts, "\x1f") }
