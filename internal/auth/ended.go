package auth

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/table"
)

// Revoked is what a change of the table may have ended: one credential, or all of a user's.
type Revoked struct {
	Credential Credential
	// User is whose rights changed; "" when it is about one credential.
	User string
}

// Concerns says whether somebody may be affected who is known as the principal ID and came by the credential.
func (r Revoked) Concerns(principal string, c Credential) bool {
	if r.User != "" {
		return principal == r.User
	}
	return c == r.Credential
}

// RevokedBy reads a change of the table: a session or a token is gone, or a user may do less than before, or something else.
// Whether a credential is still good only [Service.Check] says. Not ok for every other change, and for one that cannot be read.
func RevokedBy(c *table.Change) (r Revoked, ok bool) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(c.Key.PK, "U#"), "#")
	switch {
	case !strings.HasPrefix(c.Key.PK, "U#"):
		return r, false
	case kind == "session":
		return Revoked{Credential: Credential{Kind: KindUser, Hash: rest}}, c.New == nil
	case kind == "token":
		return Revoked{Credential: Credential{Kind: KindToken, Hash: rest}}, c.New == nil
	case kind != "user" || c.Old == nil:
		return r, false
	}
	if c.New == nil {
		return Revoked{User: rest}, true
	}
	var was, is storedUser
	if json.Unmarshal(c.Old.Body, &was) != nil || json.Unmarshal(c.New.Body, &is) != nil {
		return r, false
	}
	same := was.Generation == is.Generation && was.Disabled == is.Disabled && slices.Equal(was.Roles, is.Roles) && slices.Equal(was.Teams, is.Teams)
	return Revoked{User: rest}, !same
}
