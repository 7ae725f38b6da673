// Command profile is "aikajana serve" with a processor profile: it takes the same flags, as far as a measurement needs them,
// and writes the profile to $BENCH_PROFILE when it is told to end.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	_ "time/tzdata" // as in the real program

	"github.com/aikajana/aikajana/internal/app/local"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[2:]); err != nil { // the first is "serve"
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // nothing is deferred that matters now
	}
}

func run(ctx context.Context, args []string) (err error) {
	o := local.Options{Out: os.Stdout, Token: os.Getenv("AIKAJANA_TOKEN")}
	flags := flag.NewFlagSet("profile", flag.ContinueOnError)
	flags.StringVar(&o.Data, "data", "", "")
	flags.StringVar(&o.HTTP, "http", "", "")
	flags.StringVar(&o.SMTP, "smtp", "", "")
	flags.StringVar(&o.Config, "config", "", "")
	flags.BoolVar(&o.AllowPrivate, "allow-private", false, "")
	level := flags.String("log-level", "error", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	_ = level
	o.Log = slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	f, err := os.Create(os.Getenv("BENCH_PROFILE"))
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil { // before Open, so that a short run is a profile of the start
		return errors.Join(err, f.Close())
	}
	server, err := local.Open(o)
	if err == nil {
		err = server.Serve(ctx)
	}
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}
