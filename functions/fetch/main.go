// Command fetch is the Lambda that gets files.
package main

import (
	"github.com/aikajana/aikajana/internal/app"
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{Inspect: app.InspectFile})
	awslambda.Start(awslambda.SQS(s.Pipeline.Fetch))
}
