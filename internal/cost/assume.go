package cost

import "time"

// Assumptions are what cannot be measured on one machine. Each is written into the report.
type Assumptions struct {
	// Memory is what a function has, in MB, as template.yaml says; a vCPU comes with FullCPU MB.
	Memory  map[string]float64
	FullCPU float64
	// Latency is how long a call to AWS takes from a Lambda of the same region, by service and operation; Other for the rest.
	// Calls of the stand-ins are stretched to that.
	Latency map[string]time.Duration
	Other   time.Duration
	// Shards are the table's partitions, and so the stream's shards: each calls React by itself.
	Shards int
	// WindowCalls are the calls with which tumbling windows end, for each call with records. A window of 15 minutes makes that
	// next to nothing while messages come; idle windows end without a call.
	WindowCalls float64
	// PlatformLog is what Lambda itself writes of each call (START, END, REPORT), and LogEvent what CloudWatch adds to each
	// line, in bytes.
	PlatformLog, LogEvent float64
	// AccessLog is the line of the HTTP API's access log for each request, in bytes.
	AccessLog float64
	// Agents are the sockets that hear of each message, where pushes are counted.
	Agents int
	// EmptyReceives are what Lambda's pollers ask one empty queue in a month; Queues how many they poll.
	EmptyReceives float64
	Queues        int
}

// Assumed are the assumptions of the report.
func Assumed() Assumptions {
	ms := time.Millisecond
	return Assumptions{
		Memory:  map[string]float64{"webhook": 256, "process": 256, "react": 256, "tick": 256, "pages": 512, "mail": 1024, "api": 512, "deliver": 256},
		FullCPU: 1769,
		Latency: map[string]time.Duration{
			"DynamoDB.GetItem": 4 * ms, "DynamoDB.Query": 5 * ms, "DynamoDB.PutItem": 5 * ms, "DynamoDB.DeleteItem": 5 * ms,
			"DynamoDB.BatchWriteItem": 7 * ms, "DynamoDB.TransactWriteItems": 12 * ms, "SQS.SendMessage": 8 * ms, "SQS.SendMessageBatch": 9 * ms,
			"S3.PutObject": 30 * ms, "S3.GetObject": 25 * ms, "ApiGatewayManagementApi.PostToConnection": 15 * ms, "SESv2.SendEmail": 60 * ms,
		},
		Other: 10 * ms, Shards: 4, WindowCalls: 0, PlatformLog: 330, LogEvent: 26, AccessLog: 190, Agents: 1,
		EmptyReceives: 650_000, Queues: 4,
	}
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
	// Inbound messages for each agent and working day, answers for each message, and requests of the API for each message: an
	// inbox that is open reads the work list and the timeline.
	Inbound, Answers, Requests float64
	// Days and Hours that agents work.
	Days, Hours float64
	// Mix is how the messages are spread over the channels; First the share that opens a case.
	Mix   map[string]float64
	First float64
	// Bytes are what a message leaves in the table.
	Bytes float64
}

// DeskOf is a desk of that many agents as assumed.
func DeskOf(agents int) Desk {
	return Desk{
		Agents: agents, Inbound: 80, Answers: 1, Requests: 10, Days: 21, Hours: 8,
		Mix: map[string]float64{"whatsapp": 0.5, "email": 0.35, "form": 0.10, "webhook": 0.05}, First: 0.3, Bytes: 3000,
	}
}
