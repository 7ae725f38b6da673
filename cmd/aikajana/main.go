// Command aikajana is the whole of Aikajana in one program: "aikajana serve" runs it over an embedded store, and the other
// commands look at one that runs, here or on AWS.
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
	_ "time/tzdata" // opening hours are told in the desk's time zone, which a bare machine does not know

	"github.com/alecthomas/kong"
)

// Exit codes, which scripts hold on to.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 3
	exitForged  = 4
)

// cli is the command line.
type cli struct {
	Serve     serveCmd     `cmd:"" help:"Run the whole system over an embedded store."`
	Normalize normalizeCmd `cmd:"" help:"Say what would become of a raw payload."`
	Check     checkCmd     `cmd:"" help:"Verify every invariant over a stopped store."`
}

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// exit is an error that carries its own exit code; its text, if any, was printed already when silent.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, s streams) (code int) {
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("aikajana"),
		kong.Description("One chronological timeline of every customer, whatever channel they use.\n\nA first look: aikajana serve --data desk, then open the address that it prints."),
		kong.Writers(s.out, s.err), kong.Exit(func(n int) { exited = n }), kong.UsageOnError(),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		_, _ = fmt.Fprintln(s.err, "aikajana:", err) // nothing is left to tell it to
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
		complain(s.err, fmt.Errorf("%w; see aikajana --help", err))
		return exitUsage
	}
	err = parsed.Run()
	var e *exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		if e.err != nil {
			complain(s.err, e.err)
		}
		return e.code
	}
	complain(s.err, err)
	return exitFailed
}

// complain writes an error as one readable paragraph.
func complain(w io.Writer, err error) {
	text := strings.Join(strings.Fields(err.Error()), " ")
	_, _ = fmt.Fprintf(w, "aikajana: %s\n", text) // if stderr is gone there is nobody to tell
}
