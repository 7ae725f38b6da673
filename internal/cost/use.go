package cost

import (
	"maps"
	"math"
	"slices"
)

// Use is what something took of AWS: a message, a round of ten, or a month.
type Use struct {
	HTTPRequests, SocketMessages, SocketMinutes float64
	LambdaRequests, LambdaGBSeconds             float64
	WriteUnits, IndexUnits, ReadUnits           float64
	TableGB                                     float64
	// FairRequests are those of SQSRequests that carry a message with a group.
	SQSRequests, FairRequests, SNSPublishes          float64
	S3Puts, S3Gets, S3GB                             float64
	MailsIn, MailChunksIn, MailsOut                  float64
	LogBytes, LogStoredGB                            float64
	AlarmMetrics, Metrics, Dashboards, ScheduleCalls float64

	// ByKind are the write units by kind of item, index entries included: they are among WriteUnits and IndexUnits already.
	ByKind map[string]float64
	// Milliseconds is the time billed by function, and Calls how often each ran.
	Milliseconds, Calls map[string]float64
}

// Units are all write units, those of indexes included.
func (u *Use) Units() float64 { return u.WriteUnits + u.IndexUnits }

// Add adds times v.
func (u *Use) Add(v *Use, times float64) {
	mine, theirs := u.fields(), v.fields()
	for i := range mine {
		*mine[i] += times * *theirs[i]
	}
	addTo(&u.ByKind, v.ByKind, times)
	addTo(&u.Milliseconds, v.Milliseconds, times)
	addTo(&u.Calls, v.Calls, times)
}

func addTo(to *map[string]float64, from map[string]float64, times float64) {
	if *to == nil {
		*to = map[string]float64{}
	}
	for k, n := range from {
		(*to)[k] += times * n
	}
}

func (u *Use) fields() []*float64 {
	return []*float64{
		&u.HTTPRequests, &u.SocketMessages, &u.SocketMinutes, &u.LambdaRequests, &u.LambdaGBSeconds, &u.WriteUnits, &u.IndexUnits, &u.ReadUnits,
		&u.TableGB, &u.SQSRequests, &u.FairRequests, &u.SNSPublishes, &u.S3Puts, &u.S3Gets, &u.S3GB, &u.MailsIn, &u.MailChunksIn, &u.MailsOut, &u.LogBytes,
		&u.LogStoredGB, &u.AlarmMetrics, &u.Metrics, &u.Dashboards, &u.ScheduleCalls,
	}
}

// without is u less what is free, never below nothing.
func (u *Use) without(f Free) Use {
	v := *u
	less := func(field *float64, free float64) { *field = math.Max(0, *field-free) }
	less(&v.LambdaRequests, f.LambdaRequests)
	less(&v.LambdaGBSeconds, f.LambdaGBSeconds)
	less(&v.SQSRequests, f.SQSRequests)
	less(&v.SNSPublishes, f.SNSPublishes)
	less(&v.LogBytes, f.LogGB*1e9)
	less(&v.AlarmMetrics, f.AlarmMetrics)
	less(&v.Metrics, f.Metrics)
	less(&v.Dashboards, f.Dashboards)
	less(&v.TableGB, f.TableGB)
	less(&v.ScheduleCalls, f.ScheduleCalls)
	return v
}

// Line is one row of a bill.
type Line struct {
	What    string
	Dollars float64
}

// Bill prices u, by service.
func (u *Use) Bill(p Prices) []Line {
	const million = 1e6
	return []Line{
		{"HTTP API", u.HTTPRequests * p.HTTPRequests / million},
		{"Lambda", u.LambdaRequests*p.LambdaRequests/million + u.LambdaGBSeconds*p.LambdaGBSecond},
		{"DynamoDB writes", u.Units() * p.WriteUnits / million},
		{"DynamoDB reads", u.ReadUnits * p.ReadUnits / million},
		{"DynamoDB storage", u.TableGB * (p.TableGB + p.RecoveryGB)},
		{"SQS, SNS", (u.SQSRequests*p.SQSRequests + u.FairRequests*p.FairRequests + u.SNSPublishes*p.SNSPublishes) / million},
		{"S3", u.S3Puts*p.S3Puts/million + u.S3Gets*p.S3Gets/million + u.S3GB*p.S3GB},
		{"SES", (u.MailsIn*p.MailsIn + u.MailChunksIn*p.MailChunksIn + u.MailsOut*p.MailsOut) / 1000},
		{"logs", u.LogBytes*p.LogGB/1e9 + u.LogStoredGB*p.LogStoredGB},
		{"socket", u.SocketMessages*p.SocketMessages/million + u.SocketMinutes*p.SocketMinutes/million},
		{"alarms, metrics", u.AlarmMetrics*p.AlarmMetric + u.Metrics*p.Metric},
		{"dashboard, schedule", u.Dashboards*p.Dashboard + u.ScheduleCalls*p.ScheduleCalls/million},
	}
}

// Total sums a bill.
func Total(bill []Line) (sum float64) {
	for _, l := range bill {
		sum += l.Dollars
	}
	return sum
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
