package api

import (
	"context"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Sections of the work list, as its cursors name them.
const (
	sectionNow   = "n" // open: by deadline
	sectionLater = "l" // snoozed, or waiting for the customer
)

// ListCases implements GET /api/v1/cases.
func (h handlers) ListCases(ctx context.Context, r ListCasesRequestObject) (ListCasesResponseObject, error) {
	p := &callOf(ctx).principal
	cursor, err := showCursor("after", r.Params.After)
	if err != nil {
		return nil, err
	}
	q := store.WorkQuery{
		Agent: get(r.Params.Agent), Channel: get(r.Params.Channel), State: timeline.CaseState(get(r.Params.State)),
		Page: store.Page{Limit: limitOf(r.Params.Limit)},
	}
	if q.Teams, err = h.workTeams(ctx, p, &q, r.Params.Team); err != nil {
		return nil, err
	}
	section := sectionNow
	if cursor != "" {
		section, q.Page.After = cursor[:1], cursor[1:]
		if section != sectionNow && section != sectionLater {
			return nil, inQuery(fault.Field("after", "unknown section"))
		}
	} else if q.State != "" && q.State != timeline.CaseOpen {
		section = sectionLater
	}
	cases, next, err := h.workList(ctx, q, section)
	if err != nil {
		return nil, inQuery(err)
	}
	cases = slices.DeleteFunc(cases, func(c *timeline.Case) bool {
		return !p.Sees(c.Team, c.Agent) || r.Params.Team != nil && c.Team != *r.Params.Team
	})
	return ListCases200JSONResponse{Items: viewAll(cases, viewCase), Next: hideCursor(next)}, nil
}

// workTeams are the teams to look at. Another's team gives an empty list, as one that does not exist would. An agent's own
// cases are found by agent, whatever their team; what is not to be seen is left out afterwards.
func (h handlers) workTeams(ctx context.Context, p *auth.Principal, q *store.WorkQuery, team *Team) ([]string, error) {
	if q.Agent != "" {
		return nil, nil
	}
	teams, err := h.Live.TeamsOf(ctx, p)
	if err != nil || team == nil {
		return teams, err
	}
	if !slices.Contains(teams, *team) {
		return []string{"-"}, nil // no team is called so
	}
	return []string{*team}, nil
}

// workList reads one page: what is due, then what waits.
func (h handlers) workList(ctx context.Context, q store.WorkQuery, section string) (cases []*timeline.Case, next string, err error) {
	if section == sectionNow {
		cases, next, err = h.Store.WorkList(ctx, q)
		if err != nil || next != "" {
			return cases, prefixed(sectionNow, next), err
		}
		if q.State == timeline.CaseOpen {
			return cases, "", nil
		}
		q.Page.Limit -= len(cases)
		q.Page.After = ""
		if q.Page.Limit == 0 {
			return cases, sectionLater, nil
		}
	}
	q.Later = true
	later, next, err := h.Store.WorkList(ctx, q)
	if err != nil {
		return nil, "", err
	}
	return append(cases, later...), prefixed(sectionLater, next), nil
}

func prefixed(section, next string) string {
	if next == "" {
		return ""
	}
	return section + next
}

// GetCase implements GET /api/v1/cases/{id}.
func (h handlers) GetCase(ctx context.Context, r GetCaseRequestObject) (GetCaseResponseObject, error) {
	c, err := h.caseOf(ctx, &callOf(ctx).principal, r.Id)
	if err != nil {
		return nil, err
	}
	return GetCase200JSONResponse{caseResponse(c)}, nil
}

func caseResponse(c *timeline.Case) CaseJSONResponse {
	return CaseJSONResponse{Body: viewCase(c), Headers: CaseResponseHeaders{ETag: opt(etag(int64(c.Changed)))}}
}

// ChangeCase implements PATCH /api/v1/cases/{id}.
func (h handlers) ChangeCase(ctx context.Context, r ChangeCaseRequestObject) (ChangeCaseResponseObject, error) {
	p := &callOf(ctx).principal
	c, err := h.caseOf(ctx, p, r.Id)
	if err != nil {
		return nil, err
	}
	if err := h.mayChange(ctx, p, c, r.Body); err != nil {
		return nil, err
	}
	b := r.Body
	patch := store.Patch{
		State: b.State, Agent: b.Agent, Team: b.Team, Subject: b.Subject, Tags: b.Tags, SnoozeTo: b.SnoozedUntil,
	}
	if b.Reason != nil {
		reason := string(*b.Reason)
		patch.Reason = &reason
	}
	if b.SnoozedUntil != nil && b.State == nil {
		snoozed := timeline.CaseSnoozed
		patch.State = &snoozed
	}
	if b.SnoozedUntil != nil && *patch.State != timeline.CaseSnoozed {
		return nil, fault.Field("snoozed_until", "it goes with state snoozed alone")
	}
	if revision, ok := revisionOf(r.Params.IfMatch); ok {
		at := msg.Time(revision)
		patch.IfChanged = &at
	}
	c, err = h.Store.Change(ctx, c.Case, patch)
	if err != nil {
		return nil, stale(err, r.Params.IfMatch)
	}
	return ChangeCase200JSONResponse{caseResponse(c)}, nil
}

// mayChange lets everybody take and leave cases for themselves; the rest of assigning takes a lead.
func (h handlers) mayChange(ctx context.Context, p *auth.Principal, c *timeline.Case, b *CaseChange) error {
	lead := p.May(auth.AssignOthers)
	if b.Team != nil && *b.Team != c.Team {
		if !lead {
			return notAllowed(auth.AssignOthers)
		}
		if err := h.knownTeam(ctx, "team", *b.Team); err != nil {
			return err
		}
	}
	if b.Agent == nil || *b.Agent == c.Agent {
		return nil
	}
	if *b.Agent == p.ID || *b.Agent == "" && c.Agent == p.ID {
		return nil
	}
	if !lead {
		return notAllowed(auth.AssignOthers)
	}
	if *b.Agent == "" {
		return nil
	}
	u, err := h.Auth.User(ctx, *b.Agent)
	if isMissing(err) || err == nil && u.Disabled {
		return fault.Field("agent", "there is no such user, or it is disabled")
	}
	return err
}

// SeeCase implements POST /api/v1/cases/{id}/seen.
func (h handlers) SeeCase(ctx context.Context, r SeeCaseRequestObject) (SeeCaseResponseObject, error) {
	p := &callOf(ctx).principal
	c, err := h.caseOf(ctx, p, r.Id)
	if err != nil {
		return nil, err
	}
	if c.SeenBy == "" && c.State == timeline.CaseOpen {
		if _, err := h.Store.Change(ctx, c.Case, store.Patch{Seen: &p.ID}); err != nil {
			return nil, err
		}
	}
	return SeeCase204Response{}, nil
}

// GetEntry implements GET /api/v1/entries/{id}.
func (h handlers) GetEntry(ctx context.Context, r GetEntryRequestObject) (GetEntryResponseObject, error) {
	e, err := h.entryOf(ctx, &callOf(ctx).principal, r.Id)
	if err != nil {
		return nil, err
	}
	return GetEntry200JSONResponse{EntryJSONResponse(live.Entry(e))}, nil
}

// Decide implements POST /api/v1/entries/{id}/decision.
func (h handlers) Decide(ctx context.Context, r DecideRequestObject) (DecideResponseObject, error) {
	p := &callOf(ctx).principal
	e, err := h.entryOf(ctx, p, r.Id)
	if err != nil {
		return nil, err
	}
	if e.Delivery == nil {
		return nil, fault.Newf(fault.Conflict, "state", "the entry is no answer: there is nothing to decide")
	}
	c, err := h.Store.Case(ctx, e.Case)
	if err != nil {
		return nil, err
	}
	promise, err := h.Pipeline.Promise(ctx, c)
	if err != nil {
		return nil, err
	}
	e, err = h.Store.Decide(ctx, e.Entry, store.Decision(r.Body.Decision), promise)
	if err != nil {
		return nil, err
	}
	return Decide200JSONResponse{EntryJSONResponse(live.Entry(e))}, nil
}

// newestIn is the customer's newest message in the case, nil when there is none.
func (h handlers) newestIn(ctx context.Context, c *timeline.Case) (*timeline.Entry, error) {
	var at msg.Time
	for _, t := range c.LastIn {
		at = max(at, t)
	}
	if at.IsZero() {
		return nil, nil
	}
	entries, _, err := h.Store.Timeline(ctx, c.Customer, store.Page{After: store.CursorAt(at), Limit: 50})
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Case == c.Case && e.Direction == msg.In && e.Kind == msg.KindMessage {
			return e, nil
		}
	}
	return nil, nil
}

// lastOn is when the customer last wrote on a channel and account.
func lastOn(c *timeline.Case, channel, account string) msg.Time {
	prefix := timeline.Conversation(channel, account, "")
	var last msg.Time
	for conversation, at := range c.LastIn {
		if strings.HasPrefix(conversation, prefix) {
			last = max(last, at)
		}
	}
	return last
}
