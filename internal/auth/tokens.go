package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// tokenPrefix lets scanners for leaked credentials know one when they see one.
const tokenPrefix = "aikajana_"

// EnvironmentToken is the ID of the API token that the operator's environment declares; see [Service.Bootstrap].
const EnvironmentToken = "environment"

// Token is what lists show of an API token.
type Token struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	// Roles, Teams and Scopes are its rights; a token has no others, whoever made it.
	Roles     []Role   `json:"roles"`
	Teams     []string `json:"teams,omitempty"`
	Scopes    []Scope  `json:"scopes"`
	CreatedBy string   `json:"created_by,omitempty"`
	CreatedAt msg.Time `json:"created_at"`
	// ExpiresAt is zero for a token that lasts until it is revoked.
	ExpiresAt msg.Time `json:"expires_at,omitzero"`
	// UsedAt is when it was last used, an hour exact; zero when it never was.
	UsedAt msg.Time `json:"used_at,omitzero"`
}

// storedToken is a Token as kept in lists, with the hash that finds the record that counts.
type storedToken struct {
	Token
	Hash string `json:"hash"`
}

// CreateToken makes an API token and returns its secret, which cannot be read again. Name, Roles, Teams, Scopes and
// ExpiresAt of t are taken, the rest is filled in.
func (s *Service) CreateToken(ctx context.Context, by string, t Token) (Token, string, error) {
	if err := s.validToken(&t); err != nil {
		return Token{}, "", err
	}
	id, err := s.shortID()
	if err != nil {
		return Token{}, "", err
	}
	plain, hash, err := s.secret(tokenPrefix)
	if err != nil {
		return Token{}, "", err
	}
	t.ID, t.CreatedBy, t.CreatedAt, t.UsedAt = id, by, msg.TimeOf(s.now()), 0
	if err := s.storeToken(ctx, t, hash, ""); err != nil {
		return Token{}, "", err
	}
	s.tell(ctx, Event{Kind: AuditedTokenCreated, Actor: by, Subject: "token:" + id})
	return t, plain, nil
}

func (s *Service) validToken(t *Token) error {
	if strings.TrimSpace(t.Name) == "" {
		return fault.Field("name", "a token has a name, so that one knows later what it is for")
	}
	if err := checkLine("name", t.Name, 100); err != nil {
		return err
	}
	if len(t.Roles) == 0 {
		return fault.Field("roles", "a token has at least one role")
	}
	for _, r := range t.Roles {
		if !slices.Contains(Roles(), r) {
			return fault.Field("roles", "%q is not one of agent, lead and administrator", shorten(string(r)))
		}
	}
	if len(t.Scopes) == 0 {
		t.Scopes = []Scope{ScopeRead, ScopeWrite}
	}
	for _, scope := range t.Scopes {
		if scope != ScopeRead && scope != ScopeWrite {
			return fault.Field("scopes", "%q is neither read nor write", shorten(string(scope)))
		}
	}
	if t.ExpiresAt != 0 && t.ExpiresAt <= msg.TimeOf(s.now()) {
		return fault.Field("expires_at", "it lies in the past")
	}
	t.Roles, t.Scopes, t.Teams = sorted(t.Roles), sorted(t.Scopes), sorted(t.Teams)
	return checkTeams(t.Teams)
}

// storeToken writes a token; replaces is the hash under which the same ID was before, or "".
func (s *Service) storeToken(ctx context.Context, t Token, hash, replaces string) error {
	tokenOp, err := put(key("U#token#"+hash), t, 0, t.ExpiresAt)
	if err != nil {
		return err
	}
	listOp, err := putAny(listKey("token", t.ID), storedToken{t, hash}, t.ExpiresAt)
	if err != nil {
		return err
	}
	ops := []table.Op{tokenOp, listOp}
	if replaces != "" {
		ops = append(ops, table.Delete(key("U#token#"+replaces), table.Any))
	}
	if err := s.table.Write(ctx, ops...); err != nil {
		return fmt.Errorf("store API token %q: %w", t.ID, unavailable(err))
	}
	return nil
}

// Tokens lists up to limit API tokens in the order of their IDs, behind the ID after.
func (s *Service) Tokens(ctx context.Context, after string, limit int) ([]Token, error) {
	stored, err := list[storedToken](ctx, s, "token", after, limit)
	if err != nil {
		return nil, err
	}
	all := make([]Token, len(stored))
	for n, one := range stored {
		all[n] = one.Token
		// The record is what is kept up to date; the list would cost a second write per use.
		var t Token
		if _, err := s.read(ctx, key("U#token#"+one.Hash), &t); err == nil {
			all[n].UsedAt = t.UsedAt
		}
	}
	return all, nil
}

// RevokeToken ends an API token at once; fault.Missing when there is none.
func (s *Service) RevokeToken(ctx context.Context, by, id string) error {
	var one storedToken
	if _, err := s.read(ctx, listKey("token", shorten(id)), &one); errors.Is(err, table.ErrNotFound) {
		return fault.Newf(fault.Missing, "missing", "there is no API token %q", shorten(id))
	} else if err != nil {
		return err
	}
	err := s.table.Write(ctx,
		table.Delete(listKey("token", one.ID), table.Any), table.Delete(key("U#token#"+one.Hash), table.Any))
	if err != nil {
		return fmt.Errorf("revoke API token %q: %w", id, unavailable(err))
	}
	s.tell(ctx, Event{Kind: AuditedTokenRevoked, Actor: by, Subject: "token:" + id})
	return nil
}

func (s *Service) checkToken(ctx context.Context, hash string) (Principal, error) {
	k := key("U#token#" + hash)
	var t Token
	rev, err := s.read(ctx, k, &t)
	if errors.Is(err, table.ErrNotFound) {
		return Principal{}, unauthenticated()
	}
	if err != nil {
		return Principal{}, fmt.Errorf("check an API token: %w", err)
	}
	now := msg.TimeOf(s.now())
	if t.ExpiresAt != 0 && now >= t.ExpiresAt {
		return Principal{}, unauthenticated()
	}
	if now.Sub(t.UsedAt) >= tokenUsedStep {
		t.UsedAt = now
		if op, err := put(k, t, rev, t.ExpiresAt); err == nil {
			_ = s.table.Write(ctx, op) // best effort: the next use writes it
		}
	}
	return Principal{
		Kind: KindToken, ID: "token:" + t.ID, Name: t.Name, Roles: t.Roles, Teams: t.Teams, Scopes: t.Scopes,
		Credential: Credential{Kind: KindToken, Hash: hash},
	}, nil
}
