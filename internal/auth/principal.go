package auth

import (
	"maps"
	"slices"
)

// Role is what a person does at the desk. Each role may do what the one before it may.
type Role string

// The roles.
const (
	Agent         Role = "agent"
	Lead          Role = "lead"
	Administrator Role = "administrator"
)

// Roles lists the roles, the least first.
func Roles() []Role { return []Role{Agent, Lead, Administrator} }

// Action is one thing that a principal may or may not do.
type Action string

// The actions. Which role may do what is in one place: least.
const (
	// ReadCases: work list, cases, customers, timelines and files of the principal's teams.
	ReadCases Action = "cases.read"
	// WorkCases: answer, note, change, take a case, merge and unmerge, settle a reply.
	WorkCases Action = "cases.work"
	// AssignOthers: give a case to somebody else, or to another team.
	AssignOthers Action = "cases.assign"
	// ReadColleagues: who is there, in which team, present or not.
	ReadColleagues Action = "users.read"
	// ReadOperations: reconciliation, quarantine, accounts without secrets.
	ReadOperations Action = "operations.read"
	// Replay: process again what is in quarantine.
	Replay Action = "operations.replay"
	// ManageAccounts: connect, change and disconnect accounts; bring dead letters back.
	ManageAccounts Action = "accounts.manage"
	// ManageUsers: users, invitations and API tokens.
	ManageUsers Action = "users.manage"
	// ManagePeople: export and erase what is known of a customer.
	ManagePeople Action = "customers.manage"
)

// least says which role an action takes at least, and whether it changes anything.
var least = map[Action]struct {
	role   Role
	writes bool
}{
	ReadCases:      {Agent, false},
	WorkCases:      {Agent, true},
	AssignOthers:   {Lead, true},
	ReadColleagues: {Agent, false},
	ReadOperations: {Lead, false},
	Replay:         {Lead, true},
	ManageAccounts: {Administrator, true},
	ManageUsers:    {Administrator, true},
	ManagePeople:   {Administrator, true},
}

// PrincipalKind says what stands behind a request.
type PrincipalKind string

// The kinds of principal.
const (
	KindUser  PrincipalKind = "user"
	KindToken PrincipalKind = "token"
)

// Scope narrows an API token.
type Scope string

// The scopes. A token without ScopeWrite changes nothing, whatever its roles.
const (
	ScopeRead  Scope = "read"
	ScopeWrite Scope = "write"
)

// Principal is who is asking. It is a snapshot: [Service.Check] renews it.
type Principal struct {
	Kind PrincipalKind
	// ID is the user's, or "token:" and the token's: what entries and the audit log name.
	ID    string
	Name  string
	Roles []Role
	// Teams are those whose cases the principal sees. An administrator sees all, whatever stands here.
	Teams []string
	// Scopes are a token's; a person has both.
	Scopes []Scope
	// Credential is what the principal came with. It opens nothing by itself.
	Credential Credential
}

// Credential refers to the stored session or token, so that it can be checked again later. It holds hashes only.
type Credential struct {
	Kind PrincipalKind `json:"kind"`
	Hash string        `json:"hash"`
}

// Has says that the principal has the role, or one above it.
func (p *Principal) Has(role Role) bool {
	need := slices.Index(Roles(), role)
	return need >= 0 && slices.ContainsFunc(p.Roles, func(r Role) bool { return slices.Index(Roles(), r) >= need })
}

// May says that the principal may do such a thing at all; Sees says to which cases.
func (p *Principal) May(a Action) bool {
	rule, known := least[a]
	if !known || !p.Has(rule.role) {
		return false
	}
	want := ScopeRead
	if rule.writes {
		want = ScopeWrite
	}
	return p.Kind == KindUser || slices.Contains(p.Scopes, want)
}

// Sees says that a case of the given team, assigned to the given agent, is the principal's to see. A case without a team is
// everybody's.
func (p *Principal) Sees(team, agent string) bool {
	return team == "" || p.Has(Administrator) || agent != "" && agent == p.ID || slices.Contains(p.Teams, team)
}

// Actions lists every action, in alphabetical order.
func Actions() []Action { return slices.Sorted(maps.Keys(least)) }
