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
	// SQSRequests is per million of 64 KB each. FairRequests comes on top for those that carry a message with a group (a fair
	// queue's).
	SQSRequests, FairRequests float64
	// S3: per million calls, and per GB and month.
	S3Puts, S3Gets, S3GB float64
	// SNSPublishes is per million; delivery to SQS is free.
	SNSPublishes float64
	// SES: per thousand mails received, per thousand chunks of 256 KB received, per thousand mails sent.
	MailsIn, MailChunksIn, MailsOut float64
	// CloudWatch: logs per GB ingested and per GB and month stored; metrics that alarms look at, metrics of one's own and
	// dashboards, each per month.
	LogGB, LogStoredGB, AlarmMetric, Metric, Dashboard float64
	// ScheduleCalls is EventBridge Scheduler's price per million calls.
	ScheduleCalls float64
}

// Virginia are the list prices of us-east-1, without VAT, first tier. Those of DynamoDB, HTTP and WebSocket APIs and Lambda
// were compared with published copies of the price pages; the others are the ones that the providers' pages had on the date.
// Stockholm (eu-north-1) is within a few per cent of them, Frankfurt (eu-central-1) up to a fifth above.
//
// What fair queues cost is second-hand: cloudburn.io/blog/amazon-sqs-pricing (March 2026) has the standard price and a surcharge of
// 0.10 per million, since they came in July 2025; AWS's price list knows the queue type "Fair" (seen in an issue of a tool that reads
// it, 2026-07-21). AWS's own page could not be read on 2026-11-30, and nobody says which requests pay it, so every one does here that
// carries a message with a group: sends, receives and deletes. Should sends alone pay, two thirds of it are too much.
// Dashboards are 3 dollars, of which an account has three for nothing (CloudWatch's price page, as others quoted it in June 2026).
func Virginia() Prices {
	return Prices{
		Region: "us-east-1", Date: "2026-11-22",
		HTTPRequests: 1.00, SocketMessages: 1.00, SocketMinutes: 0.25,
		LambdaRequests: 0.20, LambdaGBSecond: 0.0000133334,
		WriteUnits: 0.625, ReadUnits: 0.125, TableGB: 0.25, RecoveryGB: 0.20,
		SQSRequests: 0.40, FairRequests: 0.10,
		S3Puts: 5.00, S3Gets: 0.40, S3GB: 0.023,
		SNSPublishes: 0.50,
		MailsIn:      0.10, MailChunksIn: 0.09, MailsOut: 0.10,
		LogGB: 0.50, LogStoredGB: 0.03, AlarmMetric: 0.10, Metric: 0.30, Dashboard: 3.00,
		ScheduleCalls: 1.00,
	}
}

// Free is what AWS gives every account each month for nothing, for ever: Lambda, SQS, CloudWatch, SNS, the Scheduler and 25 GB
// of DynamoDB's storage. What is free in an account's first year only (API Gateway, S3) is left out: a desk lives longer.
type Free struct {
	LambdaRequests, LambdaGBSeconds, SQSRequests, SNSPublishes, LogGB, AlarmMetrics, Metrics, Dashboards, TableGB, ScheduleCalls float64
}

// Always is the free tier that does not end, as documented on 2026-11-22; for CloudWatch's see docs/aws/limits.md, "Where the
// numbers come from": what is free of alarms are the metrics that they look at.
func Always() Free {
	return Free{
		LambdaRequests: 1e6, LambdaGBSeconds: 400_000, SQSRequests: 1e6, SNSPublishes: 1e6, LogGB: 5,
		AlarmMetrics: 10, Metrics: 10, Dashboards: 3, TableGB: 25, ScheduleCalls: 14e6,
	}
}
