// Command cost measures what a message costs on AWS and prints the report. It needs the stand-ins of scripts/parts.sh.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/aikajana/aikajana/internal/cost"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "cost:", err) // nothing is left to tell it to
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("cost", flag.ContinueOnError)
	out := flags.String("out", "", "write the report into this file instead of printing it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	a, err := cost.Assumed("template.yaml")
	if err != nil {
		return err
	}
	m, err := cost.Measure(ctx, a, cost.Everything())
	if err != nil {
		return err
	}
	if *out == "" {
		return cost.Print(os.Stdout, m, cost.Virginia(), a)
	}
	f, err := os.Create(*out)
	if err != nil {
		return err
	}
	if err := cost.Print(f, m, cost.Virginia(), a); err != nil {
		_ = f.Close() // the first error counts
		return err
	}
	return f.Close()
}
