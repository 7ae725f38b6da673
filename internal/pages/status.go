package pages

import (
	"fmt"
	"net/http"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// StatusView is where a matter stands, as its customer may see it: states and what was written on this page's channel.
// Nothing of other channels, notes or people's full names belongs here: whoever holds the link sees it.
type StatusView struct {
	// Language is the customer's: what the page is shown in when their browser asks for none of ours.
	Language string
	// Reference is the case's human-readable reference; empty until there is a case.
	Reference string
	State     State
	// AnswerBy is when the answer is promised; zero when there is no promise running.
	AnswerBy msg.Time
	Steps    []Step
	Messages []StatusMessage
	// Expires is when the page goes away; zero while that is not known.
	Expires msg.Time
}

// State is a case's state, as customers are told it.
type State string

// The states. Received is for a submission that is durable and not yet a case.
const (
	StateReceived State = "received"
	StateOpen     State = "open"
	StateWaiting  State = "waiting"
	StateSnoozed  State = "snoozed"
	StateSolved   State = "solved"
)

// Step is one thing that happened.
type Step struct {
	Time msg.Time
	Kind StepKind
}

// StepKind says what happened.
type StepKind string

// The kinds of step. A step of another kind is not shown.
const (
	StepReceived StepKind = "received"
	StepSeen     StepKind = "seen"
	StepAnswered StepKind = "answered"
	StepAsked    StepKind = "asked"
	StepSolved   StepKind = "solved"
	StepReopened StepKind = "reopened"
)

// StatusMessage is something that was written, by the customer or, with FromUs, by the desk. Text is plain.
type StatusMessage struct {
	Time   msg.Time
	FromUs bool
	Text   string
	// Files are the names of attached files.
	Files []string
}

func (s *site) showStatus(w http.ResponseWriter, r *http.Request) {
	view, err := s.Status.Status(r.Context(), r.PathValue("token"))
	if err != nil {
		t := s.texts(r, "")
		if fault.Of(err) == fault.Missing {
			s.message(w, r, http.StatusNotFound, t, t.GoneTitle, t.GoneText)
			return
		}
		s.fail(w, r, t, err)
		return
	}
	t := s.texts(r, view.Language)
	p := page{T: t, Title: t.StatusPlain, State: stateText(t, view.State)}
	if view.Reference != "" {
		p.Title = fmt.Sprintf(t.StatusTitle, view.Reference)
	}
	if view.AnswerBy != 0 {
		p.AnswerBy = fmt.Sprintf(t.AnswerBy, s.when(t, view.AnswerBy))
	}
	if view.Expires != 0 {
		p.Expires = fmt.Sprintf(t.Expires, s.when(t, view.Expires))
	}
	for _, step := range view.Steps {
		if text := stepText(t, step.Kind); text != "" {
			p.Steps = append(p.Steps, moment{Machine: step.Time.String(), When: s.when(t, step.Time), Text: text})
		}
	}
	for _, m := range view.Messages {
		who := t.You
		if m.FromUs {
			who, p.AddMore = t.Us, t.AddMore
		}
		p.Messages = append(p.Messages, moment{Machine: m.Time.String(), When: s.when(t, m.Time), Who: who, Text: m.Text, Files: m.Files})
	}
	s.render(w, r, http.StatusOK, "status", p)
}

func stateText(t *Texts, s State) string {
	switch s {
	case StateOpen:
		return t.StateOpen
	case StateWaiting:
		return t.StateWaiting
	case StateSnoozed:
		return t.StateSnoozed
	case StateSolved:
		return t.StateSolved
	}
	return t.StateReceived
}

func stepText(t *Texts, k StepKind) string {
	return map[StepKind]string{StepReceived: t.StepReceived, StepSeen: t.StepSeen, StepAnswered: t.StepAnswered,
		StepAsked: t.StepAsked, StepSolved: t.StepSolved, StepReopened: t.StepReopened}[k]
}
