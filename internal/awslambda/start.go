package awslambda

import "github.com/aws/aws-lambda-go/lambda"

// Start serves events with a handler of this package, one at a time, until Lambda ends the process. It does not return.
func Start(handler any) { lambda.Start(handler) }

// StartAndLeave is Start for a process that has something to say before it ends: leave is called once, on SIGTERM. Lambda sends
// it half a second before it ends the process, to processes that registered for it and to no others
// (docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html, "Shutdown phase", read on 2026-11-30).
func StartAndLeave(handler any, leave func()) {
	lambda.StartWithOptions(handler, lambda.WithEnableSIGTERM(leave))
}
