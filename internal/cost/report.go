package cost

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// aim is what a case is meant to take: units and dollars per million, for a chat message.
type aim struct{ units, dollars float64 }

var aims = map[string]aim{Alone: {8, 10}, TenOfTen: {7.2, 8}, TenOfOne: {5.5, 6.5}}

// idleAim is what an idle month is meant to cost with the free tier.
const idleAim = 2

// Print writes the report as Markdown.
func Print(w io.Writer, m *Measured, p Prices, a *Assumptions) error {
	r := &report{m: m, p: p, a: a}
	r.head()
	r.messages()
	r.aims()
	r.kinds()
	r.bills()
	r.quantities()
	r.studies()
	r.idle()
	r.desks()
	r.assumptions()
	_, err := io.WriteString(w, r.b.String())
	return err
}

type report struct {
	b strings.Builder
	m *Measured
	p Prices
	a *Assumptions
}

func (r *report) say(format string, args ...any) { fmt.Fprintf(&r.b, format+"\n", args...) }

func (r *report) head() {
	r.say("# What a message costs on AWS\n")
	r.say("Made by `make cost`: the real handlers over stand-ins, units counted by AWS's rules from the writes really made (`dynamo.Meter`), calls,")
	r.say("log bytes and processor time counted while each call takes as long as it is assumed to take on AWS. Prices of %s, %s, without VAT and", r.p.Region, r.p.Date)
	r.say("without the free tier unless a line says so.\n")
}

func (r *report) messages() {
	r.say("## Dollars per million inbound messages\n")
	r.say("Units are write request units for each message, index entries included. \"With a push\" tells one connected agent of each message, whose")
	r.say("session is looked at anew, as after a pause.\n")
	r.say("| channel | case | units | reads | $ | units with a push | reads | $ with a push |")
	r.say("|---|---|---:|---:|---:|---:|---:|---:|")
	for _, channel := range r.m.Plan.Channels {
		for _, name := range r.m.Plan.Cases {
			quiet, pushed := r.m.Quiet[channel][name], r.m.Pushed[channel][name]
			r.say("| %s | %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |", channel, name, quiet.Units(), quiet.ReadUnits, r.million(quiet),
				pushed.Units(), pushed.ReadUnits, r.million(pushed))
		}
	}
	r.say("\nA note is what a batch writes about its envelopes (docs/adr/0012): one item, whatever it holds, for both ledgers. Mail has no numbers, so")
	r.say("its events are in tallies as well, one for each shard of the stream that a batch's external IDs come through.\n")
}

// aims says how chat messages stand to what they are meant to take.
func (r *report) aims() {
	r.say("## The aims\n")
	r.say("They are for chat messages. Whether they are met is said of both: with nobody told, and with a push to one agent.\n")
	r.say("| channel | case | aim: units | without a push | with one | aim: $ | without a push | with one |")
	r.say("|---|---|---:|---|---|---:|---|---|")
	for _, channel := range r.m.Plan.Channels {
		if channel != "whatsapp" && channel != "webhook" {
			continue
		}
		for _, name := range r.m.Plan.Cases {
			to, ok := aims[name]
			if !ok {
				continue
			}
			quiet, pushed := r.m.Quiet[channel][name], r.m.Pushed[channel][name]
			r.say("| %s | %s | %.1f | %s | %s | %.2f | %s | %s |", channel, name, to.units, against(quiet.Units(), to.units), against(pushed.Units(), to.units),
				to.dollars, against(r.million(quiet), to.dollars), against(r.million(pushed), to.dollars))
		}
	}
	r.say("")
}

// against says how a figure stands to its aim.
func against(got, aim float64) string {
	if got > aim+0.005 {
		return fmt.Sprintf("%.2f: missed by %.2f", got, got-aim)
	}
	return fmt.Sprintf("%.2f: met", got)
}

// perMillion is the bill of a million times u.
func perMillion(u *Use, p Prices) []Line {
	v := scaled(u, 1e6)
	return v.Bill(p)
}

func (r *report) million(u *Use) float64 { return Total(perMillion(u, r.p)) }

// kinds says which writes take the units.
func (r *report) kinds() {
	r.say("## Which writes take the units\n")
	r.say("Units for each message by kind of item, without pushes.\n")
	for _, channel := range r.m.Plan.Channels {
		kinds := map[string]bool{}
		for _, name := range r.m.Plan.Cases {
			for k := range r.m.Quiet[channel][name].ByKind {
				kinds[k] = true
			}
		}
		r.caseHead(channel)
		for _, k := range sortedKeys(kinds) {
			r.row(k, "%.2f", func(name string) float64 { return r.m.Quiet[channel][name].ByKind[k] })
		}
		r.say("")
	}
}

// caseHead begins a table with a column for each case.
func (r *report) caseHead(first string) {
	r.say("| %s | %s |", first, strings.Join(r.m.Plan.Cases, " | "))
	r.say("|---|%s", strings.Repeat("---:|", len(r.m.Plan.Cases)))
}

func (r *report) row(first, format string, of func(name string) float64) {
	row := "| " + first + " |"
	for _, name := range r.m.Plan.Cases {
		row += fmt.Sprintf(" "+format+" |", of(name))
	}
	r.say("%s", row)
}

// bills says which service takes the dollars.
func (r *report) bills() {
	r.say("## Which services take the dollars\n")
	r.say("Per million messages, with a push.\n")
	for _, channel := range r.m.Plan.Channels {
		r.caseHead(channel)
		bills := map[string][]Line{}
		for _, name := range r.m.Plan.Cases {
			bills[name] = perMillion(r.m.Pushed[channel][name], r.p)
		}
		for n, line := range bills[r.m.Plan.Cases[0]] {
			if slices.ContainsFunc(r.m.Plan.Cases, func(name string) bool { return bills[name][n].Dollars > 0 }) {
				r.row(line.What, "%.2f", func(name string) float64 { return bills[name][n].Dollars })
			}
		}
		r.say("")
	}
}

// quantities are what is priced, beside units.
func (r *report) quantities() {
	r.say("## What else is counted\n")
	r.say("For each message, with a push: time billed and calls of functions, and what other services are asked.\n")
	for _, channel := range r.m.Plan.Channels {
		r.caseHead(channel)
		use := r.m.Pushed[channel]
		for _, one := range []struct {
			what, format string
			of           func(u *Use) float64
		}{
			{"Lambda: calls", "%.2f", func(u *Use) float64 { return u.LambdaRequests }},
			{"Lambda: GB-seconds in a million", "%.0f", func(u *Use) float64 { return 1e6 * u.LambdaGBSeconds }},
			{"SQS: requests", "%.2f", func(u *Use) float64 { return u.SQSRequests }},
			{"SQS: of them with a group (fair queues)", "%.2f", func(u *Use) float64 { return u.FairRequests }},
			{"S3: PUT", "%.2f", func(u *Use) float64 { return u.S3Puts }},
			{"S3: GET", "%.2f", func(u *Use) float64 { return u.S3Gets }},
			{"logs: bytes", "%.0f", func(u *Use) float64 { return u.LogBytes }},
			{"socket: messages", "%.2f", func(u *Use) float64 { return u.SocketMessages }},
		} {
			r.row(one.what, one.format, func(name string) float64 { return one.of(use[name]) })
		}
		r.say("")
		var all []string
		u := use[r.m.Plan.Cases[0]]
		for _, f := range sortedKeys(u.Calls) {
			all = append(all, fmt.Sprintf("%s %.0f ms × %.1f", f, u.Milliseconds[f]/u.Calls[f], u.Calls[f]))
		}
		r.say("Functions, %s: %s.\n", r.m.Plan.Cases[0], strings.Join(all, ", "))
	}
	lines := 1e6 * r.m.Pushed[r.m.Plan.Channels[0]][r.m.Plan.Cases[0]].LambdaRequests * r.a.ReportLog * r.p.LogGB / 1e9
	if r.a.Reports() {
		r.say("Lambda's own lines about each call are among the bytes: $%.2f of the first case above. SystemLogLevel WARN would save them.\n", lines)
		return
	}
	r.say("Lambda logs nothing of calls that succeed (SystemLogLevel is %s). With LogLevel=debug its lines come back: $%.2f more in the first", r.a.SystemLog, lines)
	r.say("case above, beside what the program says then.\n")
}

func (r *report) studies() {
	r.say("## What would reach 6 and 4 dollars\n")
	r.say("WhatsApp without pushes; each line on top of those before it. *Reckoned* is taken off the writes and reads measured above; *measured* was")
	r.say("played with a prototype that is no part of the program (internal/cost/study.go): the same items in single writes, the same message as a")
	r.say("function URL hands it over, and then without some of the items. What each gives up is in docs/adr/0013. Not played, and in no figure:")
	r.say("repairs, how a socket resumes without notifications, and what tells an instance that an identity that it remembers has changed. The last")
	r.say("line is of customers whom the instance knows.\n")
	head, rule := "| change |", "|---|"
	var cases []string
	for _, name := range r.m.Plan.Cases {
		if name != First {
			cases = append(cases, name)
			head += fmt.Sprintf(" %s: units reckoned | measured | $ reckoned | measured |", name)
			rule += "---:|---:|---:|---:|"
		}
	}
	r.say("%s\n%s", head, rule)
	reckoned := map[string]*Use{}
	for _, name := range cases {
		u := scaled(r.m.Quiet["whatsapp"][name], 1)
		reckoned[name] = &u
	}
	for _, c := range studied(r.a) {
		row := "| " + c.what + " |"
		for _, name := range cases {
			u := reckoned[name]
			c.apply(u)
			is := r.m.Studied[c.what][name]
			row += fmt.Sprintf(" %.2f | %.2f | %.2f | %.2f |", u.Units(), is.Units(), r.million(u), r.million(is))
		}
		r.say("%s", row)
	}
	steps := studied(r.a)
	react := func(s step, name string) float64 { return r.m.Studied[steps[s].what][name].Calls["react"] }
	r.say("\nWithout notes external IDs are tallied from the stream, mostly through another shard than their entry. So React is called more often for")
	r.say("each message, which was not reckoned: %s.", strings.Join(each(cases, func(name string) string {
		return fmt.Sprintf("%s %.2f times instead of %.2f", name, react(noNotes, name), react(functionURL, name))
	}), ", "))
	end := r.m.WindowEnd
	r.say("The end of a window of %d minutes is not in the table either: %.2f units and %.2f reads for each shard that an account's messages came", windowMinutes, end.Units(), end.ReadUnits)
	r.say("through (measured), so a message that is alone in its window saves nothing by it. For each message of a desk with one account that is at")
	r.say("most %s.\n", strings.Join(each(r.m.Plan.Desks, func(agents int) string {
		d := DeskOf(agents)
		u := scaled(end, float64(r.a.Shards)/(d.messages()/d.Days/d.Hours*windowMinutes/60))
		return fmt.Sprintf("%.2f units with %d agents", u.Units(), agents)
	}), ", "))
}

// windowMinutes is how long the stream's window is, as template.yaml says.
const windowMinutes = 15

func each[T any](all []T, say func(T) string) []string {
	said := make([]string, len(all))
	for i := range all {
		said[i] = say(all[i])
	}
	return said
}

func (r *report) idle() {
	u := Idle(r.m, r.a)
	free := u.without(Always())
	r.say("## Idle: what a month without a message costs\n")
	r.say("The pollers of %d queues, Tick each minute, %d alarms that look at %d metrics, %d metrics of our own, a dashboard, a nearly empty table with", r.a.Queues, r.a.Alarms, r.a.AlarmMetrics, r.a.Metrics)
	r.say("point-in-time recovery: as template.yaml has them.\n")
	r.say("| service | list price | with the free tier that does not end |\n|---|---:|---:|")
	with := free.Bill(r.p)
	for n, line := range u.Bill(r.p) {
		if line.Dollars > 0 {
			r.say("| %s | %.2f | %.2f |", line.What, line.Dollars, with[n].Dollars)
		}
	}
	r.say("| **all** | **%.2f** | **%s** (aim: under %d) |\n", Total(u.Bill(r.p)), against(Total(with), idleAim), idleAim)
}

func (r *report) desks() {
	d := DeskOf(1)
	r.say("## What a desk pays in a month\n")
	r.say("Each agent has %.0f inbound messages on each of %.0f working days, answers each, and the inbox asks the API for the work list %.0f times and for a", d.Inbound, d.Days, d.Lists)
	r.say("timeline %.0f times for each message; %.0f %% open a case; WhatsApp %.0f %%, mail %.0f %%, forms %.0f %%, webhooks %.0f %%. Every message is alone (the dear case).",
		d.Timelines, 100*d.First, 100*d.Mix["whatsapp"], 100*d.Mix["email"], 100*d.Mix["form"], 100*d.Mix["webhook"])
	r.say("All agents have a socket open %.0f hours a day, which says %.0f times an hour that it is there, and the %d of a team are told of its messages", d.Hours, d.Pings, r.a.Team)
	r.say("and of every step of its answers. A year of %.0f bytes for each message is stored. Answers to forms go by mail, to webhooks as on WhatsApp.", d.Bytes)
	r.say("Providers' own prices (a WhatsApp template, a telephone number) are not in it.\n")
	r.say("| agents | inbound messages | list price | with the free tier | for each agent | largest parts |\n|---:|---:|---:|---:|---:|---|")
	for _, n := range r.m.Plan.Desks {
		d := DeskOf(n)
		u := Month(r.m, r.a, d)
		free := u.without(Always())
		bill := free.Bill(r.p)
		slices.SortFunc(bill, func(a, b Line) int { return cmp.Compare(b.Dollars, a.Dollars) })
		var parts []string
		for _, l := range bill[:5] {
			parts = append(parts, fmt.Sprintf("%s %.2f", l.What, l.Dollars))
		}
		r.say("| %d | %.0f | %.2f | %.2f | %.2f | %s |", n, d.messages(), Total(u.Bill(r.p)), Total(bill), Total(bill)/float64(n), strings.Join(parts, ", "))
	}
	r.say("\nWhat a message of WhatsApp takes, alone on an open case, with so many agents there; *looked at* is after a pause, when the session of")
	r.say("everybody who is told is looked at anew, *known* right after another message:\n")
	r.say("| agents there | told | reads, looked at | known | React, ms, looked at | known | $ per million, looked at | known |\n|---:|---:|---:|---:|---:|---:|---:|---:|")
	for _, n := range r.m.Plan.Desks {
		h := r.m.Desks[n]
		ms := func(u *Use) float64 { return u.Milliseconds["react"] / u.Calls["react"] }
		r.say("| %d | %.0f | %.1f | %.1f | %.0f | %.0f | %.2f | %.2f |", n, h.AfterPause.SocketMessages, h.AfterPause.ReadUnits, h.AtOnce.ReadUnits,
			ms(h.AfterPause), ms(h.AtOnce), r.million(h.AfterPause), r.million(h.AtOnce))
	}
	r.say("\nAnd what else is measured, one of each, one agent told:\n")
	r.say("| what | units | reads | functions called | SQS requests | socket messages | $ per million |\n|---|---:|---:|---:|---:|---:|---:|")
	for _, one := range []struct {
		what string
		u    *Use
	}{
		{"an answer by WhatsApp, until it is read", r.m.Answers["whatsapp"]}, {"an answer by mail, until it is delivered", r.m.Answers["email"]},
		{"the work list, a full page", r.m.List}, {"a timeline", r.m.Timeline}, {"a ping of a socket", r.m.Ping},
	} {
		r.say("| %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f |", one.what, one.u.Units(), one.u.ReadUnits, one.u.LambdaRequests, one.u.SQSRequests, one.u.SocketMessages, r.million(one.u))
	}
	r.say("")
}

func (r *report) assumptions() {
	r.say("## Assumptions\n")
	r.say("- Billed time of a call = what passes here while each call to AWS is stretched to the time below, and the processor's time once more for the")
	r.say("  part of a processor that a function does not have (%.0f MB are one processor). Memory, as template.yaml says: %s.", r.a.FullCPU, memories(r.a.Memory))
	var calls []string
	for _, name := range sortedKeys(r.a.Latency) {
		calls = append(calls, fmt.Sprintf("%s %d ms", name, r.a.Latency[name].Milliseconds()))
	}
	r.say("  The fastest of %d rounds counts for the time, the mean for everything else.", r.m.Plan.Rounds)
	r.say("- Calls: %s, others %d ms.", strings.Join(calls, ", "), r.a.Other.Milliseconds())
	r.say("- The table has %d partitions, so up to %d shards call React for one batch. The event source's filter, read out of template.yaml and applied,", r.a.Shards, r.a.Shards)
	r.say("  lets through entries, case headers, quarantine, what may end a session, and external IDs from which something follows. It holds back")
	r.say("  customers, identities, case references, notes, tallies, notifications, and the external ID that a numbered envelope is the first to bring")
	r.say("  (docs/adr/0015): of a message that comes alone React is called once, for its entry and its case header. Mails have no numbers, so")
	r.say("  React is called for their external IDs too. The calls with which windows of 15 minutes end are not counted.")
	r.say("- Alone means alone: a queue batch of one, so receiving and deleting are two requests for one message. Batches of ten are full.")
	r.say("- A request of SQS that carries a message with a group (a fair queue's) costs %.2f per million more. That is second-hand, and which requests", r.p.FairRequests)
	r.say("  pay it is not told: here sends, receives and deletes all do. Mails come through SNS without a group.")
	if r.a.Reports() {
		r.say("- Lambda logs %.0f bytes of each call beside what the program logs; the HTTP API %.0f of each request; CloudWatch adds %.0f to each line.", r.a.ReportLog, r.a.AccessLog, r.a.LogEvent)
	} else {
		r.say("- Lambda logs nothing of calls that succeed (%.0f bytes each with LogLevel=debug), the HTTP API %.0f bytes of each request; CloudWatch adds %.0f to", r.a.ReportLog, r.a.AccessLog, r.a.LogEvent)
		r.say("  each line. The program's lines carry \"timestamp\", as Lambda wants it.")
	}
	r.say("- A mail is some 1.5 KB; SES's object is one PUT, its notice one publish and one queue message. First calls of a new instance (about 100 ms) are not in it.")
	r.say("- Folding notes takes a unit for each KB of an account's fold, once for 200 notes or a day, and an instance that ends one unit: neither is in it.")
	r.say("- A first contact on WhatsApp names two identities (number and user ID).")
	r.say("- A desk's messages come evenly through its hours, and React's instance of each shard looks at a session again %d seconds after it last did.", recheck)
	r.say("- Left out: transfer to the outside (100 GB a month are free), KMS for secrets (20,000 requests are), sockets that open anew every two hours.")
}

func memories(m map[string]float64) string {
	var all []string
	for _, f := range sortedKeys(m) {
		all = append(all, fmt.Sprintf("%s %.0f", f, m[f]))
	}
	return strings.Join(all, ", ") + " MB"
}
