package api

import (
	"context"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/timeline"
)

// What is whose. A case is yours when it is your team's, nobody's team's, or assigned to you. A customer is yours, whole,
// when one of the customer's cases is: who serves somebody must know what the others are saying. Everything else looks
// missing (FAULT 43), so every reader below answers nothingHere alike for what is not there and what is not yours.

// fewCases is how many cases are looked at before all of them are.
const fewCases = 50

// customer says that the person is the principal's to see.
func (a *API) seesCustomer(ctx context.Context, p *auth.Principal, customer string) (bool, error) {
	if p.Has(auth.Administrator) {
		return true, nil
	}
	for _, most := range []int{fewCases, 0} {
		cases, err := a.Store.Cases(ctx, customer, most)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(cases, func(c *timeline.Case) bool { return p.Sees(c.Team, c.Agent) }) {
			return true, nil
		}
		if len(cases) < fewCases {
			break
		}
	}
	return false, nil
}

// caseOf reads a case of the principal's, by ID or reference.
func (a *API) caseOf(ctx context.Context, p *auth.Principal, id string) (*timeline.Case, error) {
	var c *timeline.Case
	var err error
	if len(id) == referenceLen && strings.Contains(id, "-") {
		c, err = a.Store.CaseByReference(ctx, id)
	} else {
		c, err = a.Store.Case(ctx, id)
	}
	if err != nil {
		return nil, err
	}
	if p.Sees(c.Team, c.Agent) {
		return c, nil
	}
	sees, err := a.seesCustomer(ctx, p, c.Customer)
	if err != nil {
		return nil, err
	}
	if !sees {
		return nil, nothingHere()
	}
	return c, nil
}

// referenceLen is the length of what people call a case ("7KQ2-M9XD").
const referenceLen = 9

// entryOf reads an entry of the principal's.
func (a *API) entryOf(ctx context.Context, p *auth.Principal, id string) (*timeline.Entry, error) {
	e, err := a.Store.Entry(ctx, id)
	if err != nil {
		return nil, err
	}
	if _, err := a.caseOf(ctx, p, e.Case); err != nil {
		return nil, err
	}
	return e, nil
}

// personOf reads the person of the principal's that the customer is, with all cases.
func (a *API) personOf(ctx context.Context, p *auth.Principal, customer string) ([]*timeline.Customer, []*timeline.Case, error) {
	person, err := a.Store.Person(ctx, customer)
	if err != nil {
		return nil, nil, err
	}
	cases, err := a.Store.Cases(ctx, customer, 0)
	if err != nil {
		return nil, nil, err
	}
	if !p.Has(auth.Administrator) && !slices.ContainsFunc(cases, func(c *timeline.Case) bool { return p.Sees(c.Team, c.Agent) }) {
		return nil, nil, nothingHere()
	}
	return person, cases, nil
}

// knownTeam refuses a team that nobody is in and no account belongs to: a case given to it would be seen by nobody.
func (a *API) knownTeam(ctx context.Context, field, team string) error {
	all, err := a.Live.Teams(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(all, team) {
		return fault.Field(field, "there is no team %q: no account and no user belongs to it", team)
	}
	return nil
}
