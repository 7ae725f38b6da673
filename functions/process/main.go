// Command process is the Lambda that works envelopes into timelines.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	lambda.Start(awslambda.SQS(s.Pipeline.Process))
}
