package main

import (
	"context"
	"fmt"

	"github.com/aikajana/aikajana/internal/pipeline"
)

type sweepCmd struct {
	Table  string `required:"" help:"The table; output Table of the stack." placeholder:"NAME"`
	Bucket string `required:"" help:"The bucket with files and long texts; output Bucket of the stack." placeholder:"NAME"`
}

// Help shows an example.
func (sweepCmd) Help() string {
	return "Deletes files and long texts that no item names and that are older than two days: what messages that came twice left behind. It may " +
		"run while the stack works, and reads the whole table once or twice. Raw input expires by the bucket's lifecycle.\n\n" +
		"Example: aikajana-aws sweep --table aikajana-Table-1A2B3C --bucket aikajana-databucket-4d5e"
}

// Run sweeps.
func (c *sweepCmd) Run(ctx context.Context, s streams, at cloud) error {
	t, blobs, err := dataOf(ctx, at, c.Table, c.Bucket)
	if err != nil {
		return err
	}
	n, err := pipeline.SweepUnnamed(ctx, t, blobs, now().Time())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.err, "%d blobs that nothing names are gone\n", n)
	return err
}
