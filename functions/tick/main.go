// Command tick is the Lambda that looks after what waits, once a minute.
package main

import (
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	awslambda.Start(awslambda.Schedule(s.Tick))
}
