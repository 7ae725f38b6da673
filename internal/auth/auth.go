package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Lifetimes of what is handed out. A session ends after either of its two.
const (
	SessionIdle     = 12 * time.Hour
	SessionLife     = 14 * 24 * time.Hour
	InvitationLife  = 7 * 24 * time.Hour
	PasswordReset   = time.Hour
	SetupLife       = 24 * time.Hour
	TicketLife      = 30 * time.Second
	sessionSeenStep = 5 * time.Minute // how exact "last seen" is: one write per step, not per request
	tokenUsedStep   = time.Hour
)

// Codes of this package's errors, for programs; see fault.Code. An error with CodeUnauthenticated or CodeCredentials answers
// 401, one with CodeThrottled 429.
const (
	CodeUnauthenticated = "unauthenticated"
	CodeCredentials     = "credentials"
	CodeThrottled       = "throttled"
	CodeCrossOrigin     = "cross_origin"
	CodeLinkInvalid     = "link_invalid"
	CodeTaken           = "taken"
	CodeRole            = "role"
)

// Config is what a Service needs.
type Config struct {
	Table table.Table
	// Now is the clock; nil means the system's.
	Now func() time.Time
	// Rand is where credentials come from; nil means crypto/rand. A reader of anything else is for tests.
	Rand io.Reader
	// BaseURL is the address under which people reach the deployment, as the operator configured it. When its scheme is
	// https, cookies are Secure whatever the request says. May be nil on a machine that only talks to itself.
	BaseURL *url.URL
	// TrustedProxies is how many proxies of our own stand before the server, each adding to X-Forwarded-For. 0 ignores the
	// header altogether.
	TrustedProxies int
	// TrustedOrigins are origins besides our own ("https://inbox.example") that may send unsafe requests with a cookie.
	TrustedOrigins []string
	// Audit hears of everything that matters for security; nil drops it.
	Audit Auditor
	// Cost is what a password costs to check; the zero Cost means [DefaultCost].
	Cost Cost
}

// Service is the package: safe for concurrent use.
type Service struct {
	table          table.Table
	now            func() time.Time
	rand           io.Reader
	baseURL        *url.URL
	trustedProxies int
	crossOrigin    *http.CrossOriginProtection
	audit          Auditor
	passwords      *hasher
}

// New makes a Service. It reads and writes nothing.
func New(c Config) (*Service, error) {
	s := &Service{
		table: c.Table, now: c.Now, rand: c.Rand, baseURL: c.BaseURL, trustedProxies: c.TrustedProxies,
		crossOrigin: http.NewCrossOriginProtection(), audit: c.Audit,
	}
	if s.table == nil {
		return nil, errors.New("start auth: there is no table")
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.audit == nil {
		s.audit = AuditFunc(func(context.Context, Event) {})
	}
	cost := c.Cost
	if cost == (Cost{}) {
		cost = DefaultCost
	}
	s.passwords = newHasher(cost, s.rand)
	for _, origin := range c.TrustedOrigins {
		if err := s.crossOrigin.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("start auth: trusted origin %q: %w", origin, err)
		}
	}
	return s, nil
}

// Auditor hears what happened, for the audit log. It is called after the fact, must not block for long, and cannot fail the
// action. Safe for concurrent use.
type Auditor interface {
	Audit(context.Context, Event)
}

// AuditFunc makes an Auditor of a function.
type AuditFunc func(context.Context, Event)

// Audit calls f.
func (f AuditFunc) Audit(ctx context.Context, e Event) { f(ctx, e) }

// Event is one line of the audit log. It holds IDs only: no name, no mail address, never a credential.
type Event struct {
	At msg.Time `json:"at"`
	// Kind is one of the Audited… constants.
	Kind string `json:"kind"`
	// Actor is the ID of the principal who did it; empty when nobody was signed in.
	Actor string `json:"actor,omitempty"`
	// Subject is the ID of what it was done to: a user, a token, an invitation.
	Subject string `json:"subject,omitempty"`
	// Session names the session concerned by a short hash of its hash, so that lines can be told apart. It opens nothing.
	Session string `json:"session,omitempty"`
	// Client is the client's address as far as limits go by it: a whole IPv4 address, the /64 of an IPv6 one.
	Client string `json:"client,omitempty"`
}

// What the audit log tells of.
const (
	AuditedSignIn         = "session.started"
	AuditedSignInRefused  = "session.refused"
	AuditedSessionEnded   = "session.ended"
	AuditedSessionsEnded  = "user.sessions_ended"
	AuditedUserCreated    = "user.created"
	AuditedUserChanged    = "user.changed"
	AuditedPassword       = "user.password_changed"
	AuditedTokenCreated   = "token.created"
	AuditedTokenRevoked   = "token.revoked"
	AuditedInvited        = "invitation.created"
	AuditedInviteRevoked  = "invitation.revoked"
	AuditedInviteAccepted = "invitation.accepted"
	AuditedResetCreated   = "password_reset.created"
)

func (s *Service) tell(ctx context.Context, e Event) {
	e.At = msg.TimeOf(s.now())
	s.audit.Audit(ctx, e)
}

// secret makes a credential of 256 bits and the hash to store of it.
func (s *Service) secret(prefix string) (plain, hash string, err error) {
	var raw [32]byte
	if _, err := io.ReadFull(s.rand, raw[:]); err != nil {
		return "", "", fmt.Errorf("make a credential: %w", err)
	}
	plain = prefix + base64.RawURLEncoding.EncodeToString(raw[:])
	return plain, hashOf(plain), nil
}

// shortID makes an ID that names a record in lists and logs; it is not a credential.
func (s *Service) shortID() (string, error) {
	var raw [9]byte
	if _, err := io.ReadFull(s.rand, raw[:]); err != nil {
		return "", fmt.Errorf("make an ID: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

// hashOf is how a credential is looked up. Looking up by hash compares in constant time what matters: a prefix of a hash
// tells nothing of the credential.
func hashOf(plain string) string {
	sum := sha256.Sum256([]byte(plain))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// read gets the item at k into v and returns its revision. An item that is not there is table.ErrNotFound.
func (s *Service) read(ctx context.Context, k table.Key, v any) (int64, error) {
	item, err := s.table.Get(ctx, k)
	if errors.Is(err, table.ErrNotFound) {
		return 0, table.ErrNotFound
	}
	if err != nil {
		return 0, unavailable(err)
	}
	if err := json.Unmarshal(item.Body, v); err != nil {
		return 0, fmt.Errorf("read %s: the stored record is not readable: %w", item.PK, err)
	}
	return item.Rev, nil
}

// item makes an item of v. rev is the revision that it will have; expires may be zero.
func record(k table.Key, v any, rev int64, expires msg.Time) (table.Item, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return table.Item{}, fmt.Errorf("write %s: %w", k.PK, err)
	}
	return table.Item{Key: k, Rev: rev, Body: body, Expires: expires}, nil
}

// put is a Put whose body is v, to be written at revision rev of what is there (0: nothing may be there).
func put(k table.Key, v any, rev int64, expires msg.Time) (table.Op, error) {
	i, err := record(k, v, rev+1, expires)
	if err != nil {
		return table.Op{}, err
	}
	if rev == 0 {
		return table.Put(i, table.Absent), nil
	}
	return table.Put(i, table.At(rev)), nil
}

// putAny is a Put that takes whatever is there: for copies that are written with the record they follow.
func putAny(k table.Key, v any, expires msg.Time) (table.Op, error) {
	i, err := record(k, v, 1, expires)
	return table.Put(i, table.Any), err
}

func key(pk string) table.Key { return table.Key{PK: pk, SK: "A"} }

const listPK = "U#list"

func listKey(kind, id string) table.Key { return table.Key{PK: listPK, SK: kind + "#" + id} }

// unavailable is an error of the table that the caller cannot help: to be tried again.
func unavailable(err error) error {
	if _, ok := errors.AsType[*table.Conflict](err); ok {
		return &fault.Error{Kind: fault.Conflict, Code: "conflict", Err: errors.New("somebody else changed it at the same time: read again and decide")}
	}
	if errors.Is(err, table.ErrBusy) || errors.Is(err, table.ErrLost) {
		return &fault.Error{Kind: fault.Retry, Code: "unavailable", After: time.Second, Err: err}
	}
	return err
}

// unauthenticated is one and the same error for every way of not being known: no, wrong, old or ended credentials.
func unauthenticated() error {
	return fault.Newf(fault.Denied, CodeUnauthenticated, "sign in first: no valid session or API token came with the request")
}
