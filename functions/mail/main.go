// Command mail is the Lambda that works mails into timelines.
package main

import (
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	awslambda.Start(awslambda.Notices(s.Pipeline.Mail))
}
