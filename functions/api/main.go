// Command api is the Lambda that answers the desk's HTTP API.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/aws/httpapi"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	lambda.StartWithOptions(awslambda.HTTP(httpapi.MustNew(s)), lambda.WithEnableSIGTERM(s.Leave))
}
