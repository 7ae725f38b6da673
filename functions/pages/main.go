// Command pages is the Lambda that shows forms and status pages.
package main

import (
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/aws/front"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	awslambda.StartAndLeave(awslambda.HTTP(front.MustNew(s)), s.Leave)
}
