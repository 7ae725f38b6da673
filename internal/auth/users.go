package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Presence says whether a person takes new cases now.
type Presence string

// The presences.
const (
	Present Presence = "present"
	Away    Presence = "away"
)

// User is somebody who works at the desk. Users are never removed, only disabled: cases and notes keep naming them.
type User struct {
	// ID is what the person signs in with: a-z, 0-9, ".", "_" and "-", for ever the same.
	ID string `json:"id"`
	// Name is what colleagues and customers see.
	Name  string   `json:"name"`
	Email string   `json:"email,omitempty"`
	Roles []Role   `json:"roles"`
	Teams []string `json:"teams,omitempty"`
	// Presence decides who is notified of a new case.
	Presence Presence `json:"presence"`
	// Language is "fi", "sv" or "en".
	Language string `json:"language"`
	// NotifyByMail sends notifications to Email too.
	NotifyByMail bool     `json:"notify_by_mail,omitempty"`
	Disabled     bool     `json:"disabled,omitempty"`
	CreatedAt    msg.Time `json:"created_at"`
	// Revision is what a change must be based on.
	Revision int64 `json:"revision"`
}

// storedUser is a User as kept, with what never leaves the package.
type storedUser struct {
	User
	PasswordHash string `json:"password_hash,omitempty"`
	// Generation is what a session must hold to be valid.
	Generation int64 `json:"generation"`
}

// UserChange changes what it holds; nil leaves as it is.
type UserChange struct {
	Name         *string
	Email        *string
	Roles        *[]Role
	Teams        *[]string
	Presence     *Presence
	Language     *string
	NotifyByMail *bool
	Disabled     *bool
}

// Languages of the interface.
func Languages() []string { return []string{"en", "fi", "sv"} }

var (
	userID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	teamID = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
)

// User returns a user by ID; fault.Missing when there is none.
func (s *Service) User(ctx context.Context, id string) (User, error) {
	u, err := s.user(ctx, id)
	return u.User, err
}

func (s *Service) user(ctx context.Context, id string) (storedUser, error) {
	if !userID.MatchString(id) {
		return storedUser{}, missingUser(id)
	}
	var u storedUser
	rev, err := s.read(ctx, key("U#user#"+id), &u)
	if errors.Is(err, table.ErrNotFound) {
		return storedUser{}, missingUser(id)
	}
	if err != nil {
		return storedUser{}, fmt.Errorf("read user %q: %w", id, err)
	}
	u.Revision = rev
	return u, nil
}

func missingUser(id string) error {
	return fault.Newf(fault.Missing, "missing", "there is no user %q", shorten(id))
}

// Users lists up to limit users in the order of their IDs, behind the ID after.
func (s *Service) Users(ctx context.Context, after string, limit int) ([]User, error) {
	return list[User](ctx, s, "user", after, limit)
}

// TeamMembers lists every enabled user of a team. The team "" is everybody: a case without a team is everybody's.
func (s *Service) TeamMembers(ctx context.Context, team string) ([]User, error) {
	all, err := s.Users(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(u User) bool {
		return u.Disabled || team != "" && !slices.Contains(u.Teams, team)
	}), nil
}

// list reads one kind of U#list.
func list[T any](ctx context.Context, s *Service, kind, after string, limit int) ([]T, error) {
	q := table.Query{PK: listPK, From: kind + "#", To: kind + "$", Limit: limit}
	if after != "" {
		q.After = kind + "#" + after
	}
	items, err := s.table.Query(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list %ss: %w", kind, unavailable(err))
	}
	all := make([]T, len(items))
	for n, i := range items {
		if err := json.Unmarshal(i.Body, &all[n]); err != nil {
			return nil, fmt.Errorf("list %ss: %s is not readable: %w", kind, i.SK, err)
		}
	}
	return all, nil
}

// CreateUser adds a user who signs in with the given password. by is the ID of who asked, for the audit log.
//
// fault.Invalid names the field that is wrong, fault.Conflict (code taken) says that the ID or address belongs to somebody.
func (s *Service) CreateUser(ctx context.Context, by string, u User, password string) (User, error) {
	if err := checkPassword("password", password); err != nil {
		return User{}, err
	}
	return s.createUser(ctx, by, u, password)
}

func (s *Service) createUser(ctx context.Context, by string, u User, password string, with ...table.Op) (User, error) {
	u, err := s.validUser(u)
	if err != nil {
		return User{}, err
	}
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return User{}, fmt.Errorf("create user %q: %w", u.ID, err)
	}
	u.CreatedAt, u.Revision = msg.TimeOf(s.now()), 1
	stored := storedUser{User: u, PasswordHash: hash, Generation: 1}
	ops, err := s.userOps(stored, 0, "")
	if err != nil {
		return User{}, err
	}
	ops = append(ops, with...)
	if err := s.table.Write(ctx, ops...); err != nil {
		return User{}, fmt.Errorf("create user %q: %w", u.ID, takenOr(err, ops))
	}
	s.tell(ctx, Event{Kind: AuditedUserCreated, Actor: by, Subject: u.ID})
	return u, nil
}

// ChangeUser changes a user. revision, when not 0, must be the current one. Losing a role or a team, or being disabled, ends
// the user's sessions, so that nothing that was open goes on with the old rights. The last enabled administrator stays one:
// taking that away is refused (fault.Invalid).
func (s *Service) ChangeUser(ctx context.Context, by, id string, c UserChange, revision int64) (User, error) {
	old, err := s.user(ctx, id)
	if err != nil {
		return User{}, err
	}
	if revision != 0 && revision != old.Revision {
		return User{}, fault.Newf(fault.Conflict, "revision", "change user %q: it is at revision %d, not %d: read it again", id, old.Revision, revision)
	}
	changed := old
	changed.User, err = s.validUser(c.apply(old.User))
	if err != nil {
		return User{}, err
	}
	if lessRights(old.User, changed.User) {
		if err := s.keepAdministrator(ctx, old.User, changed.User); err != nil {
			return User{}, err
		}
		changed.Generation++
	}
	ops, err := s.userOps(changed, old.Revision, old.Email)
	if err != nil {
		return User{}, err
	}
	if err := s.table.Write(ctx, ops...); err != nil {
		return User{}, fmt.Errorf("change user %q: %w", id, takenOr(err, ops))
	}
	s.tell(ctx, Event{Kind: AuditedUserChanged, Actor: by, Subject: id})
	if changed.Generation != old.Generation {
		s.tell(ctx, Event{Kind: AuditedSessionsEnded, Actor: by, Subject: id})
	}
	changed.Revision = old.Revision + 1
	return changed.User, nil
}

func (c *UserChange) apply(u User) User {
	set(&u.Name, c.Name)
	set(&u.Email, c.Email)
	set(&u.Roles, c.Roles)
	set(&u.Teams, c.Teams)
	set(&u.Presence, c.Presence)
	set(&u.Language, c.Language)
	set(&u.NotifyByMail, c.NotifyByMail)
	set(&u.Disabled, c.Disabled)
	return u
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func lessRights(old, now User) bool {
	lost := func(all, kept []string) bool {
		return slices.ContainsFunc(all, func(one string) bool { return !slices.Contains(kept, one) })
	}
	roles := slices.ContainsFunc(old.Roles, func(r Role) bool { return !slices.Contains(now.Roles, r) })
	return roles || lost(old.Teams, now.Teams) || now.Disabled && !old.Disabled
}

func (s *Service) keepAdministrator(ctx context.Context, old, now User) error {
	is := func(u User) bool { return !u.Disabled && slices.Contains(u.Roles, Administrator) }
	if !is(old) || is(now) {
		return nil
	}
	all, err := s.Users(ctx, "", 0)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(u User) bool { return u.ID != old.ID && is(u) }) {
		return nil
	}
	return fault.Field("roles", "%q is the last administrator: make somebody else one first", old.ID)
}

// userOps writes u over revision rev, with its entry in the list and its e-mail address. oldEmail is the address it had.
func (s *Service) userOps(u storedUser, rev int64, oldEmail string) ([]table.Op, error) {
	u.Revision = rev + 1
	userOp, err := put(key("U#user#"+u.ID), u, rev, 0)
	if err != nil {
		return nil, err
	}
	listOp, err := putAny(listKey("user", u.ID), u.User, 0)
	if err != nil {
		return nil, err
	}
	ops := []table.Op{userOp, listOp}
	if foldEmail(u.Email) == foldEmail(oldEmail) {
		return ops, nil
	}
	if u.Email != "" {
		emailOp, err := put(emailKey(u.Email), map[string]string{"user": u.ID}, 0, 0)
		if err != nil {
			return nil, err
		}
		ops = append(ops, emailOp)
	}
	if oldEmail != "" {
		ops = append(ops, table.Delete(emailKey(oldEmail), table.Any))
	}
	return ops, nil
}

func emailKey(address string) table.Key { return key("U#email#" + hashOf(foldEmail(address))) }

func foldEmail(address string) string { return strings.ToLower(address) }

// takenOr says which ID or address was taken when that is why the write was refused.
func takenOr(err error, ops []table.Op) error {
	conflict, ok := errors.AsType[*table.Conflict](err)
	if !ok {
		return unavailable(err)
	}
	for n, op := range ops {
		if !conflict.On(n) || !op.If.IsAbsent() {
			continue
		}
		field := "id"
		if strings.HasPrefix(op.Item.PK, "U#email#") {
			field = "email"
		}
		return &fault.Error{Kind: fault.Conflict, Code: CodeTaken, Field: field, Err: errors.New("somebody has it already")}
	}
	return unavailable(err)
}

// validUser refuses what is no user and brings the rest into one form.
func (s *Service) validUser(u User) (User, error) {
	if !userID.MatchString(u.ID) {
		return u, fault.Field("id", "%q is not 1 to 64 of a-z, 0-9, \".\", \"_\" and \"-\", starting with a letter or digit", shorten(u.ID))
	}
	if u.Name == "" {
		u.Name = u.ID
	}
	if err := checkLine("name", u.Name, 100); err != nil {
		return u, err
	}
	if err := checkEmail(u.Email); err != nil {
		return u, err
	}
	if len(u.Roles) == 0 {
		return u, fault.Field("roles", "a user has at least one role")
	}
	for _, r := range u.Roles {
		if !slices.Contains(Roles(), r) {
			return u, fault.Field("roles", "%q is not one of agent, lead and administrator", shorten(string(r)))
		}
	}
	if err := checkTeams(u.Teams); err != nil {
		return u, err
	}
	u.Roles, u.Teams = sorted(u.Roles), sorted(u.Teams)
	if u.Presence == "" {
		u.Presence = Away
	}
	if u.Presence != Present && u.Presence != Away {
		return u, fault.Field("presence", "%q is neither present nor away", shorten(string(u.Presence)))
	}
	if u.Language == "" {
		u.Language = "en"
	}
	if !slices.Contains(Languages(), u.Language) {
		return u, fault.Field("language", "%q is not one of %s", shorten(u.Language), strings.Join(Languages(), ", "))
	}
	return u, nil
}

func checkTeams(teams []string) error {
	if len(teams) > 50 {
		return fault.Field("teams", "%d teams are more than 50", len(teams))
	}
	for _, team := range teams {
		if !teamID.MatchString(team) {
			return fault.Field("teams", "%q is not 1 to 64 of a-z, 0-9, \"_\" and \"-\"", shorten(team))
		}
	}
	return nil
}

func checkEmail(address string) error {
	if address == "" {
		return nil
	}
	parsed, err := mail.ParseAddress(address)
	if err != nil || parsed.Address != address || len(address) > 254 {
		return fault.Field("email", "it is not a bare e-mail address")
	}
	return nil
}

// checkLine refuses what does not fit on one line that people read.
func checkLine(field, text string, most int) error {
	switch n := utf8.RuneCountInString(text); {
	case !utf8.ValidString(text):
		return fault.Field(field, "it is not valid UTF-8")
	case n > most:
		return fault.Field(field, "it has %d characters; it may have at most %d", n, most)
	case strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }):
		return fault.Field(field, "it holds control characters")
	}
	return nil
}

func sorted[T ~string](all []T) []T {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}

// shorten keeps what a stranger wrote from filling an error.
func shorten(text string) string {
	if len(text) <= 64 {
		return text
	}
	return strings.ToValidUTF8(text[:64], "") + "…"
}
