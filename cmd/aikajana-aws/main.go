// Command aikajana-aws looks after a deployment on AWS with the operator's own credentials: it checks every invariant over the
// table, dumps and restores items, blobs and what came after, makes the deployment key, and lets the first person in. Everything else is the
// HTTP API's, and command aikajana speaks that.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// Exit codes, which scripts hold on to; the same as those of aikajana.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// cli is the command line.
type cli struct {
	Check       checkCmd       `cmd:"" help:"Verify every invariant over the table. Reads all of it."`
	Dump        dumpCmd        `cmd:"" help:"Write every item as a line of JSON, and every blob as a file."`
	Load        loadCmd        `cmd:"" help:"Write dumped items and blobs into a new table and bucket."`
	EraseAgain  eraseAgainCmd  `cmd:"" help:"Erase again, in a restored table, whoever was erased after it was dumped."`
	HoldAnswers holdAnswersCmd `cmd:"" help:"Send nothing from a restored table that may have gone out since it was dumped."`
	Replay      replayCmd      `cmd:"" help:"Send raw input that came after a dump to a restored stack."`
	Sweep       sweepCmd       `cmd:"" help:"Delete files and long texts that nothing names any more. Reads the whole table."`
	Key         keyCmd         `cmd:"" help:"Make, save or bring back the deployment key."`
	Setup       setupCmd       `cmd:"" help:"Make the one-time link on which the first administrator chooses a password."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// cloud gives a command its AWS configuration; tests point it at stand-ins.
type cloud func(ctx context.Context) (aws.Config, error)

// errFound says that a command did its work and that what it found is bad; it is printed already.
var errFound = errors.New("found")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr}, func(ctx context.Context) (aws.Config, error) { return config.LoadDefaultConfig(ctx) })
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, s streams, c cloud) int {
	exited := -1
	parser, err := kong.New(&cli{}, kong.Name("aikajana-aws"),
		kong.Description("Looks after Aikajana on AWS, with your own credentials and region (AWS_PROFILE, AWS_REGION).\n\nThe names of table, bucket and secret path are outputs of the stack."),
		kong.Writers(s.out, s.err), kong.Exit(func(n int) { exited = n }), kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s), kong.Bind(c))
	if err != nil {
		complain(s.err, err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		complain(s.err, fmt.Errorf("%w; see aikajana-aws --help", err))
		return exitUsage
	}
	if err := parsed.Run(); err != nil {
		if !errors.Is(err, errFound) {
			complain(s.err, err)
		}
		return exitFailed
	}
	return exitOK
}

// complain writes an error as one readable paragraph.
func complain(w io.Writer, err error) {
	_, _ = fmt.Fprintf(w, "aikajana-aws: %s\n", strings.Join(strings.Fields(err.Error()), " ")) // if stderr is gone there is nobody to tell
}
