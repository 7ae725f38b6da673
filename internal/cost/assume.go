package cost

import "time"

// Assumptions are what cannot be measured on one machine, with what the template says. Each is written into the report.
type Assumptions struct {
	// Template is the path of template.yaml.
	Template string
	Deployed
	// FullCPU are the MB of memory that a whole processor comes with.
	FullCPU float64
	// Latency is how long a call to AWS takes from a Lambda of the same region, by service and operation; Other for the rest.
	// Calls of the stand-ins, and of a provider, are stretched to that.
	Latency map[string]time.Duration
	Other   time.Duration
	// Shards are the table's partitions, and so the stream's shards: each calls React by itself.
	Shards int
	// ReportLog is what Lambda itself writes of a call that succeeds, where it does, in bytes; LogEvent what CloudWatch adds to
	// each line.
	ReportLog, LogEvent float64
	// AccessLog is the line of the HTTP API's access log for each request, in bytes.
	AccessLog float64
	// EmptyReceives are what Lambda's pollers ask one empty queue in a month.
	EmptyReceives float64
	// Team is how many agents a team has: they are told of its messages.
	Team int
}

// Assumed are the assumptions of the report, over the template at that path.
func Assumed(template string) (*Assumptions, error) {
	d, err := ReadTemplate(template)
	if err != nil {
		return nil, err
	}
	ms := time.Millisecond
	a := &Assumptions{
		Template: template, Deployed: *d,
		FullCPU: 1769,
		Latency: map[string]time.Duration{
			"DynamoDB.GetItem": 4 * ms, "DynamoDB.Query": 5 * ms, "DynamoDB.PutItem": 5 * ms, "DynamoDB.DeleteItem": 5 * ms,
			"DynamoDB.BatchWriteItem": 7 * ms, "DynamoDB.TransactWriteItems": 12 * ms, "SQS.SendMessage": 8 * ms, "SQS.SendMessageBatch": 9 * ms,
			"S3.PutObject": 30 * ms, "S3.GetObject": 25 * ms, postToConnection: 15 * ms, "SESv2.SendEmail": 60 * ms,
			askProvider: 300 * ms,
		},
		Other: 10 * ms, Shards: 4, LogEvent: 26, AccessLog: 145, EmptyReceives: 650_000, Team: 10,
	}
	a.ReportLog = a.reportLog()
	return a, nil
}

// reportLog is the size of Lambda's lines about a call that succeeds: START, END and REPORT in plain text, platform.start and
// platform.report in JSON, as functions were seen to log them in 2026.
func (a *Assumptions) reportLog() float64 {
	if a.SystemLog == "TEXT" {
		return 71 + 52 + 141 + 3*a.LogEvent
	}
	return 210 + 220 + 2*a.LogEvent
}

// callLog is what a call of a function adds to the logs beside what the program logs.
func (a *Assumptions) callLog() float64 {
	if a.Reports() {
		return a.ReportLog
	}
	return 0
}

func (a *Assumptions) latency(call string) time.Duration {
	if d, ok := a.Latency[call]; ok {
		return d
	}
	return a.Other
}

// Desk is how much a desk does in a month.
type Desk struct {
	Agents int
	// Inbound messages for each agent and working day, and answers for each message.
	Inbound, Answers float64
	// Lists and Timelines are requests of the API for each message: an inbox that is open reads the work list and timelines.
	Lists, Timelines float64
	// Days and Hours that agents work. Pings are how often in an hour a socket says that it is there.
	Days, Hours, Pings float64
	// Mix is how the messages are spread over the channels; First the share that opens a case.
	Mix   map[string]float64
	First float64
	// Bytes are what a message leaves in the table.
	Bytes float64
}

// DeskOf is a desk of that many agents as assumed.
func DeskOf(agents int) Desk {
	return Desk{
		Agents: agents, Inbound: 80, Answers: 1, Lists: 5, Timelines: 5, Days: 21, Hours: 8, Pings: 12,
		Mix: map[string]float64{"whatsapp": 0.5, "email": 0.35, "form": 0.10, "webhook": 0.05}, First: 0.3, Bytes: 3000,
	}
}
