//go:build parts

package cost

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

// small measures every case of WhatsApp once, and a desk of two sizes. Units follow from AWS's rules alone; times belong to the
// machine, and no test looks at them.
var small = sync.OnceValues(func() (*Measured, error) {
	a, err := Assumed(template)
	if err != nil {
		return nil, err
	}
	return Measure(context.Background(), a, Plan{Channels: []string{"whatsapp"}, Cases: Cases(), Rounds: 1, Desks: []int{5, 50}})
})

func measured(t *testing.T) *Measured {
	t.Helper()
	m, err := small()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// same compares units for each message, by kind of item; what is not in want must not have been written.
func same(t *testing.T, what string, use *Use, want map[string]float64) {
	t.Helper()
	got, sum := maps.Clone(use.ByKind), 0.0
	for kind, units := range want {
		sum += units
		if math.Abs(got[kind]-units) > 1e-9 {
			t.Errorf("%s: %s takes %.2f units, want %.2f", what, kind, got[kind], units)
		}
		delete(got, kind)
	}
	if len(got) > 0 {
		t.Errorf("%s: more was written: %v", what, got)
	}
	if math.Abs(use.Units()-sum) > 1e-9 {
		t.Errorf("%s: %.4f units in all, want %.2f", what, use.Units(), sum)
	}
}

func TestMessagesOfWhatsAppTakeTheUnitsThatAWSCounts(t *testing.T) {
	m := measured(t)
	for name, want := range map[string]map[string]float64{
		Alone: {"external ID": 2, "entry": 2, "case header": 2, "note": 1, "notification": 1}, // 8.00
		First: {
			"external ID": 2, "entry": 2, "case header": 2, "case header, in an index": 2, "case reference": 2, "customer": 2, "identity": 4, "note": 1, "notification": 1,
		}, // 18.00
		TenOfTen: {"external ID": 2, "entry": 2, "case header": 2, "note": 0.1, "notification": 1},   // 7.10
		TenOfOne: {"external ID": 2, "entry": 2, "case header": 0.2, "note": 0.1, "notification": 1}, // 5.30
	} {
		same(t, name, m.Quiet["whatsapp"][name], want)
		same(t, name+", pushed", m.Pushed["whatsapp"][name], want)
	}
}

func TestMessagesOfWhatsAppReadWhatTheyMust(t *testing.T) {
	m := measured(t)
	for name, want := range map[string][2]float64{ // without and with a push
		Alone:    {4, 4 + 5},       // two identities, customer, case header; then open sockets, session, user, case, users
		First:    {3, 3 + 5},       // what is new is not read
		TenOfOne: {0.4, 0.4 + 0.5}, // the same five, once for all ten
	} {
		for i, got := range []float64{m.Quiet["whatsapp"][name].ReadUnits, m.Pushed["whatsapp"][name].ReadUnits} {
			if math.Abs(got-want[i]) > 1e-9 {
				t.Errorf("%s, %s: %.2f reads, want %.2f", name, []string{"quiet", "pushed"}[i], got, want[i])
			}
		}
	}
}

func TestEachStepOfTheStudyWritesWhatItMustAndNoMore(t *testing.T) {
	m := measured(t)
	less := func(of map[string]float64, kind string) map[string]float64 {
		rest := maps.Clone(of)
		delete(rest, kind)
		return rest
	}
	for name, single := range map[string]map[string]float64{
		Alone: {"external ID": 1, "entry": 1, "case header": 1, "note": 1, "notification": 1}, // 5.00
		First: {
			"external ID": 1, "entry": 1, "case header": 1, "case header, in an index": 2, "case reference": 1, "customer": 1, "identity": 2, "note": 1, "notification": 1,
		}, // 11.00: an index costs the same
		TenOfTen: {"external ID": 1, "entry": 1, "case header": 1, "note": 0.1, "notification": 1},   // 4.10
		TenOfOne: {"external ID": 1, "entry": 1, "case header": 0.1, "note": 0.1, "notification": 1}, // 3.20
	} {
		unnoted := less(single, "note")
		untold := less(unnoted, "notification")
		for at, s := range studied(&Assumptions{}) {
			use := m.Studied[s.what][name]
			same(t, s.what+", "+name, use, [steps]map[string]float64{m.Quiet["whatsapp"][name].ByKind, single, single, unnoted, untold, untold}[at])
			if want := map[bool]float64{false: 1}[step(at) >= functionURL]; use.HTTPRequests != want {
				t.Errorf("%s, %s: %v requests of the HTTP API, want %v", s.what, name, use.HTTPRequests, want)
			}
		}
	}
}

func TestTheStudyReckonsTheUnitsAndReadsThatItMeasures(t *testing.T) {
	m := measured(t)
	for _, name := range []string{Alone, TenOfTen, TenOfOne} {
		reckoned := scaled(m.Quiet["whatsapp"][name], 1)
		for _, s := range studied(&Assumptions{}) {
			s.apply(&reckoned)
			is := m.Studied[s.what][name]
			if math.Abs(is.Units()-reckoned.Units()) > 1e-9 || math.Abs(is.ReadUnits-reckoned.ReadUnits) > 1e-9 {
				t.Errorf("%s, %s: %.2f units and %.2f reads are reckoned, %.2f and %.2f measured", s.what, name, reckoned.Units(), reckoned.ReadUnits, is.Units(), is.ReadUnits)
			}
		}
	}
}

// What the windows counted is in the ledger at the end, or Measure refuses.
func TestTheEndOfAWindowWritesOneTallyForAShard(t *testing.T) {
	m := measured(t)
	same(t, "the end of a window", m.WindowEnd, map[string]float64{"tally": 1})
}

func TestMessagesPassTheQueueInFairRequestsAndReactOnce(t *testing.T) {
	m := measured(t)
	for name, want := range map[string]Use{
		Alone:    {HTTPRequests: 1, SQSRequests: 3, FairRequests: 3, LambdaRequests: 3, SocketMessages: 1}, // webhook, process, react
		TenOfOne: {HTTPRequests: 1, SQSRequests: 1.2, FairRequests: 1.2, LambdaRequests: 1.2, SocketMessages: 0.1},
	} {
		got := m.Pushed["whatsapp"][name]
		for what, pair := range map[string][2]float64{
			"requests of the HTTP API": {got.HTTPRequests, want.HTTPRequests}, "requests of SQS": {got.SQSRequests, want.SQSRequests},
			"requests of fair queues": {got.FairRequests, want.FairRequests}, "calls of functions": {got.LambdaRequests, want.LambdaRequests},
			"messages of sockets": {got.SocketMessages, want.SocketMessages},
		} {
			if math.Abs(pair[0]-pair[1]) > 1e-9 {
				t.Errorf("%s: %.2f %s, want %.2f", name, pair[0], what, pair[1])
			}
		}
	}
}

func TestATeamIsToldAndNobodyElsesSessionIsLookedAt(t *testing.T) {
	m := measured(t)
	for n, want := range map[int]struct{ told, people float64 }{5: {5, 1}, 50: {10, 4}} { // people: to read all users, who may want mail
		h := m.Desks[n]
		if h.AfterPause.SocketMessages != want.told || h.AtOnce.SocketMessages != want.told {
			t.Errorf("%d agents: %v and %v sockets were told, want %v", n, h.AfterPause.SocketMessages, h.AtOnce.SocketMessages, want.told)
		}
		if got := h.AfterPause.ReadUnits - h.AtOnce.ReadUnits; got != 2*want.told+want.people {
			t.Errorf("%d agents: a pause costs %v reads, want a session and a user of each who is told, and %v for all users", n, got, want.people)
		}
	}
}

func TestReportHasEverySectionThatTheIssueNames(t *testing.T) {
	a, err := Assumed(template)
	if err != nil {
		t.Fatal(err)
	}
	m := *measured(t)
	m.Plan.Channels = Channels()
	m.Quiet, m.Pushed = maps.Clone(m.Quiet), maps.Clone(m.Pushed)
	for _, channel := range Channels() { // the others are measured by "make cost" alone
		m.Quiet[channel], m.Pushed[channel] = m.Quiet["whatsapp"], m.Pushed["whatsapp"]
	}
	m.Desks = maps.Clone(m.Desks)
	m.Plan.Desks = Everything().Desks
	m.Desks[500] = m.Desks[50]
	var b strings.Builder
	if err := Print(&b, &m, Virginia(), a); err != nil {
		t.Fatal(err)
	}
	report := b.String()
	var rows []string
	for _, channel := range Channels() {
		for _, name := range Cases() {
			rows = append(rows, "\n| "+channel+" | "+name+" | ")
		}
		rows = append(rows, "\n| "+channel+" | "+strings.Join(Cases(), " | ")+" |\n")
	}
	idle := Idle(&m, a)
	free := idle.without(Always())
	for _, want := range append(rows,
		"\n## Dollars per million inbound messages\n", "| units | reads | $ | units with a push | reads | $ with a push |",
		"\n## The aims\n", "| whatsapp | alone on an open case | 8.0 | 8.00: met | 8.00: met | 10.00 |",
		"\n## Which writes take the units\n", "\n## Which services take the dollars\n", "\n| Lambda: GB-seconds in a million |", "\n| S3: PUT |", "\n| S3: GET |",
		"\n| SQS: requests | 3.00 |", "\n| logs: bytes |", "\n## What would reach 6 and 4 dollars\n", "| function URL instead of the HTTP API | 5.00 | 5.00 |",
		"| no notification items: resume reads entries | 3.00 | 3.00 |", "\nThe end of a window of 15 minutes is not in the table either: 1.00 units and ",
		"\n## Idle: what a month without a message costs\n", fmt.Sprintf("\n| **all** | **%.2f** | **%.2f: met** (aim: under 2) |", Total(idle.Bill(Virginia())), Total(free.Bill(Virginia()))),
		"\n## What a desk pays in a month\n", "\n| 5 | 8400 | ", "\n| 50 | 84000 | ", "\n| 500 | 840000 | ", "\n## Assumptions\n",
	) {
		if !strings.Contains(report, want) {
			t.Errorf("the report has no %q", want)
		}
	}
	for _, bad := range []string{"NaN", "Inf", "%!"} {
		if strings.Contains(report, bad) {
			t.Errorf("the report has %q", bad)
		}
	}
	if t.Failed() {
		t.Log(report)
	}
}

func TestMakeCostMeasuresAllChannelsCasesAndDesks(t *testing.T) {
	all := Everything()
	if !slices.Equal(all.Channels, []string{"whatsapp", "email", "form", "webhook"}) || len(all.Cases) != 4 || !slices.Equal(all.Desks, []int{5, 50, 500}) || all.Rounds < 2 {
		t.Errorf("the plan is %+v", all)
	}
}
