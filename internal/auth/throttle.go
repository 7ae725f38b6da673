package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Guessing passwords is slowed down three ways at once. Counters are in the table, so they hold across processes and
// restarts. An attempt is counted before the password is looked at, so that attempts side by side cannot outrun the count;
// a right password takes the count back.
//
// The limit by user alone is high on purpose: a low one would let a stranger lock people out.
const (
	freeByPair    = 5   // one address guessing at one user
	freeByAddress = 30  // one address guessing at anybody; an office shares one
	freeByUser    = 100 // many addresses guessing at one user
	forgetAfter   = 15 * time.Minute
	longestWait   = 15 * time.Minute
)

// attempts is a counter of failed sign-ins.
type attempts struct {
	Count int      `json:"count"`
	Last  msg.Time `json:"last"`
	// Until is when the next attempt is let through.
	Until msg.Time `json:"until,omitzero"`
}

type counter struct {
	key  table.Key
	free int
}

func counters(login, client string) []counter {
	login = hashOf(strings.ToLower(shorten(login)))
	return []counter{
		{key("B#signin#pair#" + login + "#" + client), freeByPair},
		{key("B#signin#address#" + client), freeByAddress},
		{key("B#signin#user#" + login), freeByUser},
	}
}

// reserveAttempt counts an attempt, or refuses it with CodeThrottled. What it returns goes to forgetAttempt when the
// password was right.
func (s *Service) reserveAttempt(ctx context.Context, login, client string) ([]counter, error) {
	all := counters(login, client)
	for range 5 {
		ops, wait, err := s.countAttempt(ctx, all)
		if err != nil {
			return nil, err
		}
		if wait > 0 {
			return nil, fault.RetryAfter(wait, CodeThrottled, "too many attempts to sign in: wait %s", wait)
		}
		err = s.table.Write(ctx, ops...)
		if err == nil {
			return all, nil
		}
		if _, conflict := errors.AsType[*table.Conflict](err); !conflict && !errors.Is(err, table.ErrBusy) {
			return nil, fmt.Errorf("count an attempt to sign in: %w", unavailable(err))
		}
	}
	return nil, fault.RetryAfter(time.Second, CodeThrottled, "too many attempts to sign in at the same time: wait a second")
}

func (s *Service) countAttempt(ctx context.Context, all []counter) (ops []table.Op, wait time.Duration, err error) {
	now := msg.TimeOf(s.now())
	for _, c := range all {
		var a attempts
		rev, err := s.read(ctx, c.key, &a)
		if err != nil && !errors.Is(err, table.ErrNotFound) {
			return nil, 0, err
		}
		if now.Sub(a.Last) >= forgetAfter {
			a = attempts{}
		}
		if now < a.Until {
			wait = max(wait, a.Until.Sub(now).Round(time.Second)+time.Second)
		}
		a.Count++
		a.Last = now
		a.Until = 0
		if over := a.Count - c.free; over >= 0 {
			a.Until = now.Add(min(longestWait, time.Second<<min(over, 20)))
		}
		op, err := put(c.key, a, rev, now.Add(2*forgetAfter))
		if err != nil {
			return nil, 0, err
		}
		ops = append(ops, op)
	}
	return ops, wait, nil
}

// forgetAttempt takes one attempt back. When it fails, the counts are one too high for a quarter of an hour.
func (s *Service) forgetAttempt(ctx context.Context, all []counter) {
	now := msg.TimeOf(s.now())
	for n, c := range all {
		if n == 0 {
			_ = s.table.Write(ctx, table.Delete(c.key, table.Any)) // best effort, see above
			continue
		}
		var a attempts
		rev, err := s.read(ctx, c.key, &a)
		if err != nil || a.Count == 0 {
			continue
		}
		a.Count--
		a.Until = 0
		if op, err := put(c.key, a, rev, now.Add(2*forgetAfter)); err == nil {
			_ = s.table.Write(ctx, op) // best effort, see above
		}
	}
}
