// Command react is the Lambda that follows changes of the table up.
package main

import (
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/aws/desk"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	awslambda.Start(awslambda.Changes(desk.MustNew(s).Tell().React))
}
