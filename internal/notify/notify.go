// Package notify tells staff what happened, outside the socket: by mail for now. What is worth telling, and whom, was
// decided when the notification was made (store.Notification); here it is said to those who are present and asked for it.
package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"mime/quotedprintable"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// People says who works where; auth.Service does.
type People interface {
	TeamMembers(ctx context.Context, team string) ([]auth.User, error)
	User(ctx context.Context, id string) (auth.User, error)
}

// Told remembers what was said to whom; store.Store does.
type Told interface {
	Done(ctx context.Context, effect string) (bool, error)
	SetDone(ctx context.Context, effect string) error
	Case(ctx context.Context, id string) (*timeline.Case, error)
}

// Mail notifies by mail. Safe for concurrent use.
type Mail struct {
	People People
	Told   Told
	Mailer channel.Mailer
	// From is the sender's address, asked for each time, because accounts come and go; "" for none, and then nobody is told.
	// BaseURL is where the program is, Now the clock.
	From    func(context.Context) (string, error)
	BaseURL string
	Now     func() msg.Time
	// Channels give channels their proper names; nil shows none. Log hears of mails that will never arrive; nil for nobody.
	Channels *channel.Registry
	Log      *slog.Logger

	mu    sync.Mutex // guards known
	known map[audience]believed
}

// audience is who may be told: a team's members, its leads, or one agent.
type audience struct{ team, who string }

// believed is who wants mail of an audience, as it was a moment ago.
type believed struct {
	people []auth.User
	at     msg.Time
}

// believedFor is how long Wanted goes by what it has read of people: reading all of a large desk for each message costs more than
// the message. Notify, which tells them, reads anew.
const believedFor = 15 * time.Second

// Wanted says of which notifications somebody is still to be told, as far as it is known who works where: that may be
// [believedFor] old.
func (m *Mail) Wanted(ctx context.Context, told []*store.Notification) ([]bool, error) {
	wanted := make([]bool, len(told))
	for i, n := range told {
		people, err := m.believe(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("find out who is told of case %s by mail: %w", n.Case, err)
		}
		for j := range people {
			done, err := m.done(ctx, n, &people[j])
			if err != nil {
				return nil, fmt.Errorf("find out who was told of case %s by mail: %w", n.Case, err)
			}
			wanted[i] = wanted[i] || !done
		}
	}
	return wanted, nil
}

func (m *Mail) believe(ctx context.Context, n *store.Notification) ([]auth.User, error) {
	who, now := audience{n.Team, n.For}, m.Now()
	m.mu.Lock()
	have, ok := m.known[who]
	m.mu.Unlock()
	if ok && now.Sub(have.at) < believedFor {
		return have.people, nil
	}
	people, err := m.audience(ctx, n)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.known == nil || len(m.known) > mostBelieved {
		m.known = map[audience]believed{}
	}
	m.known[who] = believed{people, now}
	return people, nil
}

// mostBelieved bounds what is remembered: each agent of a desk is an audience.
const mostBelieved = 1000

// Notify tells everybody that the notification is for and who wants mail. The mail names the case, the customer and the
// channel; nothing that the customer wrote leaves by it. Each person is told once, or, when the process dies at the wrong
// moment, twice. Who could not be reached does not keep the others from hearing of it.
func (m *Mail) Notify(ctx context.Context, n *store.Notification) error {
	people, err := m.audience(ctx, n)
	if err != nil || len(people) == 0 {
		return err
	}
	c, err := m.Told.Case(ctx, n.Case)
	if err != nil {
		return unlessErased(err)
	}
	from, err := m.From(ctx)
	if err != nil || from == "" {
		return err
	}
	var errs []error
	for i := range people {
		if concerns(n, c, &people[i]) {
			errs = append(errs, m.tell(ctx, from, n, c, &people[i]))
		}
	}
	return errors.Join(errs...)
}

// concerns says that what happened is still news to the person, and the case still theirs to see: mail may be late.
func concerns(n *store.Notification, c *timeline.Case, u *auth.User) bool {
	p := auth.Principal{ID: u.ID, Roles: u.Roles, Teams: u.Teams}
	if !p.Sees(c.Team, c.Agent) {
		return false
	}
	switch n.Why {
	case "unseen":
		return c.SeenBy == ""
	case "new_case", "message", "assigned": // another agent may have it by now
		return n.For == "team" || n.For == "agent:"+c.Agent
	}
	return true
}

// unlessErased drops the error that says that the case was erased in the meantime: there is nothing left to tell of.
func unlessErased(err error) error {
	if fault.Of(err) == fault.Missing {
		return nil
	}
	return err
}

// audience is who should be told: the team's present members of a case that is nobody's, its agent of one that is
// somebody's, the leads of one that nobody looked at.
func (m *Mail) audience(ctx context.Context, n *store.Notification) ([]auth.User, error) {
	if agent, ok := strings.CutPrefix(n.For, "agent:"); ok {
		u, err := m.People.User(ctx, agent)
		if err != nil {
			if fault.Of(err) == fault.Missing {
				return nil, nil
			}
			return nil, err
		}
		return wanting([]auth.User{u}, false), nil
	}
	members, err := m.People.TeamMembers(ctx, n.Team)
	if err != nil {
		return nil, err
	}
	if n.For == "leads" {
		members = slices.DeleteFunc(members, func(u auth.User) bool {
			return !slices.Contains(u.Roles, auth.Lead) && !slices.Contains(u.Roles, auth.Administrator)
		})
		return wanting(members, false), nil
	}
	return wanting(members, true), nil
}

func wanting(users []auth.User, present bool) []auth.User {
	return slices.DeleteFunc(users, func(u auth.User) bool {
		return u.Disabled || !u.NotifyByMail || u.Email == "" || present && u.Presence != auth.Present
	})
}

// together is half of the longest time in which further messages of a case are not worth another mail: whoever was told of
// the case will look.
const together = 5 * time.Minute

// effects are what is noted when the person was told: the notification itself, and for what customers write that there was a
// mail about the case in this stretch of time. before is the stretch before it.
func effects(n *store.Notification, u *auth.User) (own string, stretch, before string) {
	own = "mail " + n.Team + " " + n.Cursor + " " + u.ID
	if n.Why == "new_case" || n.Why == "message" {
		i := int64(n.At) / together.Milliseconds()
		stretch, before = fmt.Sprintf("mail of %s %d %s", n.Case, i, u.ID), fmt.Sprintf("mail of %s %d %s", n.Case, i-1, u.ID)
	}
	return own, stretch, before
}

// done says that the person was told, or told of the same case a moment before.
func (m *Mail) done(ctx context.Context, n *store.Notification, u *auth.User) (bool, error) {
	own, stretch, before := effects(n, u)
	for _, effect := range []string{stretch, before, own} {
		if effect == "" {
			continue
		}
		if done, err := m.Told.Done(ctx, effect); err != nil || done {
			return done, err
		}
	}
	return false, nil
}

func (m *Mail) tell(ctx context.Context, from string, n *store.Notification, c *timeline.Case, u *auth.User) error {
	done, err := m.done(ctx, n, u)
	if err != nil || done {
		return err
	}
	_, err = m.Mailer.SendMail(ctx, from, []string{u.Email}, m.compose(from, n, c, u), "")
	switch fault.Of(err) {
	case fault.Permanent, fault.Uncertain, fault.Invalid:
		// Said once too little is better than said for ever to an address that is none, or twice.
		if m.Log != nil {
			m.Log.WarnContext(ctx, "somebody could not be told by mail", "user", u.ID, "case", c.Reference, "err", err)
		}
	default:
		if err != nil {
			return fmt.Errorf("notify %s of case %s by mail: %w", u.ID, c.Reference, err)
		}
	}
	own, stretch, _ := effects(n, u)
	if stretch != "" {
		if err := m.Told.SetDone(ctx, stretch); err != nil {
			return err
		}
	}
	return m.Told.SetDone(ctx, own)
}

func (m *Mail) compose(from string, n *store.Notification, c *timeline.Case, u *auth.User) []byte {
	subject, text := words(u.Language, n.Why, c, m.channelName(c.Channel))
	text += "\n" + m.BaseURL + "/api/v1/cases/" + c.Reference + "\naikajana timeline " + c.Reference + "\n"
	var b strings.Builder
	header := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	header("From", "Aikajana <"+from+">")
	header("To", "<"+u.Email+">")
	header("Subject", mime.QEncoding.Encode("utf-8", subject))
	header("Date", m.Now().Time().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	header("Message-ID", "<"+strings.NewReplacer("#", ".", " ", ".").Replace(n.Cursor+"."+u.ID)+"@"+domain(from)+">")
	header("References", "<case."+c.Case+"@"+domain(from)+">") // mail programs put what is about one case together
	header("Auto-Submitted", "auto-generated")
	header("X-Auto-Response-Suppress", "All")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	_, _ = body.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))) // a strings.Builder takes everything
	_ = body.Close()
	return []byte(b.String())
}

// channelName is the channel's proper name, or "".
func (m *Mail) channelName(id string) string {
	if m.Channels == nil {
		return ""
	}
	adapter, ok := m.Channels.Get(id)
	if !ok {
		return ""
	}
	return adapter.Info().Name
}

func domain(address string) string {
	_, d, _ := strings.Cut(address, "@")
	return d
}
