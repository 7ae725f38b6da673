// Command local-aws runs the AWS shape on this machine for a person to play with: see package localaws. It is what
// "make local-aws" and "make local-aws-stop" call.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/aikajana/aikajana/internal/localaws"
)

func main() {
	p := &localaws.Playground{Root: ".", Out: os.Stdout}
	stop := flag.Bool("stop", false, "stop the one that runs")
	flag.IntVar(&p.HTTP, "http", 8090, "port of the HTTP API")
	flag.StringVar(&p.Dir, "dir", filepath.Join(os.TempDir(), "aikajana-local-aws"), "folder for everything; removed at the end")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	run := p.Run
	if *stop {
		run = p.End
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "local-aws:", err)
		os.Exit(1)
	}
}
