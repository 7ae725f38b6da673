// Command socket is the Lambda that opens, answers and closes the sockets of staff.
package main

import (
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/aws/desk"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	awslambda.Start(awslambda.WebSocket(desk.MustNew(s)))
}
