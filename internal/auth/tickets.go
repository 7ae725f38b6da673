package auth

import (
	"context"
	"errors"
	"fmt"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// ticket opens one socket. It stands in for the cookie, which a browser may not attach to a socket on another host, and for
// the token, which must not be part of an address.
type ticket struct {
	Credential Credential `json:"credential"`
	ExpiresAt  msg.Time   `json:"expires_at"`
}

// Ticket makes a socket ticket for the principal: it works once, within TicketLife, while the session or token behind it
// lives.
func (s *Service) Ticket(ctx context.Context, p Principal) (secret string, expires msg.Time, err error) {
	plain, hash, err := s.secret("")
	if err != nil {
		return "", 0, err
	}
	t := ticket{Credential: p.Credential, ExpiresAt: msg.TimeOf(s.now()).Add(TicketLife)}
	op, err := put(key("W#ticket#"+hash), t, 0, t.ExpiresAt)
	if err != nil {
		return "", 0, err
	}
	if err := s.table.Write(ctx, op); err != nil {
		return "", 0, fmt.Errorf("make a socket ticket: %w", unavailable(err))
	}
	return plain, t.ExpiresAt, nil
}

// Redeem uses a ticket up and says whose it is. fault.Denied with CodeUnauthenticated for any that does not work.
func (s *Service) Redeem(ctx context.Context, secret string) (Principal, error) {
	k := key("W#ticket#" + hashOf(secret))
	var t ticket
	rev, err := s.read(ctx, k, &t)
	if errors.Is(err, table.ErrNotFound) {
		return Principal{}, unauthenticated()
	}
	if err != nil {
		return Principal{}, fmt.Errorf("redeem a socket ticket: %w", err)
	}
	if err := s.table.Write(ctx, table.Delete(k, table.At(rev))); err != nil {
		if _, used := errors.AsType[*table.Conflict](err); used {
			return Principal{}, unauthenticated()
		}
		return Principal{}, fmt.Errorf("redeem a socket ticket: %w", unavailable(err))
	}
	if msg.TimeOf(s.now()) >= t.ExpiresAt {
		return Principal{}, unauthenticated()
	}
	return s.Check(ctx, t.Credential)
}
