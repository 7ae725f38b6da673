// Command api is the Lambda that answers the desk's HTTP API.
package main

import (
	"github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/app/aws/httpapi"
	"github.com/aikajana/aikajana/internal/awslambda"
)

func main() {
	s := aws.MustStart(aws.Options{})
	awslambda.StartAndLeave(awslambda.HTTP(httpapi.MustNew(s)), s.Leave)
}
