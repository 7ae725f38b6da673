// Command fetch is the Lambda that gets files.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{Inspect: app.InspectFile})
	lambda.Start(awslambda.SQS(s.Pipeline.Fetch))
}
