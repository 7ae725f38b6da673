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

// InvitationKind says what a link is for.
type InvitationKind string

// The kinds of link. Each works once, and only until it expires.
const (
	// Invite makes a user.
	Invite InvitationKind = "invite"
	// Reset gives a user a new password. An administrator hands it over.
	Reset InvitationKind = "reset"
	// Setup makes the first user, an administrator.
	Setup InvitationKind = "setup"
)

// Invitation is what lists show of a link.
type Invitation struct {
	ID   string         `json:"id"`
	Kind InvitationKind `json:"kind"`
	// User is the ID of the user to be (or, for a reset, who is).
	User      string   `json:"user"`
	Name      string   `json:"name,omitempty"`
	Email     string   `json:"email,omitempty"`
	Roles     []Role   `json:"roles,omitempty"`
	Teams     []string `json:"teams,omitempty"`
	CreatedBy string   `json:"created_by,omitempty"`
	CreatedAt msg.Time `json:"created_at"`
	ExpiresAt msg.Time `json:"expires_at"`
}

type storedInvitation struct {
	Invitation
	Hash string `json:"hash"`
}

// linkInvalid is one and the same answer to an empty, unknown, old and used link (FAULT 46).
func linkInvalid() error {
	return &fault.Error{Kind: fault.Invalid, Code: CodeLinkInvalid, Field: "token",
		Err: errors.New("the link is not valid (any more): ask an administrator for a new one")}
}

// Invite makes a link by which somebody becomes the user that i describes (User, Name, Email, Roles, Teams). The secret is
// returned once and stored nowhere.
func (s *Service) Invite(ctx context.Context, by string, i Invitation) (Invitation, string, error) {
	_, err := s.validUser(User{ID: i.User, Name: i.Name, Email: i.Email, Roles: i.Roles, Teams: i.Teams})
	if err != nil {
		if f, ok := errors.AsType[*fault.Error](err); ok && f.Field == "id" {
			f.Field = "user"
		}
		return Invitation{}, "", err
	}
	if _, err := s.user(ctx, i.User); err == nil {
		return Invitation{}, "", &fault.Error{Kind: fault.Conflict, Code: CodeTaken, Field: "user", Err: errors.New("there is such a user already")}
	} else if fault.Of(err) != fault.Missing {
		return Invitation{}, "", err
	}
	i.Kind, i.CreatedBy = Invite, by
	return s.storeInvitation(ctx, i, InvitationLife, AuditedInvited)
}

// ResetPassword makes a link by which a user sets a new password. It is for an administrator to hand over.
func (s *Service) ResetPassword(ctx context.Context, by, id string) (Invitation, string, error) {
	if _, err := s.user(ctx, id); err != nil {
		return Invitation{}, "", err
	}
	return s.storeInvitation(ctx, Invitation{Kind: Reset, User: id, CreatedBy: by}, PasswordReset, AuditedResetCreated)
}

func (s *Service) storeInvitation(ctx context.Context, i Invitation, life time.Duration, audited string, with ...table.Op) (Invitation, string, error) {
	plain, hash, err := s.secret("")
	if err != nil {
		return Invitation{}, "", err
	}
	if i.ID, err = s.shortID(); err != nil {
		return Invitation{}, "", err
	}
	i.CreatedAt = msg.TimeOf(s.now())
	i.ExpiresAt = i.CreatedAt.Add(life)
	stored := storedInvitation{i, hash}
	op, err := put(key("U#invite#"+hash), stored, 0, i.ExpiresAt)
	if err != nil {
		return Invitation{}, "", err
	}
	listOp, err := putAny(listKey("invite", i.ID), stored, i.ExpiresAt)
	if err != nil {
		return Invitation{}, "", err
	}
	ops := append([]table.Op{op, listOp}, with...)
	if i.Kind == Setup {
		setupOp, err := putAny(key("U#setup"), stored, i.ExpiresAt)
		if err != nil {
			return Invitation{}, "", err
		}
		ops = append(ops, setupOp)
	}
	if err := s.table.Write(ctx, ops...); err != nil {
		return Invitation{}, "", fmt.Errorf("make a link for user %q: %w", i.User, unavailable(err))
	}
	s.tell(ctx, Event{Kind: audited, Actor: i.CreatedBy, Subject: i.User})
	return i, plain, nil
}

// Invitations lists up to limit links in force in the order of their IDs, behind the ID after.
func (s *Service) Invitations(ctx context.Context, after string, limit int) ([]Invitation, error) {
	stored, err := list[storedInvitation](ctx, s, "invite", after, limit)
	if err != nil {
		return nil, err
	}
	all := make([]Invitation, len(stored))
	for n, one := range stored {
		all[n] = one.Invitation
	}
	return all, nil
}

// RevokeInvitation takes a link back; fault.Missing when there is none in force.
func (s *Service) RevokeInvitation(ctx context.Context, by, id string) error {
	var one storedInvitation
	if _, err := s.read(ctx, listKey("invite", shorten(id)), &one); errors.Is(err, table.ErrNotFound) {
		return fault.Newf(fault.Missing, "missing", "there is no invitation %q", shorten(id))
	} else if err != nil {
		return err
	}
	if err := s.table.Write(ctx, one.deletes(table.Any)...); err != nil {
		return fmt.Errorf("revoke invitation %q: %w", id, unavailable(err))
	}
	s.tell(ctx, Event{Kind: AuditedInviteRevoked, Actor: by, Subject: one.User})
	return nil
}

func (i *storedInvitation) deletes(c table.Cond) []table.Op {
	return []table.Op{table.Delete(key("U#invite#"+i.Hash), c), table.Delete(listKey("invite", i.ID), table.Any)}
}

// Accepted is what the person behind a link chooses.
type Accepted struct {
	// Name and Language are kept as invited, or their defaults, when empty.
	Name, Language string
	Password       string
}

// Accept uses a link up and signs its person in. What the link is for comes with the link alone: nothing in the request can
// widen it. Using it and making the user is one transaction, so it works once even when tried twice at the same time.
func (s *Service) Accept(ctx context.Context, token string, a Accepted, client string) (SignedIn, error) {
	one, rev, err := s.link(ctx, token)
	if err != nil {
		return SignedIn{}, err
	}
	if err := checkPassword("password", a.Password); err != nil {
		return SignedIn{}, err
	}
	used := one.deletes(table.At(rev))
	if one.Kind == Reset {
		return s.acceptReset(ctx, one, token, a, client, used)
	}
	u := User{ID: one.User, Name: one.Name, Email: one.Email, Roles: one.Roles, Teams: one.Teams, Presence: Present, Language: a.Language}
	if a.Name != "" {
		u.Name = a.Name
	}
	if _, err := s.createUser(ctx, "invitation:"+one.ID, u, a.Password, used...); err != nil {
		return SignedIn{}, s.raced(ctx, token, err)
	}
	s.tell(ctx, Event{Kind: AuditedInviteAccepted, Actor: one.User, Subject: one.User, Client: client})
	return s.signInAs(ctx, one.User, client)
}

func (s *Service) acceptReset(ctx context.Context, one storedInvitation, token string, a Accepted, client string, used []table.Op) (SignedIn, error) {
	u, err := s.user(ctx, one.User)
	if err != nil {
		return SignedIn{}, err
	}
	if u.Disabled {
		return SignedIn{}, linkInvalid()
	}
	if _, err := s.setPassword(ctx, "reset:"+one.ID, u, a.Password, used...); err != nil {
		return SignedIn{}, s.raced(ctx, token, err)
	}
	return s.signInAs(ctx, one.User, client)
}

// raced says that the link was used up meanwhile, when that is why err came.
func (s *Service) raced(ctx context.Context, token string, err error) error {
	if fault.Of(err) != fault.Conflict {
		return err
	}
	if _, _, again := s.link(ctx, token); again != nil {
		return again
	}
	return err
}

// Peek says what a link is for without using it up, so that a page can greet the person.
func (s *Service) Peek(ctx context.Context, token string) (Invitation, error) {
	one, _, err := s.link(ctx, token)
	return one.Invitation, err
}

func (s *Service) link(ctx context.Context, token string) (storedInvitation, int64, error) {
	var one storedInvitation
	rev, err := s.read(ctx, key("U#invite#"+hashOf(strings.TrimSpace(token))), &one)
	if errors.Is(err, table.ErrNotFound) || err == nil && msg.TimeOf(s.now()) >= one.ExpiresAt {
		return one, 0, linkInvalid()
	}
	if err != nil {
		return one, 0, fmt.Errorf("read a link: %w", err)
	}
	return one, rev, nil
}

func (s *Service) signInAs(ctx context.Context, id, client string) (SignedIn, error) {
	u, err := s.user(ctx, id)
	if err != nil {
		return SignedIn{}, err
	}
	return s.startSession(ctx, u, client)
}

// Bootstrap lets the first person in. It is called at each start with what the operator's environment says.
//
// On a store without users, adminPassword makes the user "admin"; without one, a one-time set-up link is made, and its
// secret returned: the one before it dies. Once there is a user, adminPassword is ignored. The password is taken as it is,
// short or not: whoever sets it has the machine. A token, when given, is an API token with all rights from now on; the one
// given before, when another, dies. It goes on until it is revoked or replaced.
func (s *Service) Bootstrap(ctx context.Context, adminPassword, token string) (setup string, err error) {
	if token != "" {
		if err := s.environmentToken(ctx, token); err != nil {
			return "", err
		}
	}
	users, err := s.Users(ctx, "", 1)
	if err != nil || len(users) > 0 {
		return "", err
	}
	admin := User{ID: "admin", Name: "admin", Roles: []Role{Administrator}, Presence: Present}
	if adminPassword != "" {
		_, err := s.createUser(ctx, "bootstrap", admin, adminPassword)
		if fault.Code(err) == CodeTaken { // another process that starts now was first
			err = nil
		}
		return "", err
	}
	var before storedInvitation
	var dies []table.Op
	if _, err := s.read(ctx, key("U#setup"), &before); err == nil {
		dies = before.deletes(table.Any)
	} else if !errors.Is(err, table.ErrNotFound) {
		return "", err
	}
	i := Invitation{Kind: Setup, User: admin.ID, Name: admin.Name, Roles: admin.Roles, CreatedBy: "bootstrap"}
	_, setup, err = s.storeInvitation(ctx, i, SetupLife, AuditedInvited, dies...)
	return setup, err
}

func (s *Service) environmentToken(ctx context.Context, token string) error {
	var before storedToken
	_, err := s.read(ctx, listKey("token", EnvironmentToken), &before)
	if err != nil && !errors.Is(err, table.ErrNotFound) {
		return err
	}
	hash := hashOf(token)
	if before.Hash == hash {
		return nil
	}
	t := Token{
		ID: EnvironmentToken, Name: "AIKAJANA_TOKEN", Roles: []Role{Administrator}, Scopes: []Scope{ScopeRead, ScopeWrite},
		CreatedBy: "bootstrap", CreatedAt: msg.TimeOf(s.now()),
	}
	if err := s.storeToken(ctx, t, hash, before.Hash); fault.Of(err) != fault.Conflict {
		return err
	}
	return nil // another process that starts now was first
}
