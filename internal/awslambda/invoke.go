package awslambda

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-lambda-go/lambda"
)

// Invoke calls a handler of this package as Lambda does: event is sent as JSON, and its answer is read from JSON into response,
// which may be nil. It is for whoever plays Lambda over stand-ins: scenarios, soak runs, a local poller. A panic of the handler
// goes through, where Lambda would end the process.
func Invoke(ctx context.Context, handler, event, response any) error {
	text, err := json.Marshal(event)
	if err != nil {
		return fmt.Errorf("write the event: %w", err)
	}
	answer, err := lambda.NewHandler(handler).Invoke(ctx, text)
	if err != nil || response == nil {
		return err
	}
	if err := json.Unmarshal(answer, response); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}
