// Command webhook is the Lambda that takes deliveries of providers.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	lambda.StartWithOptions(awslambda.HTTP(s.Hooks()), lambda.WithEnableSIGTERM(s.Leave))
}
