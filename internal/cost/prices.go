package cost

// Prices are what AWS asks, in dollars.
type Prices struct {
	// Region and Date say where and when they were read.
	Region, Date string

	// Each per million: requests of the HTTP API, messages and connection minutes of the WebSocket API.
	HTTPRequests, SocketMessages, SocketMinutes float64
	// LambdaRequests is per million, LambdaGBSecond per gigabyte-second on arm64.
	LambdaRequests, LambdaGBSecond float64
	// DynamoDB on demand: per million request units; storage and point-in-time recovery per GB and month.
	WriteUnits, ReadUnits, TableGB, RecoveryGB float64
	// SQSRequests is per million of 64 KB each.
	SQSRequests float64
	// S3: per million calls, and per GB and month.
	S3Puts, S3Gets, S3GB float64
	// SNSPublishes is per million; delivery to SQS is free.
	SNSPublishes float64
	// SES: per thousand mails received, per thousand chunks of 256 KB received, per thousand mails sent.
	MailsIn, MailChunksIn, MailsOut float64
	// CloudWatch: logs per GB ingested and per GB and month stored, alarms and metrics of one's own per month.
	LogGB, LogStoredGB, Alarm, Metric float64
	// ScheduleCalls is EventBridge Scheduler's price per million calls.
	ScheduleCalls float64
}

// Virginia are the list prices of us-east-1, without VAT, first tier. Those of DynamoDB, HTTP and WebSocket APIs and Lambda
// were compared with published copies of the price pages; the others are the ones that the providers' pages had on the date.
// Stockholm (eu-north-1) is within a few per cent of them, Frankfurt (eu-central-1) up to a fifth above.
func Virginia() Prices {
	return Prices{
		Region: "us-east-1", Date: "2026-11-22",
		HTTPRequests: 1.00, SocketMessages: 1.00, SocketMinutes: 0.25,
		LambdaRequests: 0.20, LambdaGBSecond: 0.0000133334,
		WriteUnits: 0.625, ReadUnits: 0.125, TableGB: 0.25, RecoveryGB: 0.20,
		SQSRequests: 0.40,
		S3Puts:      5.00, S3Gets: 0.40, S3GB: 0.023,
		SNSPublishes: 0.50,
		MailsIn:      0.10, MailChunksIn: 0.09, MailsOut: 0.10,
		LogGB: 0.50, LogStoredGB: 0.03, Alarm: 0.10, Metric: 0.30,
		ScheduleCalls: 1.00,
	}
}

// Free is what AWS gives every account each month for nothing, for ever: Lambda, SQS, CloudWatch, SNS, the Scheduler and 25 GB
// of DynamoDB's storage. What is free in an account's first year only (API Gateway, S3) is left out: a desk lives longer.
type Free struct {
	LambdaRequests, LambdaGBSeconds, SQSRequests, SNSPublishes, LogGB, Alarms, Metrics, TableGB, ScheduleCalls float64
}

// Always is the free tier that does not end, as documented on 2026-11-22.
func Always() Free {
	return Free{
		LambdaRequests: 1e6, LambdaGBSeconds: 400_000, SQSRequests: 1e6, SNSPublishes: 1e6, LogGB: 5, Alarms: 10, Metrics: 10, TableGB: 25,
		ScheduleCalls: 14e6,
	}
}
