// Package notify tells staff what happened, outside the socket: by mail for now. What is worth telling, and whom, was
// decided when the notification was made (store.Notification); here it is said to those who are present and asked for it.
package notify

import (
	"context"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"slices"
	"strings"

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
	// BaseURL is where the inbox is, Now the clock.
	From    func(context.Context) (string, error)
	BaseURL string
	Now     func() msg.Time
}

// Notify tells everybody that the notification is for and who wants mail. The mail names the case and the customer's channel;
// nothing that the customer wrote leaves by it. Each person is told once, or, when the process dies at the wrong moment,
// twice.
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
	for i := range people {
		if err := m.tell(ctx, from, n, c, &people[i]); err != nil {
			return err
		}
	}
	return nil
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

func (m *Mail) tell(ctx context.Context, from string, n *store.Notification, c *timeline.Case, u *auth.User) error {
	effect := "mail " + n.Team + " " + n.Cursor + " " + u.ID
	done, err := m.Told.Done(ctx, effect)
	if err != nil || done {
		return err
	}
	raw := m.compose(from, n, c, u)
	_, err = m.Mailer.SendMail(ctx, from, []string{u.Email}, raw, "")
	switch fault.Of(err) {
	case fault.Retry:
		return fmt.Errorf("notify %s of case %s by mail: %w", u.ID, c.Reference, err)
	case fault.Permanent, fault.Uncertain, fault.Invalid:
		// Said once too little is better than a feed that stands still for one broken address.
	default:
		if err != nil {
			return fmt.Errorf("notify %s of case %s by mail: %w", u.ID, c.Reference, err)
		}
	}
	return m.Told.SetDone(ctx, effect)
}

func (m *Mail) compose(from string, n *store.Notification, c *timeline.Case, u *auth.User) []byte {
	subject, text := words(u.Language, n.Why, c)
	var b strings.Builder
	header := func(name, value string) { b.WriteString(name + ": " + value + "\r\n") }
	header("From", "Aikajana <"+from+">")
	header("To", "<"+u.Email+">")
	header("Subject", mime.QEncoding.Encode("utf-8", subject))
	header("Date", m.Now().Time().Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	header("Message-ID", "<"+strings.NewReplacer("#", ".", " ", ".").Replace(n.Cursor+"."+u.ID)+"@"+domain(from)+">")
	header("Auto-Submitted", "auto-generated")
	header("X-Auto-Response-Suppress", "All")
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	_, _ = body.Write([]byte(strings.ReplaceAll(text+"\n"+m.BaseURL+"/cases/"+c.Reference+"\n", "\n", "\r\n"))) // a strings.Builder takes everything
	_ = body.Close()
	return []byte(b.String())
}

func domain(address string) string {
	_, d, _ := strings.Cut(address, "@")
	return d
}

// words are what a notification says, in the person's language. The customer's name is shown; what they wrote is not.
func words(language, why string, c *timeline.Case) (subject, text string) {
	texts, ok := said[language]
	if !ok {
		texts = said["en"]
	}
	line, ok := texts[why]
	if !ok {
		line = texts["message"]
	}
	name := c.CustomerName
	if name == "" {
		name = "?"
	}
	return line + " " + c.Reference, fmt.Sprintf("%s: %s\n%s: %s\n", line, c.Reference, texts["customer"], oneLine(name))
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

var said = map[string]map[string]string{
	"en": {
		"new_case": "New case", "message": "New message in case", "failed": "An answer failed in case", "uncertain": "Nobody knows whether an answer went out in case",
		"unseen": "Nobody has opened case", "assigned": "You were given case", "customer": "Customer",
	},
	"fi": {
		"new_case": "Uusi asia", "message": "Uusi viesti asiassa", "failed": "Vastaus ei mennyt perille asiassa", "uncertain": "Ei tiedetä, lähtikö vastaus asiassa",
		"unseen": "Kukaan ei ole avannut asiaa", "assigned": "Sinulle annettiin asia", "customer": "Asiakas",
	},
	"sv": {
		"new_case": "Nytt ärende", "message": "Nytt meddelande i ärende", "failed": "Ett svar gick inte fram i ärende", "uncertain": "Det är oklart om ett svar gick iväg i ärende",
		"unseen": "Ingen har öppnat ärende", "assigned": "Du har fått ärende", "customer": "Kund",
	},
}
