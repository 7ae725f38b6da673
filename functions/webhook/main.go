// Command webhook is the Lambda that takes deliveries of providers.
package main

import (
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	awslambda.StartAndLeave(awslambda.HTTP(s.Hooks()), s.Leave)
}
