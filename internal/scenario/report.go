package scenario

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	mailfake "github.com/aikajana/aikajana/internal/channel/email/fake"
)

// reporter is a world that is told by its mail provider what became of a mail, and not by a mail that comes back.
type reporter interface {
	Report(ctx context.Context, m *leaving, action, status string) error
}

// compileReport has the world say what became of the last mail of the desk, each world in its own way.
func compileReport(a *args) (action, error) {
	act := a.at["ACTION"]
	status := map[string]string{"failed": "5.1.1", "delayed": "4.4.1", "delivered": "2.0.0"}[act] // RFC 3464 section 2.3.3, RFC 3463
	if status == "" {
		return nil, fmt.Errorf("a mail is delivered, delayed or failed, not %q", act)
	}
	return func(ctx context.Context, p *Play) error {
		all := p.outside.mail.all()
		if len(all) == 0 {
			return errors.New("the desk has sent no mail yet")
		}
		last := all[len(all)-1]
		if w, ok := p.world.(reporter); ok {
			return w.Report(in(ctx, "door"), &last, act, status)
		}
		l := mailfake.Bounce(last.Mail, act, status, "as the story says", "report"+strconv.Itoa(p.line)+"@mx.world.example", p.clock.Time())
		return p.mailIn(ctx, a, *l)
	}, nil
}
