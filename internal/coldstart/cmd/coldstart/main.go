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
	n := flags.Int("n", 61, "how often each is started")
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
	tuning, err := coldstart.Tuning("template.yaml")
	if err != nil {
		return err
	}
	results, err := coldstart.Measure(ctx, dir, names, tuning, *n)
	if err != nil {
		return err
	}
	var b strings.Builder
	report(&b, results, tuning)
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

func report(b *strings.Builder, all []*coldstart.Result, tuning []string) {
	set := "nothing"
	if len(tuning) > 0 {
		set = strings.Join(tuning, ", ")
	}
	bare, literal := all[0], all[1]
	fmt.Fprintf(b, "# From exec to the first poll\n\n"+
		"Made by `make coldstart`: every function built as template.yaml builds it (linux/amd64, lambda.norpc, stripped, no cgo), started %d times in\n"+
		"turns against a runtime API on loopback. `bare` is a main with the same five clients of AWS and nothing else, made as the SDK's guide says\n"+
		"(config.LoadDefaultConfig); `bare, literal` the same with an aws.Config made by hand, which is the least that there is. Aims, against `bare`: the\n"+
		"start within %.1f times and the size within %.1f times; `api` and `pages` under %s. Times are milliseconds; wall time is what counts, and user and\n"+
		"system time of the processor stands beside it, because it is steadier on a machine that others use too. Half of the starts lie between the\n"+
		"quartiles. Of Go's own runtime template.yaml sets %s, which holds for all of these programs.\n\n", len(bare.Start), startAim, sizeAim, largeAim, set)
	fmt.Fprintln(b, "| program | start: median | quartiles | of bare | of literal | processor: median | quartiles | of bare | of literal | size, MB | of bare | start | size |")
	fmt.Fprintln(b, "|---|---:|---|---:|---:|---:|---|---:|---:|---:|---:|---|---|")
	var over []string
	for _, r := range all {
		slower, leaner := times(r.Start, bare.Start), times(r.Start, literal.Start)
		larger := float64(r.Size) / float64(bare.Size)
		start, size := verdict(slower <= startAim), verdict(larger <= sizeAim)
		switch r.Name {
		case "api", "pages":
			start, size = verdict(median(r.Start) < largeAim), ""
		case coldstart.Bare, coldstart.Literal:
			start, size = "", ""
		}
		if r != bare && leaner > startAim {
			over = append(over, fmt.Sprintf("%s %.2f", r.Name, leaner))
		}
		fmt.Fprintf(b, "| %s | %.1f | %s | %.2f | %.2f | %.1f | %s | %.2f | %.2f | %.1f | %.2f | %s | %s |\n", r.Name, ms(median(r.Start)), quartiles(r.Start), slower, leaner,
			ms(median(r.Processor)), quartiles(r.Processor), times(r.Processor, bare.Processor), times(r.Processor, literal.Processor), float64(r.Size)/1e6, larger, start, size)
	}
	if len(over) > 0 {
		fmt.Fprintf(b, "\nOver %.1f times `bare, literal`: %s. Why is below.\n", startAim, strings.Join(over, ", "))
	}
	fmt.Fprint(b, notes)
}

// notes say where the time goes.
const notes = `
Where the time goes, as seen on 2026-11-30 with GODEBUG=inittrace=1,gctrace=1 and strace, and by building ` + "`webhook`" + ` without one part after
the other, before template.yaml set GOGC. Medians of 101 starts in turns on a quiet machine, of which ` + "`bare`" + ` took 13.3 ms,
` + "`bare, literal`" + ` 11.1 and webhook 15.2:
- **A garbage collection.** The SDK's packages leave 4 MB of schemas and tables on the heap before main runs, which is where Go collects for the
  first time. With GOGC=400, which is set since, it does not: webhook 11.0 ms, api 19.6 instead of 24.8, pages 13.5 instead of 16.8, bare 9.7,
  bare, literal 8.4. Of processor time it saves a third.
- **Systems Manager's client**, for one parameter: 1.6 to 2.3 ms of package initialisation, and a call whose machinery is used for the first
  time, 1.3 ms. Asked by a request that is signed by hand, webhook takes 9.6 ms, and has no collection either. The bare mains link the client and
  never call it.
- **SES's client**, which every function links and one uses: 1 ms, 2 with its part in the collection, and half a megabyte. Without both clients
  webhook takes 8.1 ms, 7.5 with GOGC=400.
- Registering for the end of the process takes ` + "`webhook`, `api` and `pages`" + ` one millisecond: a request to the runtime before the first poll.
- The deployment key's call takes some 20 ms on AWS the first time, when it opens the connection; that is not in these figures.
- ` + "`api`" + ` links a validator of JSON Schema that reads the schemas of five drafts when it is initialised: 4 to 10 ms. The OpenAPI document itself is
  read at the first request.
- ` + "`pages`" + ` parses its templates (0.9 ms). It is large because html/template calls methods by name, so that the linker keeps every method of every
  type, the clients of AWS included.
- config.LoadDefaultConfig links 1.7 MB of other ways to sign in and takes 2 ms, which ours do without: that hides a part of the above where
  functions are compared with ` + "`bare`" + `. Key, registration, and what they link beyond the clients, are why they take longer than ` + "`bare, literal`" + `.
`

func verdict(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

func median(sorted []time.Duration) time.Duration { return coldstart.Quantile(sorted, 0.5) }

func times(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }

func quartiles(sorted []time.Duration) string {
	return fmt.Sprintf("%.1f to %.1f", ms(coldstart.Quantile(sorted, 0.25)), ms(coldstart.Quantile(sorted, 0.75)))
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
