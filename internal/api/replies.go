package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Reply implements POST /api/v1/cases/{id}/replies.
func (h handlers) Reply(ctx context.Context, r ReplyRequestObject) (ReplyResponseObject, error) {
	p := &callOf(ctx).principal
	c, err := h.caseOf(ctx, p, r.Id)
	if err != nil {
		return nil, err
	}
	answer := store.Answer{Case: c.Case, Agent: p.ID, Text: r.Body.Text, Key: get(r.Params.IdempotencyKey)}
	if p.Kind == auth.KindUser {
		answer.Name = p.Name // a token's name is for us; customers are shown the account's
	}
	again, err := h.remembered(ctx, "reply", c.Case, r.Params.IdempotencyKey, r.Body)
	if err != nil {
		return nil, err
	}
	body := *r.Body
	if again != nil { // take the way that was chosen then: the customer may have written elsewhere since
		body.Channel, body.Account = opt(again.Channel), opt(again.Account)
	}
	if err := h.address(ctx, c, &body, &answer); err != nil {
		return nil, err
	}
	if again != nil {
		answer.MessageID = again.MessageID
	} else if err := h.remember(ctx, "reply", c.Case, r.Params.IdempotencyKey, r.Body, &answer); err != nil {
		return nil, err
	}
	e, err := h.Store.Reply(ctx, answer)
	if err != nil {
		return nil, err
	}
	return Reply201JSONResponse{EntryMadeJSONResponse(live.Entry(e))}, nil
}

// address finds where the answer goes and holds it to what the channel can carry.
func (h handlers) address(ctx context.Context, c *timeline.Case, b *ReplyRequest, answer *store.Answer) error {
	last, err := h.answered(ctx, c, b.ReplyTo)
	if err != nil {
		return err
	}
	route, err := h.route(ctx, c, last, b)
	if err != nil {
		return err
	}
	answer.Channel, answer.Account, answer.To, answer.MessageID = route.Channel, route.Account, route.To, route.MessageID
	can := route.Info.Can
	answer.Undo = can.Undo
	if can.Text == 0 {
		return fault.Field("channel", "%s carries no answers; answer by %v", route.Info.Name, route.Info.AnswerBy)
	}
	if n := utf8.RuneCountInString(b.Text); n > can.Text {
		return fault.Field("text", "it has %d characters; %s takes at most %d", n, route.Info.Name, can.Text)
	}
	if b.ReplyTo != nil && can.Quote && last.Channel == route.Channel {
		answer.Quote = last.ID
	}
	if b.Subject != nil && !can.Subject {
		return fault.Field("subject", "an answer on %s has none", route.Info.Name)
	}
	if answer.Subject = get(b.Subject); answer.Subject == "" && can.Subject {
		answer.Subject = c.Subject
	}
	if wrote := lastOn(c, route.Channel, route.Account); route.Info.Window > 0 && !wrote.IsZero() && h.Store.Now().Sub(wrote) >= route.Info.Window {
		return &fault.Error{Kind: fault.Permanent, Code: "window_closed", Field: "channel", Err: fmt.Errorf(
			"%s takes free answers for %s after the customer's last message only; answer by %v", route.Info.Name, route.Info.Window, route.Info.AnswerBy)}
	}
	return nil
}

// answered is the message that is being answered: the one named, which must be of the same person, or the newest.
func (h handlers) answered(ctx context.Context, c *timeline.Case, replyTo *EntryID) (*timeline.Entry, error) {
	if replyTo == nil {
		return h.newestIn(ctx, c)
	}
	wrong := fault.Field("reply_to", "there is no such message of this customer")
	e, err := h.Store.Entry(ctx, *replyTo)
	if isMissing(err) {
		return nil, wrong
	}
	if err != nil {
		return nil, err
	}
	who, err := h.Store.Customer(ctx, c.Customer)
	if err != nil {
		return nil, err
	}
	if !who.Is(e.Customer) || e.Kind != msg.KindMessage {
		return nil, wrong
	}
	return e, nil
}

// route asks the pipeline for the way, and holds "to" to the customer's own addresses: an answer goes to nobody else.
func (h handlers) route(ctx context.Context, c *timeline.Case, last *timeline.Entry, b *ReplyRequest) (*Route, error) {
	if b.To == nil {
		return h.Pipeline.Route(ctx, c, last, get(b.Channel), get(b.Account))
	}
	person, err := h.Store.Person(ctx, c.Customer)
	if err != nil {
		return nil, err
	}
	to := msg.Address{Kind: b.To.Kind, Value: b.To.Value}
	known := false
	for _, member := range person {
		for _, a := range member.Identities {
			if a.Key() == to.Key() {
				to, known = a, true
			}
		}
	}
	if !known {
		return nil, fault.Field("to", "it is not an address of this customer")
	}
	if b.Channel != nil {
		way, err := h.Pipeline.Route(ctx, c, last, *b.Channel, get(b.Account))
		if err != nil {
			return nil, err
		}
		return h.routeTo(way, to)
	}
	for _, id := range h.Channels.IDs() {
		info, _ := h.Channels.Info(id)
		if info.Can.Text == 0 || !slices.Contains(info.Identities, to.Kind) {
			continue
		}
		way, err := h.Pipeline.Route(ctx, c, last, id, get(b.Account))
		if err == nil {
			return h.routeTo(way, to)
		}
		if fault.Of(err) != fault.Invalid {
			return nil, err
		}
	}
	return nil, fault.Field("to", "no connected channel reaches an address of kind %s", to.Kind)
}

func (h handlers) routeTo(way *Route, to msg.Address) (*Route, error) {
	if !slices.Contains(way.Info.Identities, to.Kind) {
		return nil, fault.Field("to", "%s does not reach an address of kind %s", way.Info.Name, to.Kind)
	}
	way.To = to
	return way, nil
}

// Note implements POST /api/v1/cases/{id}/notes.
func (h handlers) Note(ctx context.Context, r NoteRequestObject) (NoteResponseObject, error) {
	p := &callOf(ctx).principal
	c, err := h.caseOf(ctx, p, r.Id)
	if err != nil {
		return nil, err
	}
	again, err := h.remembered(ctx, "note", c.Case, r.Params.IdempotencyKey, r.Body)
	if err != nil {
		return nil, err
	}
	if again == nil {
		if err := h.remember(ctx, "note", c.Case, r.Params.IdempotencyKey, r.Body, &store.Answer{}); err != nil {
			return nil, err
		}
	}
	e, err := h.Store.Note(ctx, c.Case, p.ID, p.Name, r.Body.Text, get(r.Params.IdempotencyKey))
	if err != nil {
		return nil, err
	}
	return Note201JSONResponse{EntryMadeJSONResponse(live.Entry(e))}, nil
}

// rememberFor is how long an Idempotency-Key holds.
const rememberFor = 7 * 24 * time.Hour

// promised is what is kept under an Idempotency-Key before anything is done: what was asked, as a hash, and the way that was
// chosen. The store makes the entry once per key; this makes sure that a key is not used for anything else, and that a
// repetition takes the same way.
type promised struct {
	Body      string `json:"body"`
	Channel   string `json:"channel,omitempty"`
	Account   string `json:"account,omitempty"`
	MessageID string `json:"message_id,omitempty"`
}

func promiseKey(ctx context.Context, what, caseID, key string) table.Key {
	return table.Key{PK: "Y#" + digest(callOf(ctx).principal.ID, what, caseID, key), SK: "A"}
}

func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(p), p) // a hash takes everything
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func digestOf(body any) (string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return "", fmt.Errorf("hash the body: %w", err)
	}
	return digest(string(text)), nil
}

// remembered is what was promised under the key before; nil without a key or the first time.
func (h handlers) remembered(ctx context.Context, what, caseID string, key *IdempotencyKey, body any) (*promised, error) {
	if key == nil {
		return nil, nil
	}
	item, err := h.Store.Table().Get(ctx, promiseKey(ctx, what, caseID, *key))
	if errors.Is(err, table.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read an Idempotency-Key: %w", err)
	}
	was := new(promised)
	if err := json.Unmarshal(item.Body, was); err != nil {
		return nil, fmt.Errorf("read an Idempotency-Key: it is damaged: %w", err)
	}
	now, err := digestOf(body)
	if err != nil {
		return nil, err
	}
	if was.Body != now {
		return nil, &fault.Error{Kind: fault.Conflict, Code: "idempotency_key", Field: "Idempotency-Key",
			Err: errors.New("it was used for another request; choose a new one")}
	}
	return was, nil
}

// remember promises, before anything is done. When somebody else has promised meanwhile, the caller tries again.
func (h handlers) remember(ctx context.Context, what, caseID string, key *IdempotencyKey, body any, way *store.Answer) error {
	if key == nil {
		return nil
	}
	hash, err := digestOf(body)
	if err != nil {
		return err
	}
	text, err := json.Marshal(promised{Body: hash, Channel: way.Channel, Account: way.Account, MessageID: way.MessageID})
	if err != nil {
		return fmt.Errorf("keep an Idempotency-Key: %w", err)
	}
	err = h.Store.Table().Write(ctx, table.Put(table.Item{
		Key: promiseKey(ctx, what, caseID, *key), Rev: 1, Body: text, Expires: h.Store.Now().Add(rememberFor),
	}, table.Absent))
	if _, raced := errors.AsType[*table.Conflict](err); raced || errors.Is(err, table.ErrBusy) || errors.Is(err, table.ErrLost) {
		return fault.RetryAfter(time.Second, "busy", "the same request is being worked on: repeat it")
	}
	if err != nil {
		return fmt.Errorf("keep an Idempotency-Key: %w", err)
	}
	return nil
}
