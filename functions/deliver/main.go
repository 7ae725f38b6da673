// Command deliver is the Lambda that sends answers, and mail to staff.
package main

import (
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/aws/desk"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	awslambda.Start(awslambda.SQS(desk.MustNew(s).Tell().Deliver))
}
