package store

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Connected is an account as it is kept: what the operator set, without the secrets, and how its provider last fared.
type Connected struct {
	Channel  string            `json:"channel"`
	Account  string            `json:"account"`
	Team     string            `json:"team"`
	Settings map[string]string `json:"settings,omitempty"`
	// Secrets names the secrets that are set; their values lie in the secret store.
	Secrets []string `json:"secrets,omitempty"`
	// Declared says that a configuration file declares it: the settings page shows it and does not change it.
	Declared bool     `json:"declared,omitempty"`
	Changed  msg.Time `json:"changed"`
	// LastRefusal is when and why a call of the provider was last turned away.
	LastRefusal Refusal `json:"last_refusal,omitzero"`
}

// Refusal is a call that was turned away.
type Refusal struct {
	At    msg.Time `json:"at,omitzero"`
	Cause string   `json:"cause,omitempty"`
	Count int      `json:"count,omitempty"`
}

const accountsPK = "P#accounts"

var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,39}$`)

// ValidAccountName says whether an account may be called so: a-z, 0-9, - and _, 40 characters at most.
func ValidAccountName(name string) bool { return accountName.MatchString(name) }

func accountRecordKey(channel, account string) table.Key {
	return table.Key{PK: accountsPK, SK: channel + "/" + account}
}

// Accounts lists every account.
func (s *Store) Accounts(ctx context.Context) ([]*Connected, error) {
	all, err := query[Connected](ctx, s, table.Query{PK: accountsPK})
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return all, nil
}

// ConnectedAccount reads one account.
func (s *Store) ConnectedAccount(ctx context.Context, channel, account string) (*Connected, error) {
	if !ValidAccountName(channel) || !ValidAccountName(account) {
		return nil, missing("account", channel+"/"+account)
	}
	a, err := get[Connected](ctx, s, accountRecordKey(channel, account))
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, missing("account", channel+"/"+account)
	}
	return a, nil
}

// PutAccount writes an account, keeping what is known of its provider's calls.
func (s *Store) PutAccount(ctx context.Context, a Connected) error {
	if !ValidAccountName(a.Account) {
		return fault.Field("account", "%q is not a name of an account: use a-z, 0-9, - and _, at most 40", a.Account)
	}
	return s.update(ctx, "write account "+a.Channel+"/"+a.Account, func(u *unit) error {
		k := accountRecordKey(a.Channel, a.Account)
		have, err := load[Connected](u, k)
		if err != nil {
			return err
		}
		next := a
		next.Changed = s.now()
		if have != nil {
			next.LastRefusal = have.LastRefusal
		}
		u.save(k, &next)
		return nil
	})
}

// DeleteAccount disconnects an account; what came through it stays.
func (s *Store) DeleteAccount(ctx context.Context, channel, account string) error {
	return s.update(ctx, "delete account "+channel+"/"+account, func(u *unit) error {
		k := accountRecordKey(channel, account)
		have, err := load[Connected](u, k)
		if err != nil {
			return err
		}
		if have == nil {
			return missing("account", channel+"/"+account)
		}
		u.remove(k)
		return nil
	})
}

// NoteRefusal notes that a call of the provider was turned away.
func (s *Store) NoteRefusal(ctx context.Context, channel, account, cause string) error {
	return s.update(ctx, "note a refusal on account "+channel+"/"+account, func(u *unit) error {
		k := accountRecordKey(channel, account)
		have, err := load[Connected](u, k)
		if err != nil || have == nil {
			return err
		}
		have.LastRefusal = Refusal{At: s.now(), Cause: cause, Count: have.LastRefusal.Count + 1}
		u.save(k, have)
		return nil
	})
}

// window counts things within a span of time, for caps.
type window struct {
	Count int `json:"count"`
	// By is a random word of whoever counted last: two who count the same at once must not take the other's write for their
	// own when an answer is lost.
	By string `json:"by,omitempty"`
	// For lists who has been counted, where that is asked for.
	For []string `json:"for,omitempty"`
}

// Take counts one more under a name within a span of time (an hour, say) and says whether that is still within the cap
// (invariant I10). Never more than the cap are told yes. One whose answer from the table is lost, and after whom others have
// counted before anybody can look, is counted twice: then fewer are. Spans are aligned to the clock, so that they need no
// clean-up beside the item's own expiry.
func (s *Store) Take(ctx context.Context, purpose, name string, most int, spanMillis int64) (bool, error) {
	return s.take(ctx, purpose, name, "", most, spanMillis)
}

// TakeOnce is Take for something that may be asked for again after a crash: what has been counted in the span stays within
// the cap and is not counted a second time. The cap should be small.
func (s *Store) TakeOnce(ctx context.Context, purpose, name, what string, most int, spanMillis int64) (bool, error) {
	return s.take(ctx, purpose, name, what, most, spanMillis)
}

func (s *Store) take(ctx context.Context, purpose, name, what string, most int, spanMillis int64) (bool, error) {
	now := s.now()
	span := int64(now) / spanMillis
	if what != "" {
		what = s.short("counted", what) // it may name a case, which can be erased before the span ends
	}
	ok := false
	err := s.update(ctx, "count "+purpose, func(u *unit) error {
		k := table.Key{PK: "B#" + s.hash("cap", purpose, name), SK: fmt.Sprint(span)}
		w, err := load[window](u, k)
		if err != nil {
			return err
		}
		if w == nil {
			w = &window{}
		}
		if ok = what != "" && slices.Contains(w.For, what); ok {
			return nil
		}
		if ok = w.Count < most; !ok {
			return nil
		}
		w.Count, w.By = w.Count+1, s.newID()
		if what != "" {
			w.For = append(w.For, what)
		}
		u.save(k, w).expires = msg.Time((span + 2) * spanMillis)
		return nil
	})
	return ok, err
}
