package auth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// session is what is kept of a signed-in browser.
type session struct {
	User       string   `json:"user"`
	Generation int64    `json:"generation"`
	CreatedAt  msg.Time `json:"created_at"`
	SeenAt     msg.Time `json:"seen_at"`
}

// until is when the session ends by itself.
func (s *session) until() msg.Time {
	return min(s.CreatedAt.Add(SessionLife), s.SeenAt.Add(SessionIdle))
}

// SignedIn is a new session.
type SignedIn struct {
	User User
	// Principal is who the session's requests come from.
	Principal Principal
	// Secret goes into the cookie (see [Service.Cookie]) and is nowhere else.
	Secret string
	// Expires is when the session ends at the latest.
	Expires msg.Time
}

// SignIn starts a session for whoever knows the password of login, an ID or an e-mail address. client is the client's address
// as [Service.Client] says it. old is the session secret that came with the request, if any: it is ended, so that a session
// planted in somebody's browser never becomes theirs (FAULT 48).
//
// fault.Denied with CodeCredentials is the one answer to an unknown user, a wrong password and a disabled user, and takes the
// same time for each. fault.Retry with CodeThrottled says how long to wait after too many failures.
func (s *Service) SignIn(ctx context.Context, login, password, client, old string) (SignedIn, error) {
	attempt, err := s.reserveAttempt(ctx, login, client)
	if err != nil {
		return SignedIn{}, err
	}
	u, err := s.userByLogin(ctx, login)
	if err != nil && fault.Of(err) != fault.Missing {
		return SignedIn{}, err
	}
	right, err := s.passwords.verify(ctx, clip(password), u.PasswordHash)
	if err != nil {
		return SignedIn{}, err
	}
	if !right || u.Disabled {
		s.tell(ctx, Event{Kind: AuditedSignInRefused, Subject: u.ID, Client: client})
		return SignedIn{}, fault.Newf(fault.Denied, CodeCredentials, "the user or the password is wrong")
	}
	s.forgetAttempt(ctx, attempt)
	if s.passwords.stale(u.PasswordHash) {
		s.rehash(ctx, u, password)
	}
	if err := s.SignOut(ctx, old); err != nil {
		return SignedIn{}, err
	}
	return s.startSession(ctx, u, client)
}

// clip bounds the work on a password that is too long to be anybody's.
func clip(password string) string {
	if len(password) > 4*MaxPassword {
		return password[:4*MaxPassword]
	}
	return password
}

func (s *Service) userByLogin(ctx context.Context, login string) (storedUser, error) {
	if userID.MatchString(login) {
		return s.user(ctx, login)
	}
	if checkEmail(login) != nil || login == "" {
		return storedUser{}, missingUser(login)
	}
	var owner struct {
		User string `json:"user"`
	}
	if _, err := s.read(ctx, emailKey(login), &owner); errors.Is(err, table.ErrNotFound) {
		return storedUser{}, missingUser(login)
	} else if err != nil {
		return storedUser{}, err
	}
	return s.user(ctx, owner.User)
}

// rehash brings the stored password to today's cost. Should the user have changed in between, the next sign-in does it.
func (s *Service) rehash(ctx context.Context, u storedUser, password string) {
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return
	}
	rev := u.Revision
	u.PasswordHash = hash
	if ops, err := s.userOps(u, rev, u.Email); err == nil {
		_ = s.table.Write(ctx, ops...) // best effort, see above
	}
}

func (s *Service) startSession(ctx context.Context, u storedUser, client string) (SignedIn, error) {
	plain, hash, err := s.secret("")
	if err != nil {
		return SignedIn{}, err
	}
	now := msg.TimeOf(s.now())
	one := session{User: u.ID, Generation: u.Generation, CreatedAt: now, SeenAt: now}
	op, err := put(key("U#session#"+hash), one, 0, one.until())
	if err != nil {
		return SignedIn{}, err
	}
	if err := s.table.Write(ctx, op); err != nil {
		return SignedIn{}, fmt.Errorf("start a session of %q: %w", u.ID, unavailable(err))
	}
	p := u.principal(hash)
	s.tell(ctx, Event{Kind: AuditedSignIn, Actor: u.ID, Subject: u.ID, Session: p.Credential.Short(), Client: client})
	return SignedIn{User: u.User, Principal: p, Secret: plain, Expires: now.Add(SessionLife)}, nil
}

// SignOut ends the session of a secret. One that is not there, or the empty secret, is no error.
func (s *Service) SignOut(ctx context.Context, secret string) error {
	if secret == "" {
		return nil
	}
	k := key("U#session#" + hashOf(secret))
	var one session
	if _, err := s.read(ctx, k, &one); errors.Is(err, table.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if err := s.table.Write(ctx, table.Delete(k, table.Any)); err != nil {
		return fmt.Errorf("end a session of %q: %w", one.User, unavailable(err))
	}
	c := Credential{Kind: KindUser, Hash: hashOf(secret)}
	s.tell(ctx, Event{Kind: AuditedSessionEnded, Actor: one.User, Subject: one.User, Session: c.Short()})
	return nil
}

// EndSessions ends every session of a user, everywhere.
func (s *Service) EndSessions(ctx context.Context, by, id string) error {
	u, err := s.user(ctx, id)
	if err != nil {
		return err
	}
	u.Generation++
	ops, err := s.userOps(u, u.Revision, u.Email)
	if err != nil {
		return err
	}
	if err := s.table.Write(ctx, ops...); err != nil {
		return fmt.Errorf("end the sessions of %q: %w", id, unavailable(err))
	}
	s.tell(ctx, Event{Kind: AuditedSessionsEnded, Actor: by, Subject: id})
	return nil
}

// ChangePassword gives a user a new password and ends all of the user's sessions; the one that asked goes on under a new
// secret (FAULT 48). The current password is asked for again, and wrong ones count towards the same limits as sign-ins.
func (s *Service) ChangePassword(ctx context.Context, id, current, next, client string) (SignedIn, error) {
	if err := checkPassword("password", next); err != nil {
		return SignedIn{}, err
	}
	attempt, err := s.reserveAttempt(ctx, id, client)
	if err != nil {
		return SignedIn{}, err
	}
	u, err := s.user(ctx, id)
	if err != nil {
		return SignedIn{}, err
	}
	right, err := s.passwords.verify(ctx, clip(current), u.PasswordHash)
	if err != nil {
		return SignedIn{}, err
	}
	if !right || u.Disabled {
		return SignedIn{}, fault.Field("current_password", "it is not the current password")
	}
	s.forgetAttempt(ctx, attempt)
	if u, err = s.setPassword(ctx, id, u, next); err != nil {
		return SignedIn{}, err
	}
	return s.startSession(ctx, u, client)
}

// setPassword stores a new password and ends all sessions, in one write.
func (s *Service) setPassword(ctx context.Context, by string, u storedUser, password string, with ...table.Op) (storedUser, error) {
	hash, err := s.passwords.hash(ctx, password)
	if err != nil {
		return u, err
	}
	u.PasswordHash = hash
	u.Generation++
	ops, err := s.userOps(u, u.Revision, u.Email)
	if err != nil {
		return u, err
	}
	if err := s.table.Write(ctx, append(ops, with...)...); err != nil {
		return u, fmt.Errorf("change the password of %q: %w", u.ID, unavailable(err))
	}
	u.Revision++
	s.tell(ctx, Event{Kind: AuditedPassword, Actor: by, Subject: u.ID})
	s.tell(ctx, Event{Kind: AuditedSessionsEnded, Actor: by, Subject: u.ID})
	return u, nil
}

func (u *storedUser) principal(hash string) Principal {
	return Principal{
		Kind: KindUser, ID: u.ID, Name: u.Name, Roles: u.Roles, Teams: u.Teams, Scopes: []Scope{ScopeRead, ScopeWrite},
		Credential: Credential{Kind: KindUser, Hash: hash},
	}
}

// Short tells credentials apart in logs. Nothing can be looked up by it.
func (c Credential) Short() string { return hashOf(c.Hash)[:12] }

// Check renews a principal: fault.Denied with CodeUnauthenticated when the session has ended or the token was revoked in
// the meantime, and the rights of now otherwise. Whatever outlives a request (a socket) asks it again and again.
func (s *Service) Check(ctx context.Context, c Credential) (Principal, error) {
	if c.Kind == KindToken {
		return s.checkToken(ctx, c.Hash)
	}
	p, _, err := s.checkSession(ctx, c.Hash)
	return p, err
}

func (s *Service) checkSession(ctx context.Context, hash string) (Principal, session, error) {
	var one session
	rev, err := s.read(ctx, key("U#session#"+hash), &one)
	if errors.Is(err, table.ErrNotFound) {
		return Principal{}, one, unauthenticated()
	}
	if err != nil {
		return Principal{}, one, fmt.Errorf("check a session: %w", err)
	}
	now := msg.TimeOf(s.now())
	if now >= one.until() {
		return Principal{}, one, unauthenticated()
	}
	u, err := s.user(ctx, one.User)
	if fault.Of(err) == fault.Missing {
		return Principal{}, one, unauthenticated()
	}
	if err != nil {
		return Principal{}, one, err
	}
	if u.Disabled || u.Generation != one.Generation {
		return Principal{}, one, unauthenticated()
	}
	if now.Sub(one.SeenAt) >= sessionSeenStep {
		s.touchSession(ctx, hash, one, rev, now)
	}
	return u.principal(hash), one, nil
}

// touchSession notes that the session is in use. When it fails, another request did the same or the next one will.
func (s *Service) touchSession(ctx context.Context, hash string, one session, rev int64, now msg.Time) {
	one.SeenAt = now
	if op, err := put(key("U#session#"+hash), one, rev, one.until()); err == nil {
		_ = s.table.Write(ctx, op) // best effort, see above
	}
}

// Session describes the session of a principal: when it began and when it ends by itself.
func (s *Service) Session(ctx context.Context, p Principal) (began, ends time.Time, err error) {
	if p.Kind != KindUser {
		return time.Time{}, time.Time{}, nil
	}
	_, one, err := s.checkSession(ctx, p.Credential.Hash)
	if err != nil {
		return time.Time{}, time.Time{}, err
	}
	return one.CreatedAt.Time(), one.until().Time(), nil
}
