// Command coldstart builds every Lambda, starts each many times, and prints how long they took until they asked for an event.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/coldstart"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "coldstart:", err) // nothing is left to tell it to
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("coldstart", flag.ContinueOnError)
	n := flags.Int("n", 31, "how often each is started")
	out := flags.String("out", "", "write the report into this file instead of printing it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "coldstart")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a few binaries in the temporary folder
	names, err := coldstart.Build(ctx, ".", dir)
	if err != nil {
		return err
	}
	results, err := coldstart.Measure(ctx, dir, names, *n)
	if err != nil {
		return err
	}
	var b strings.Builder
	report(&b, results)
	if *out == "" {
		_, err = io.WriteString(os.Stdout, b.String())
		return err
	}
	return os.WriteFile(*out, []byte(b.String()), 0o644) //nolint:gosec // a report for everybody
}

// Aims: a start within so many times of the bare one's, a size likewise; what links more has a time of its own.
const (
	startAim = 1.3
	sizeAim  = 1.5
	largeAim = 30 * time.Millisecond
)

func report(b *strings.Builder, all []*coldstart.Result) {
	bare := all[0]
	fmt.Fprintf(b, "# From exec to the first poll\n\n"+
		"Made by `make coldstart`: every function built as template.yaml builds it (linux/amd64, lambda.norpc, stripped, no cgo), started %d times in\n"+
		"turns against a runtime API on loopback; `bare` is a main with the same five clients of AWS and nothing else. Aims: the start within %.1f times\n"+
		"and the size within %.1f times of the bare main's; `api` and `pages` under %s.\n\n", len(bare.Start), startAim, sizeAim, largeAim)
	fmt.Fprintln(b, "| program | median, ms | of bare | fastest | slowest | size, MB | of bare | start | size |")
	fmt.Fprintln(b, "|---|---:|---:|---:|---:|---:|---:|---|---|")
	for _, r := range all {
		slower := float64(r.Median()) / float64(bare.Median())
		larger := float64(r.Size) / float64(bare.Size)
		start, size := verdict(slower <= startAim), verdict(larger <= sizeAim)
		switch r.Name {
		case "api", "pages":
			start, size = verdict(r.Median() < largeAim), ""
		case coldstart.Bare:
			start, size = "", ""
		}
		fmt.Fprintf(b, "| %s | %.1f | %.2f | %.1f | %.1f | %.1f | %.2f | %s | %s |\n", r.Name, ms(r.Median()), slower, ms(r.Start[0]),
			ms(r.Start[len(r.Start)-1]), float64(r.Size)/1e6, larger, start, size)
	}
	fmt.Fprint(b, notes)
}

// notes say where the time of what is slower goes, as GODEBUG=inittrace=1 and go tool nm showed on 2026-11-23.
const notes = `
What takes the time beyond the bare main's, of which only the package initialisation can be seen from outside:
- The deployment key is read from Systems Manager before the first poll: one call, 1 ms here, some 20 ms on AWS the first time.
- ` + "`api`" + ` links a validator of JSON Schema whose initialisation takes 4 to 6 ms. The OpenAPI document itself is read at the first request.
  ` + "`react`, `socket` and `pages`" + ` did too until the staff socket had a package of its own: 1.69, 1.66 and 1.77 times the bare main then.
- Systems Manager's client initialises its schemas in 1.5 ms, more than any other; the bare main has it too.
- The functions read what Lambda puts into the environment themselves; the bare main's config.LoadDefaultConfig links 1.7 MB of other ways
  to sign in and takes 1.5 ms.
- ` + "`pages`" + ` is large because html/template calls methods by name, so that the linker keeps every method of every type, the clients of AWS included.
`

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
