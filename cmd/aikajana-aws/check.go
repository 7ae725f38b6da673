package main

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/aikajana/aikajana/internal/check"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// tableOf opens a deployment's table.
func tableOf(ctx context.Context, c cloud, name string) (*dynamo.Table, error) {
	cfg, err := c(ctx)
	if err != nil {
		return nil, noConfig(err)
	}
	return dynamo.New(dynamodb.NewFromConfig(cfg), name, dynamo.Options{Now: now}), nil
}

func noConfig(err error) error {
	return fmt.Errorf("load the AWS configuration: %w; set AWS_REGION and credentials", err)
}

func now() msg.Time { return msg.TimeOf(time.Now()) }

type checkCmd struct {
	Table   string `required:"" help:"The table; output Table of the stack." placeholder:"NAME"`
	Bucket  string `help:"The bucket; output Bucket of the stack: look for mails that SES took and nobody has worked on, too." placeholder:"NAME"`
	Settled bool   `help:"Nothing is being written and React has followed everything: compare the running tallies too."`
}

// Help shows an example.
func (checkCmd) Help() string {
	return "Reads everything and compares it: every entry, case, customer, address and notification. Prints what is wrong; exit 0 only " +
		"when nothing is. It reads the whole table once: 0.125 dollars for every 4 GB.\n\nExample: aikajana-aws check --table aikajana-Table-1A2B3C"
}

// Run checks the table.
func (c *checkCmd) Run(ctx context.Context, s streams, at cloud) error {
	t, err := tableOf(ctx, at, c.Table)
	if err != nil {
		return err
	}
	var mails check.Lister
	if c.Bucket != "" {
		if mails, err = blobsOf(ctx, at, c.Bucket); err != nil {
			return err
		}
	}
	in := check.Deployment(t, mails, now(), c.Settled)
	in.Progress = func(n int) { _, _ = fmt.Fprintf(s.err, "%d items\r", n) } // progress that nobody sees is no harm
	report, err := check.Run(ctx, in)
	if err != nil {
		return err
	}
	if err := report.Print(s.out); err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return errFound
	}
	return nil
}
