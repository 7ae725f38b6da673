package cost

import (
	"time"

	"github.com/aikajana/aikajana/internal/live"
)

const recheck = int(live.RecheckEvery / time.Second)

// Idle is a month in which nothing comes in.
func Idle(m *Measured, a *Assumptions) Use {
	const minutes = 365.25 / 12 * 24 * 60
	u := scaled(m.Tick, minutes)
	u.ScheduleCalls = minutes
	u.SQSRequests += a.EmptyReceives * float64(a.Queues)
	u.AlarmMetrics, u.Metrics, u.Dashboards = float64(a.AlarmMetrics), float64(a.Metrics), float64(a.Dashboards)
	u.TableGB, u.S3GB, u.LogStoredGB = 0.01, 0.01, u.LogBytes/1e9
	return u
}

// messages that come in in a month.
func (d *Desk) messages() float64 { return float64(d.Agents) * d.Inbound * d.Days }

// Month is what a desk takes in a month, the idle part included. Its number of agents must be one of the plan's.
func Month(m *Measured, a *Assumptions, d Desk) Use {
	u := Idle(m, a)
	inbound := d.messages()
	answers := map[string]*Use{"whatsapp": m.Answers["whatsapp"], "webhook": m.Answers["whatsapp"], "email": m.Answers["email"], "form": m.Answers["email"]}
	pushes := 0.0
	for channel, share := range d.Mix {
		u.Add(m.Pushed[channel][Alone], inbound*share*(1-d.First))
		u.Add(m.Pushed[channel][First], inbound*share*d.First)
		u.Add(answers[channel], inbound*share*d.Answers)
		// Each of these told one agent once, and was measured after a pause.
		pushes += inbound * share * (1 + d.Answers*answers[channel].SocketMessages)
	}
	further := d.further(m, a, pushes)
	u.Add(&further, pushes)
	u.Add(m.List, inbound*d.Lists)
	u.Add(m.Timeline, inbound*d.Timelines)
	open := float64(d.Agents) * d.Days * d.Hours
	u.Add(m.Ping, open*d.Pings)
	u.SocketMinutes += open * 60
	u.TableGB += inbound * (1 + d.Answers) * d.Bytes * 12 / 1e9
	u.S3GB += inbound * d.Mix["email"] * 50_000 * 12 / 1e9
	u.LogStoredGB = u.LogBytes / 1e9 // kept for 30 days
	return u
}

// further is what a push takes at this desk beyond one that a single agent hears of after a pause: it was measured with messages
// of WhatsApp, and is the same whatever is told. The busier the desk, the seldomer a session is looked at: each shard of the
// stream has an instance of React that remembers for [live.RecheckEvery] whom it looked at.
func (d *Desk) further(m *Measured, a *Assumptions, pushes float64) Use {
	perSecond := pushes / (d.Days * d.Hours * 3600) / float64(a.Shards)
	looked := 1 / (1 + perSecond*live.RecheckEvery.Seconds())
	h := m.Desks[d.Agents]
	u := scaled(h.AfterPause, looked)
	u.Add(h.AtOnce, 1-looked)
	u.Add(m.Pushed["whatsapp"][Alone], -1)
	return u
}
