// Package public lets customers' pages at the pipeline: what package pages asks for, answered by store and pipeline. It is
// apart from package app because pages link html/template, which most Lambdas must not.
package public

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/form"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/pages"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Options are what the pages need beside the app.
type Options struct {
	Key      []byte
	BaseURL  string
	Location *time.Location
	Setup    pages.Setup
	Log      *slog.Logger
	NewID    func() string
}

// New makes the pages of an app.
func New(a *app.App, o Options) (http.Handler, error) {
	d := desk{a}
	return pages.New(pages.Deps{
		Intake: d, Forms: d, Status: d, Setup: o.Setup, Key: o.Key, Now: a.Store.Now, NewID: o.NewID, BaseURL: o.BaseURL, Location: o.Location, Log: o.Log,
	})
}

type desk struct{ app *app.App }

// How many submissions one client, and one typed address, may make in an hour.
const (
	perClient  = 60
	perAddress = 20
	hourMillis = int64(time.Hour / time.Millisecond)
)

// Submit makes a submission durable.
func (d desk) Submit(ctx context.Context, accountID string, s form.Submission, client string) (pages.Accepted, error) {
	account, err := d.app.Pipeline.Account(ctx, "form", accountID)
	if err != nil {
		return pages.Accepted{}, err
	}
	address, _ := form.NormalEmail(s.Email) // one person, however they write their address
	for _, limit := range []struct {
		purpose, name string
		most          int
	}{{"form by client", client, perClient}, {"form by address", address, perAddress}} {
		if limit.name == "" {
			continue
		}
		ok, err := d.app.Store.Take(ctx, limit.purpose, limit.name, limit.most, hourMillis)
		if err != nil {
			return pages.Accepted{}, err
		}
		if !ok {
			return pages.Accepted{}, fault.RetryAfter(time.Hour, "rate_limited", "too many forms in an hour; try again later")
		}
	}
	body, err := s.Encode()
	if err != nil {
		return pages.Accepted{}, err
	}
	e := &channel.Envelope{
		ID: d.app.Store.NewID(), Channel: account.Channel, Account: account.ID, ReceivedAt: d.app.Store.Now(), Body: body,
		Header: http.Header{"Content-Type": {"application/json"}},
	}
	if err := d.app.Pipeline.Accept(ctx, e, d.app.Pipeline.Inbound); err != nil {
		return pages.Accepted{}, err
	}
	token, err := d.app.Store.PutStatus(ctx, account.Channel, account.ID, s.EventID())
	if err != nil {
		return pages.Accepted{}, fmt.Errorf("form %s: the submission is safe, its status page is not: %w", accountID, err)
	}
	return pages.Accepted{StatusToken: token}, nil
}

// Form shows an account's form.
func (d desk) Form(ctx context.Context, accountID string) (pages.FormView, error) {
	account, err := d.app.Pipeline.Account(ctx, "form", accountID)
	if err != nil {
		return pages.FormView{}, err
	}
	settings, err := form.ReadSettings(account.Settings)
	if err != nil {
		return pages.FormView{}, err
	}
	promise := d.app.Pipeline.PromiseOf(account)
	return pages.FormView{Form: settings, AnswerWithin: promise.FirstAnswer, WorkingTime: promise.Hours != nil}, nil
}

// Status shows where a matter stands.
func (d desk) Status(ctx context.Context, token string) (pages.StatusView, error) {
	at, err := d.app.Store.Standing(ctx, token)
	if err != nil {
		return pages.StatusView{}, err
	}
	if at.Case == nil {
		return pages.StatusView{State: pages.StateReceived, Steps: []pages.Step{{Time: at.SubmittedAt, Kind: pages.StepReceived}}}, nil
	}
	return view(at.Case, at.Entries), nil
}

// view is what the holder of the link may see: the steps, and what was said where the form's answers go. Notes, other
// channels and the history before this case are not theirs to see here.
func view(c *timeline.Case, entries []*timeline.Entry) pages.StatusView {
	v := pages.StatusView{Reference: c.Reference, State: state(c.State)}
	if c.State == timeline.CaseOpen {
		v.AnswerBy = c.NextDue
	}
	if c.State == timeline.CaseSolved {
		v.Expires = c.Solved.Add(90 * 24 * time.Hour)
	}
	for _, e := range entries {
		if e.Kind != msg.KindMessage || e.Message == nil || e.Automatic || !shown(e) {
			continue
		}
		kind := pages.StepReceived
		if e.Direction == msg.Out {
			kind = pages.StepAnswered
		}
		v.Steps = append(v.Steps, pages.Step{Time: e.Sort, Kind: kind})
		v.Messages = append(v.Messages, pages.StatusMessage{Time: e.Sort, FromUs: e.Direction == msg.Out, Text: e.Message.Text, Files: files(e.Message)})
		if v.Language == "" && e.Direction == msg.In {
			v.Language = e.Message.Language
		}
	}
	if !c.Solved.IsZero() {
		v.Steps = append(v.Steps, pages.Step{Time: c.Solved, Kind: pages.StepSolved})
	}
	return v
}

// shown says that an entry belongs on the page: the form itself, and mail to and from the desk about it.
func shown(e *timeline.Entry) bool {
	return e.Removed.IsZero() && e.State != msg.Failed && (e.Channel == "form" || e.Direction == msg.Out && slices.Contains([]string{"email", "form"}, e.Channel))
}

func files(m *msg.Message) []string {
	var names []string
	for _, p := range m.Parts {
		if p.Media != nil && p.Media.Name != "" {
			names = append(names, p.Media.Name)
		}
	}
	return names
}

func state(s timeline.CaseState) pages.State {
	switch s {
	case timeline.CaseWaiting:
		return pages.StateWaiting
	case timeline.CaseSnoozed:
		return pages.StateSnoozed
	case timeline.CaseSolved:
		return pages.StateSolved
	}
	return pages.StateOpen
}
