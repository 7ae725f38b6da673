package store

import (
	"context"
	"fmt"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/timeline"
)

// submission is what a status token leads to: the object as the customer submitted it, which may not be stored yet.
type submission struct {
	Channel string   `json:"channel"`
	Scope   string   `json:"scope"`
	Object  string   `json:"object"`
	At      msg.Time `json:"at"`
}

// StatusFor is how long a status page stays after the case was solved; a page whose case never is, stays a year.
const (
	StatusFor     = 90 * 24 * time.Hour
	statusAtLeast = 365 * 24 * time.Hour
)

// StatusToken names a submission for its customer: 128 bits that only the deployment key gives.
func (s *Store) StatusToken(channel, scope, object string) string {
	return s.hash("status", channel, scope, object)
}

func (s *Store) statusKey(token string) table.Key {
	return table.Key{PK: "R#status#" + s.hash("status-token", token), SK: "A"}
}

// PutStatus makes a status page for a submission, once, and returns its token. The table holds a hash of it only.
func (s *Store) PutStatus(ctx context.Context, channel, scope, object string) (string, error) {
	token := s.StatusToken(channel, scope, object)
	k := s.statusKey(token)
	err := s.update(ctx, "make a status page", func(u *unit) error {
		have, err := fresh[submission](u, k)
		if err != nil || have != nil {
			return err
		}
		u.save(k, &submission{channel, scope, object, s.now()}).expires = s.now().Add(statusAtLeast)
		return nil
	})
	return token, err
}

// Standing is where a submission stands.
type Standing struct {
	SubmittedAt msg.Time
	// Case and Entries are nil while the submission waits to be worked into a timeline.
	Case    *timeline.Case
	Entries []*timeline.Entry
}

// Standing finds the submission behind a status token; Missing for any token that does not work (any more).
func (s *Store) Standing(ctx context.Context, token string) (*Standing, error) {
	gone := missing("status page", "")
	if len(token) != 26 || !plain(token) {
		return nil, gone
	}
	sub, err := get[submission](ctx, s, s.statusKey(token))
	if err != nil {
		return nil, err
	}
	if sub == nil {
		return nil, gone
	}
	x, err := get[external](ctx, s, s.externalKey(sub.Channel, sub.Scope, sub.Object))
	if err != nil {
		return nil, err
	}
	if x == nil {
		return &Standing{SubmittedAt: sub.At}, nil
	}
	if x.Entry == "" {
		return nil, gone
	}
	e, err := s.Entry(ctx, x.Entry)
	if err != nil {
		return nil, err
	}
	c, err := s.Case(ctx, e.Case)
	if err != nil {
		return nil, err
	}
	if c.State == timeline.CaseSolved && s.now().Sub(c.Solved) > StatusFor {
		return nil, gone
	}
	entries, err := s.CaseEntries(ctx, c, MaxPage)
	if err != nil {
		return nil, fmt.Errorf("status of case %s: %w", c.Reference, err)
	}
	return &Standing{SubmittedAt: sub.At, Case: c, Entries: entries}, nil
}
