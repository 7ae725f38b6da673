package cost

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// aim is what a case is meant to take: units and dollars per million, for a chat message.
type aim struct{ units, dollars float64 }

var aims = map[string]aim{Alone: {8, 10}, TenOfTen: {7.2, 8}, TenOfOne: {5.5, 6.5}}

// Print writes the report as Markdown.
func Print(w io.Writer, m *Measured, p Prices, a Assumptions) error {
	r := &report{m: m, p: p, a: a}
	r.head()
	r.messages()
	r.kinds()
	r.bills()
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
	a Assumptions
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
	r.say("Units are write request units for each message, index entries included. \"With a push\" tells %d connected agent of each message.\n", r.a.Agents)
	r.say("| channel | case | units | reads | $ | units with a push | reads | $ with a push | aim: units, $ | |")
	r.say("|---|---|---:|---:|---:|---:|---:|---:|---|---|")
	for _, channel := range Channels() {
		for _, name := range Cases() {
			quiet, pushed := r.m.Quiet[channel][name], r.m.Pushed[channel][name]
			dollars := Total(perMillion(quiet, r.p))
			goal, verdict := "", ""
			if to, ok := aims[name]; ok && (channel == "whatsapp" || channel == "webhook") {
				goal = fmt.Sprintf("%.1f, %.2f", to.units, to.dollars)
				verdict = "units " + against(quiet.Units(), to.units) + ", $ " + against(dollars, to.dollars)
			}
			r.say("| %s | %s | %.2f | %.2f | %.2f | %.2f | %.2f | %.2f | %s | %s |", channel, name, quiet.Units(), quiet.ReadUnits, dollars,
				pushed.Units(), pushed.ReadUnits, Total(perMillion(pushed, r.p)), goal, verdict)
		}
	}
	r.say("\nA note is what a batch writes about its envelopes (docs/adr/0012): one item, whatever it holds, for both ledgers. Mail has no numbers, so")
	r.say("its events are in tallies as well, one for each shard of the stream that a batch's external IDs come through.\n")
}

// against says how a figure stands to its aim.
func against(got, aim float64) string {
	if got > aim+0.005 {
		return fmt.Sprintf("missed by %.2f", got-aim)
	}
	return "met"
}

// perMillion is the bill of a million times u.
func perMillion(u *Use, p Prices) []Line {
	v := scaled(u, 1e6)
	return v.Bill(p)
}

// kinds says which writes take the units.
func (r *report) kinds() {
	r.say("## Which writes take the units\n")
	r.say("Units for each message by kind of item, without pushes.\n")
	for _, channel := range Channels() {
		var kinds []string
		for _, name := range Cases() {
			for _, k := range sortedKeys(r.m.Quiet[channel][name].ByKind) {
				if !slices.Contains(kinds, k) {
					kinds = append(kinds, k)
				}
			}
		}
		slices.Sort(kinds)
		r.say("| %s | %s |", channel, strings.Join(Cases(), " | "))
		r.say("|---|%s", strings.Repeat("---:|", len(Cases())))
		for _, k := range kinds {
			row := "| " + k + " |"
			for _, name := range Cases() {
				row += fmt.Sprintf(" %.2f |", r.m.Quiet[channel][name].ByKind[k])
			}
			r.say("%s", row)
		}
		r.say("")
	}
}

// bills says which service takes the dollars.
func (r *report) bills() {
	r.say("## Which services take the dollars\n")
	r.say("Per million messages, with a push.\n")
	for _, channel := range Channels() {
		r.say("| %s | %s |", channel, strings.Join(Cases(), " | "))
		r.say("|---|%s", strings.Repeat("---:|", len(Cases())))
		bills := make([][]Line, len(Cases()))
		for i, name := range Cases() {
			bills[i] = perMillion(r.m.Pushed[channel][name], r.p)
		}
		for n, line := range bills[0] {
			row, any := "| "+line.What+" |", false
			for i := range bills {
				row += fmt.Sprintf(" %.2f |", bills[i][n].Dollars)
				any = any || bills[i][n].Dollars > 0
			}
			if any {
				r.say("%s", row)
			}
		}
		r.say("")
	}
	r.say("Time billed for each call of a function, in milliseconds, and calls for each message, alone on an open case with a push:\n")
	r.say("| channel | functions |\n|---|---|")
	for _, channel := range Channels() {
		u := r.m.Pushed[channel][Alone]
		var all []string
		for _, f := range sortedKeys(u.Calls) {
			all = append(all, fmt.Sprintf("%s %.0f ms × %.1f", f, u.Milliseconds[f]/u.Calls[f], u.Calls[f]))
		}
		r.say("| %s | %s |", channel, strings.Join(all, ", "))
	}
	r.say("")
}

// Idle is a month in which nothing comes in.
func Idle(m *Measured, a Assumptions) Use {
	const minutes = 365.25 / 12 * 24 * 60
	u := scaled(m.Tick, minutes)
	u.ScheduleCalls = minutes
	u.SQSRequests += a.EmptyReceives * float64(a.Queues)
	u.Alarms, u.Metrics, u.TableGB, u.S3GB, u.LogStoredGB = 10, 10, 0.01, 0.01, 0.02
	return u
}

func (r *report) idle() {
	u := Idle(r.m, r.a)
	free := u.without(Always())
	r.say("## Idle: what a month without a message costs\n")
	r.say("The pollers of %d queues, Tick each minute, 10 alarms, 10 metrics, a nearly empty table with point-in-time recovery.\n", r.a.Queues)
	r.say("| service | list price | with the free tier that does not end |\n|---|---:|---:|")
	with := free.Bill(r.p)
	for n, line := range u.Bill(r.p) {
		if line.Dollars > 0 {
			r.say("| %s | %.2f | %.2f |", line.What, line.Dollars, with[n].Dollars)
		}
	}
	total := Total(with)
	verdict := "met"
	if total > 2 {
		verdict = "missed"
	}
	r.say("| **all** | **%.2f** | **%.2f** (aim: under 2: %s) |\n", Total(u.Bill(r.p)), total, verdict)
}

// Month is what a desk takes in a month, the idle part included.
func Month(m *Measured, a Assumptions, d Desk) Use {
	u := Idle(m, a)
	inbound := float64(d.Agents) * d.Inbound * d.Days
	for channel, share := range d.Mix {
		u.Add(m.Pushed[channel][Alone], inbound*share*(1-d.First))
		u.Add(m.Pushed[channel][First], inbound*share*d.First)
	}
	// Everybody who is connected hears of everything of the team: a team has ten agents.
	team := min(float64(d.Agents), 10)
	u.SocketMessages *= team
	u.Add(answer(a), inbound*d.Answers)
	u.SocketMessages += 5 * inbound * d.Answers * (team - 1)
	u.Add(request(a), inbound*d.Requests)
	u.SocketMinutes += float64(d.Agents) * d.Days * d.Hours * 60
	u.SocketMessages += float64(d.Agents) * d.Days * d.Hours * 60 / 5 * 2 // a ping and its answer every five minutes
	u.TableGB += inbound * (1 + d.Answers) * d.Bytes * 12 / 1e9
	u.S3GB += inbound * d.Mix["email"] * 50_000 * 12 / 1e9
	return u
}

// answer is what an answer takes until it is read, by reckoning: the request, the reply's entry, case and key in one
// transaction, sending and accepted, three receipts by webhook, and a notification for each of the five states.
func answer(a Assumptions) *Use {
	u := &Use{HTTPRequests: 4, WriteUnits: 6 + 2 + 6 + 3*2 + 5*2 + 5, IndexUnits: 6, ReadUnits: 30, SQSRequests: 3 + 3*3, SocketMessages: 5}
	for function, each := range map[string][2]float64{"api": {1, 80}, "deliver": {1, 350}, "webhook": {3, 15}, "process": {3, 50}, "react": {10, 25}} {
		u.LambdaRequests += each[0]
		u.LambdaGBSeconds += each[0] * each[1] / 1000 * a.Memory[function] / 1024
		u.LogBytes += each[0] * a.PlatformLog
	}
	return u
}

// request is one request of an open inbox: the work list or a timeline.
func request(a Assumptions) *Use {
	return &Use{HTTPRequests: 1, LambdaRequests: 1, LambdaGBSeconds: 0.06 * a.Memory["api"] / 1024, ReadUnits: 6, LogBytes: a.PlatformLog}
}

func (r *report) desks() {
	r.say("## What a desk pays in a month\n")
	d := DeskOf(1)
	r.say("Each agent has %.0f inbound messages on each of %.0f working days, answers each, and the inbox asks the API %.0f times for each message;", d.Inbound, d.Days, d.Requests)
	r.say("%.0f %% open a case; WhatsApp %.0f %%, mail %.0f %%, forms %.0f %%, webhooks %.0f %%; every message is alone (the dear case) and pushed to the ten agents of",
		100*d.First, 100*d.Mix["whatsapp"], 100*d.Mix["email"], 100*d.Mix["form"], 100*d.Mix["webhook"])
	r.say("its team; sockets are open %.0f hours a day; a year of %.0f bytes for each message is stored. Answers and requests are reckoned, not measured. Providers'", d.Hours, d.Bytes)
	r.say("own prices (a WhatsApp template, a telephone number) are not in it.\n")
	r.say("| agents | inbound messages | list price | with the free tier | for each agent | largest parts |\n|---:|---:|---:|---:|---:|---|")
	for _, n := range []int{5, 50, 500} {
		u := Month(r.m, r.a, DeskOf(n))
		free := u.without(Always())
		bill := free.Bill(r.p)
		slices.SortFunc(bill, func(a, b Line) int {
			if a.Dollars > b.Dollars {
				return -1
			}
			return 1
		})
		var parts []string
		for _, l := range bill[:4] {
			parts = append(parts, fmt.Sprintf("%s %.2f", l.What, l.Dollars))
		}
		r.say("| %d | %.0f | %.2f | %.2f | %.2f | %s |", n, float64(n)*d.Inbound*d.Days, Total(u.Bill(r.p)), Total(bill), Total(bill)/float64(n), strings.Join(parts, ", "))
	}
	r.say("")
}

func (r *report) assumptions() {
	r.say("## Assumptions\n")
	r.say("- Billed time of a call = what passes here while each call to AWS is stretched to the time below, and the processor's time once more for the")
	r.say("  part of a processor that a function does not have (%.0f MB are one processor). Memory: %s.", r.a.FullCPU, memories(r.a.Memory))
	var calls []string
	for _, name := range sortedKeys(r.a.Latency) {
		calls = append(calls, fmt.Sprintf("%s %d ms", name, r.a.Latency[name].Milliseconds()))
	}
	r.say("  The fastest of %d rounds counts for the time, the mean for everything else.", rounds)
	r.say("- Calls to AWS: %s, others %d ms.", strings.Join(calls, ", "), r.a.Other.Milliseconds())
	r.say("- The table has %d partitions, so up to %d shards call React for one batch. The event source lets only entries, cases, external IDs and", r.a.Shards, r.a.Shards)
	r.say("  quarantine through; the calls with which its windows of 15 minutes end are not counted.")
	r.say("- Alone means alone: a queue batch of one, so receiving and deleting are two requests for one message.")
	r.say("- Lambda logs %.0f bytes for each call beside what the program logs, the HTTP API %.0f for each request; CloudWatch adds %.0f to each line.",
		r.a.PlatformLog, r.a.AccessLog, r.a.LogEvent)
	r.say("- A mail is some 1.5 KB; SES's object is one PUT, its notice one publish and one queue message. First calls of a new instance (about 100 ms) are not in it.")
	r.say("- Folding notes takes a unit for each KB of an account's fold, once for 200 notes or a day, and an instance that ends one unit: neither is in it.")
	r.say("- A first contact on WhatsApp names two identities (number and user ID).")
}

func fmtCells(units, dollars float64) string { return fmt.Sprintf(" %.2f | %.2f |", units, dollars) }

func memories(m map[string]float64) string {
	var all []string
	for _, f := range sortedKeys(m) {
		all = append(all, fmt.Sprintf("%s %.0f", f, m[f]))
	}
	return strings.Join(all, ", ") + " MB"
}
