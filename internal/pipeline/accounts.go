package pipeline

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/store"
)

// How long an account is believed without asking, and how often a failed signature may ask again.
const (
	accountTTL     = 5 * time.Minute
	accountRefetch = 10 * time.Second
)

// accounts caches the accounts with their secrets.
type accounts struct {
	store   *store.Store
	secrets secret.Store
	now     func() msg.Time

	mu      sync.Mutex
	all     map[string]*channel.Account // by channel/account
	fetched msg.Time
	noted   map[string]msg.Time // when a refusal was last written down
}

func newAccounts(s *store.Store, secrets secret.Store, now func() msg.Time) *accounts {
	return &accounts{store: s, secrets: secrets, now: now, noted: map[string]msg.Time{}}
}

// SecretName is where a secret of an account lies in the secret store.
func SecretName(channelID, account, name string) string {
	return "accounts/" + channelID + "/" + account + "/" + name
}

// ForgetAccounts makes the next call read the accounts anew: after one was changed.
func (p *Pipeline) ForgetAccounts() { p.accounts.forget() }

func (a *accounts) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = nil
}

// get returns an account, or nil when there is none. fresh asks for one no older than accountRefetch.
func (a *accounts) get(ctx context.Context, channelID, id string, fresh bool) (*channel.Account, error) {
	all, err := a.list(ctx, fresh)
	if err != nil {
		return nil, err
	}
	return all[channelID+"/"+id], nil
}

// sure is get for work that is in hand: before it says that there is no such account it reads them anew, because on AWS the
// account may have been connected elsewhere a moment ago, and this process believes what it read minutes ago. Only work for
// accounts that were known when it was accepted comes here, so nobody outside can make it read often.
func (a *accounts) sure(ctx context.Context, channelID, id string) (*channel.Account, error) {
	account, err := a.get(ctx, channelID, id, false)
	if err != nil || account != nil {
		return account, err
	}
	a.forget()
	return a.get(ctx, channelID, id, false)
}

func (a *accounts) list(ctx context.Context, fresh bool) (map[string]*channel.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	age := a.now().Sub(a.fetched)
	if a.all != nil && age < accountTTL && (!fresh || age < accountRefetch) {
		return a.all, nil
	}
	connected, err := a.store.Accounts(ctx)
	if err != nil {
		return nil, fault.RetryAfter(time.Second, "accounts", "read the accounts: %w", err)
	}
	secrets, err := a.secrets.List(ctx, "accounts/")
	if err != nil {
		return nil, fault.RetryAfter(time.Second, "accounts", "read the accounts' secrets: %w", err)
	}
	all := make(map[string]*channel.Account, len(connected))
	for _, c := range connected {
		all[c.Channel+"/"+c.Account] = &channel.Account{
			Channel: c.Channel, ID: c.Account, Team: c.Team, Settings: c.Settings, Secrets: map[string][]string{},
		}
	}
	for name, values := range secrets {
		parts := strings.Split(name, "/")
		if len(parts) != 4 {
			continue
		}
		if account := all[parts[1]+"/"+parts[2]]; account != nil {
			account.Secrets[parts[3]] = values
		}
	}
	a.all, a.fetched = all, a.now()
	return all, nil
}

// scope is the provider's own ID of an account, or the account's ID where the provider has none.
func scope(info *channel.Info, account *channel.Account) string {
	if info.Scope != "" {
		if s := account.Setting(info, info.Scope); s != "" {
			return s
		}
	}
	return account.ID
}

// byScope finds the account of a channel with the given scope.
func (a *accounts) byScope(ctx context.Context, info *channel.Info, want string) (*channel.Account, error) {
	return a.find(ctx, func(account *channel.Account) bool { return account.Channel == info.ID && scope(info, account) == want })
}

// find is the account that fits, read anew before there is said to be none (at most every accountRefetch).
func (a *accounts) find(ctx context.Context, fits func(*channel.Account) bool) (*channel.Account, error) {
	for _, fresh := range []bool{false, true} {
		all, err := a.list(ctx, fresh)
		if err != nil {
			return nil, err
		}
		for _, account := range all {
			if fits(account) {
				return account, nil
			}
		}
	}
	return nil, nil
}

// Account returns a connected account with its secrets, for whoever sends through it.
func (p *Pipeline) Account(ctx context.Context, channelID, id string) (*channel.Account, error) {
	account, err := p.accounts.sure(ctx, channelID, id)
	if err != nil {
		return nil, err
	}
	if account == nil {
		return nil, fault.Newf(fault.Missing, "not_found", "there is no account %s/%s; see \"aikajana accounts\"", channelID, id)
	}
	return account, nil
}

// refused writes down that a call was turned away, at most every few seconds for each account.
func (a *accounts) refused(ctx context.Context, account *channel.Account, cause string) error {
	key := account.Channel + "/" + account.ID
	now := a.now()
	a.mu.Lock()
	again := now.Sub(a.noted[key]) < accountRefetch
	if !again {
		a.noted[key] = now
	}
	a.mu.Unlock()
	if again {
		return nil
	}
	if err := a.store.NoteRefusal(ctx, account.Channel, account.ID, cause); err != nil {
		return fmt.Errorf("note that a call to %s was refused: %w", key, err)
	}
	return nil
}
