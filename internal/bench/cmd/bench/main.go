// Command bench measures the local binary and prints one table; see package bench.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/aikajana/aikajana/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := 0
	if err := run(ctx); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	stop()
	os.Exit(code)
}

func run(ctx context.Context) error {
	debug.SetGCPercent(400) // the client beside the program shall take as little of the processors as it can
	o := bench.Options{Out: os.Stdout}
	flag.StringVar(&o.Binary, "binary", "bin/aikajana", "the program to measure")
	flag.StringVar(&o.Dir, "dir", "", "where data folders are made and removed; a temporary folder when empty")
	flag.IntVar(&o.Messages, "messages", 20000, "messages in each line of the throughput table (fewer with 1 client)")
	flag.IntVar(&o.Entries, "entries", 100_000, "length of the long timeline")
	flag.IntVar(&o.Cases, "cases", 1_000_000, "open cases in the long work list; 0 leaves the pages out")
	soak := flag.Duration("soak", 0, "instead of the measurement, an even load for so long")
	rate := flag.Float64("rate", 500, "messages a second of that load")
	clients := flag.String("clients", "1,8,32,100", "numbers of clients")
	flag.Parse()
	o.Clients = splitInts(*clients)
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "aikajana-bench-")
		if err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // best effort: it is in the system's temporary folder
		o.Dir = dir
	}
	binary, err := filepath.Abs(o.Binary)
	if err != nil {
		return err
	}
	o.Binary = binary
	if *soak > 0 {
		return bench.Soak(ctx, bench.SoakOptions{Options: o, For: *soak, Every: 30 * time.Second, Rate: *rate})
	}
	return bench.Run(ctx, o)
}

func splitInts(s string) (all []int) {
	n, has := 0, false
	for _, r := range s + "," {
		switch {
		case r >= '0' && r <= '9':
			n, has = n*10+int(r-'0'), true
		case has:
			all, n, has = append(all, n), 0, false
		}
	}
	return all
}
