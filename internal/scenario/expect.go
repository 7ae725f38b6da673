package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/timeline"
)

// unmet is an expectation that was not met.
type unmet struct{ what string }

// Error says what was there instead.
func (u *unmet) Error() string { return u.what }

// compileExpect compares the lines below with what is drawn. Spaces between words do not matter.
func compileExpect(what string) func(*args) (action, error) {
	return func(a *args) (action, error) {
		person := a.at["PERSON"]
		return func(ctx context.Context, p *Play) error {
			got, err := p.draw(ctx, what, person)
			if err != nil {
				return err
			}
			return compareLines(strings.TrimSpace(what+" "+person), got, a.block)
		}, nil
	}
}

// reference is what people call a case: made from random-looking keys, so a script writes CASE.
var reference = regexp.MustCompile(`\b[0-9A-Z]{4}-[0-9A-Z]{4}\b`)

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func (p *Play) draw(ctx context.Context, what, person string) ([]string, error) {
	switch what {
	case "timeline":
		return p.drawTimeline(ctx, person)
	case "cases", "person":
		return p.drawPerson(ctx, person, what == "cases")
	case "nobody":
		_, err := p.customer(ctx, person)
		if err == nil {
			return []string{person + " is known"}, nil
		}
		if errors.Is(err, errNobody) {
			return nil, nil
		}
		return nil, err
	case "work list":
		return p.drawWorkList(ctx)
	case "notifications":
		return p.drawNotifications(ctx)
	case "quarantine":
		list, err := p.quarantine(ctx)
		var lines []string
		for _, q := range list {
			lines = append(lines, q.Channel+" "+q.Account+" "+q.Cause)
		}
		return lines, err
	case "sent":
		var lines []string
		for _, s := range p.outside.whatsapp.Sent() {
			lines = append(lines, s.To+s.Recipient+" "+s.Text)
		}
		return lines, nil
	case "mail":
		var lines []string
		for _, m := range p.outside.mail.all() {
			subject, _ := readable(&m)
			lines = append(lines, strings.Join(m.Recipients, ",")+" "+subject)
		}
		return lines, nil
	}
	return nil, fmt.Errorf("nobody can draw %q", what)
}

func (p *Play) drawTimeline(ctx context.Context, person string) ([]string, error) {
	all, err := p.entries(ctx, person)
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, raw := range all {
		var e timeline.Entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, err
		}
		lines = append(lines, p.drawEntry(&e))
	}
	return lines, nil
}

func (p *Play) drawEntry(e *timeline.Entry) string {
	words := []string{p.drawTime(e.Sort)}
	switch {
	case e.Kind == msg.KindMessage && e.Channel != "":
		words = append(words, string(e.Direction), e.Channel)
	default:
		words = append(words, string(e.Kind))
	}
	if e.Message != nil {
		words = append(words, drawMessage(e.Message)...)
	}
	if e.Signal != nil {
		words = append(words, e.Signal.Type)
	}
	for _, note := range []struct {
		is   bool
		text string
	}{
		{!e.Removed.IsZero(), "(removed)"}, {len(e.Edits) > 0, "(edited)"}, {e.Late, "(late)"}, {e.Automatic, "(automatic)"}, {e.Unverified, "(unverified)"},
	} {
		if note.is {
			words = append(words, note.text)
		}
	}
	for _, r := range e.Reactions {
		words = append(words, r.Emoji)
	}
	if e.Direction == msg.Out && e.State != "" {
		words = append(words, string(e.State))
		if e.Failure != nil {
			words = append(words, e.Failure.Code)
		}
	}
	return strings.Join(append(words, e.Agent), " ")
}

// drawTime is the time of the day, with the date where the day is not the story's first.
func (p *Play) drawTime(t msg.Time) string {
	when := t.Time()
	if now := p.clock.Time(); when.YearDay() != now.YearDay() {
		return when.Format("Jan 2 15:04:05")
	}
	return when.Format(time.TimeOnly)
}

func drawMessage(m *msg.Message) []string {
	var words []string
	if m.Subject != "" {
		words = append(words, "<"+m.Subject+">")
	}
	if m.Text != "" {
		words = append(words, strings.ReplaceAll(m.Text, "\n", " / "))
	}
	for _, part := range m.Parts {
		name := string(part.Kind)
		if name == "image" {
			name = "picture"
		}
		if part.Media != nil && part.Media.State != msg.MediaStored {
			name += ": " + string(part.Media.State)
		}
		words = append(words, "["+name+"]")
		if part.Text != "" {
			words = append(words, part.Text)
		}
	}
	return words
}

func (p *Play) drawPerson(ctx context.Context, person string, cases bool) ([]string, error) {
	id, err := p.customer(ctx, person)
	if err != nil {
		return nil, err
	}
	status, body, err := p.call(ctx, "admin root", http.MethodGet, "/api/v1/customers/"+id, nil, "")
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("read %s: %d %s: %w", person, status, body, err)
	}
	var c struct {
		Name       string
		Identities []struct{ Address msg.Address }
		Person     []string
		Suggested  []struct{ Why string }
		Cases      []timeline.Case
	}
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	var lines []string
	if cases {
		for i := range c.Cases {
			lines = append(lines, p.drawCase(&c.Cases[i]))
		}
		return lines, nil
	}
	lines = append(lines, fmt.Sprintf("%s, %d customers", c.Name, len(c.Person)))
	for _, i := range c.Identities {
		lines = append(lines, i.Address.Kind+" "+i.Address.Value)
	}
	for _, s := range c.Suggested {
		lines = append(lines, "suggested: "+s.Why)
	}
	return lines, nil
}

// drawCase is "open whatsapp Maija in=2 out=1 aino due 10:00:00".
func (p *Play) drawCase(c *timeline.Case) string {
	words := []string{string(c.State), c.Channel, c.CustomerName, "in=" + strconv.Itoa(c.In), "out=" + strconv.Itoa(c.Out)}
	if c.Agent != "" {
		words = append(words, c.Agent)
	}
	if !c.NextDue.IsZero() {
		words = append(words, "due", p.drawTime(c.NextDue))
	}
	if len(c.Unsettled) > 0 {
		words = append(words, "unsettled")
	}
	for _, l := range c.Linked {
		words = append(words, "linked:"+l.Why)
	}
	return strings.Join(words, " ")
}

func (p *Play) drawWorkList(ctx context.Context) ([]string, error) {
	status, body, err := p.call(ctx, "admin root", http.MethodGet, "/api/v1/cases?limit=100", nil, "")
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("read the work list: %d %s: %w", status, body, err)
	}
	var list struct{ Items []timeline.Case }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	var lines []string
	for i := range list.Items {
		lines = append(lines, p.drawCase(&list.Items[i]))
	}
	return lines, nil
}

func (p *Play) drawNotifications(ctx context.Context) ([]string, error) {
	all, err := p.world.App().Store.Notifications(ctx, "support", "", 200)
	var lines []string
	for _, n := range all {
		lines = append(lines, squeeze(p.drawTime(n.At)+" "+n.Why+" "+n.For))
	}
	return lines, err
}

// compileLedger compares the terms that the script names, summed over the channel's accounts.
func compileLedger(a *args) (action, error) {
	for name, value := range a.named {
		if _, err := strconv.Atoi(value); err != nil {
			return nil, fmt.Errorf("%s=%q is no number", name, value)
		}
	}
	return func(ctx context.Context, p *Play) error {
		ledgers, err := p.reconcile(ctx)
		if err != nil {
			return err
		}
		got := map[string]int64{}
		for _, l := range ledgers {
			if l.Channel == a.at["CHANNEL"] {
				for name, n := range map[string]int64{
					"received": l.Received, "stored": l.Stored, "duplicate": l.Duplicate, "quarantined": l.Quarantined, "pending": l.Pending, "dead": l.Dead,
				} {
					got[name] += n
				}
			}
		}
		for name, value := range a.named {
			if want, _ := strconv.ParseInt(value, 10, 64); got[name] != want { // checked above
				return &unmet{fmt.Sprintf("expect ledger %s %s=%s: it is %v", a.at["CHANNEL"], name, value, got)}
			}
		}
		return nil
	}, nil
}

// compileEnvelopes compares the terms of the ledger of envelopes that the script names, summed over the channel's accounts.
func compileEnvelopes(a *args) (action, error) {
	for name, value := range a.named {
		if _, err := strconv.Atoi(value); err != nil && name != "missing" {
			return nil, fmt.Errorf("%s=%q is no number", name, value)
		}
	}
	return func(ctx context.Context, p *Play) error {
		ledgers, err := p.reconcile(ctx)
		if err != nil {
			return err
		}
		got := map[string]int64{}
		missing := ""
		for _, l := range ledgers {
			if e := &l.Envelopes; l.Channel == a.at["CHANNEL"] {
				missing += e.Missing
				for name, n := range map[string]int64{"accepted": e.Accepted, "processed": e.Processed, "queued": e.Queued, "dead": e.Dead} {
					got[name] += n
				}
			}
		}
		for name, value := range a.named {
			want, _ := strconv.ParseInt(value, 10, 64) // checked above
			if name == "missing" && value != missing || name != "missing" && got[name] != want {
				return &unmet{fmt.Sprintf("expect envelopes %s %s=%q: it is %v, missing %q", a.at["CHANNEL"], name, value, got, missing)}
			}
		}
		return nil
	}, nil
}

// ledger is one account of the reconciliation.
type ledger struct {
	Channel, Account                                        string
	Received, Stored, Duplicate, Quarantined, Pending, Dead int64
	Balanced                                                bool
	Envelopes                                               struct {
		Accepted, Processed, Queued, Dead int64
		Missing                           string
	}
	// PutOff is how often an envelope was put off.
	PutOff int `json:"-"`
}

func (p *Play) reconcile(ctx context.Context) ([]ledger, error) {
	status, body, err := p.call(ctx, "admin root", http.MethodGet, "/api/v1/reconciliation", nil, "")
	if err != nil || status != http.StatusOK {
		return nil, fmt.Errorf("read the reconciliation: %d %s: %w", status, body, err)
	}
	var list struct{ Items []ledger }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	for i := range list.Items {
		p.countPutOff(&list.Items[i])
	}
	return list.Items, nil
}

// countPutOff counts how often an envelope of the account was put off. A queue that counts what it accepts takes a put-off
// envelope for a new one (docs/adr/0012): as many as were really put off, no more and no fewer, it has counted twice.
func (p *Play) countPutOff(l *ledger) {
	for name, all := range p.putOff {
		_, counts := p.world.Queue(name).(queue.Counter)
		for _, account := range all {
			if account != l.Channel+"/"+l.Account {
				continue
			}
			l.PutOff++
			if counts {
				l.Envelopes.Accepted--
				l.Envelopes.Processed--
			}
		}
	}
}

// keeping is a world whose table may keep what has expired for days, as DynamoDB does.
type keeping interface {
	Expired(ctx context.Context) (int, error)
}

// expectExpired wants the table to hold items that have expired, where it keeps such: a story about them tells nothing without.
func expectExpired(ctx context.Context, p *Play) error {
	w, ok := p.world.(keeping)
	if !ok {
		return nil // the embedded table lets nobody see them
	}
	n, err := w.Expired(ctx)
	if err == nil && n == 0 {
		err = &unmet{"the table holds nothing that has expired"}
	}
	return err
}
