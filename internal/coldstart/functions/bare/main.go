// Command bare is a Lambda that does nothing, with the clients of AWS that every function of the program makes: what their
// start is compared with. Built with the tag "literal" it makes its configuration by hand, else as the SDK's guide says.
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

type clients struct {
	table   *dynamodb.Client
	queue   *sqs.Client
	bucket  *s3.Client
	mail    *sesv2.Client
	secrets *ssm.Client
}

// Invoke uses one operation of each client, so that the linker keeps what a program keeps that calls them.
func (c *clients) Invoke(ctx context.Context, _ json.RawMessage) error {
	for _, call := range []func() error{
		func() error { _, err := c.table.GetItem(ctx, &dynamodb.GetItemInput{}); return err },
		func() error { _, err := c.table.Query(ctx, &dynamodb.QueryInput{}); return err },
		func() error {
			_, err := c.table.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{})
			return err
		},
		func() error { _, err := c.queue.SendMessage(ctx, &sqs.SendMessageInput{}); return err },
		func() error { _, err := c.bucket.PutObject(ctx, &s3.PutObjectInput{}); return err },
		func() error { _, err := c.bucket.GetObject(ctx, &s3.GetObjectInput{}); return err },
		func() error { _, err := c.mail.SendEmail(ctx, &sesv2.SendEmailInput{}); return err },
		func() error { _, err := c.secrets.GetParameter(ctx, &ssm.GetParameterInput{}); return err },
	} {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	c, err := configuration()
	if err != nil {
		os.Exit(1)
	}
	all := &clients{dynamodb.NewFromConfig(c), sqs.NewFromConfig(c), s3.NewFromConfig(c), sesv2.NewFromConfig(c), ssm.NewFromConfig(c)}
	lambda.Start(all.Invoke)
}
