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

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/terminal"
)

// Exit codes, which scripts hold on to.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitRefused     = 3
	exitForged      = 4
	exitUnreachable = 5
)

// cli is the command line.
type cli struct {
	Serve     serveCmd     `cmd:"" group:"run" help:"Run the whole system over an embedded store."`
	Demo      demoCmd      `cmd:"" group:"run" help:"Run it over a temporary folder, with customers who write and answer."`
	Normalize normalizeCmd `cmd:"" group:"run" help:"Say what would become of a raw payload."`
	Check     checkCmd     `cmd:"" group:"run" help:"Verify every invariant over a stopped store."`
	Backup    backupCmd    `cmd:"" group:"run" help:"Make a consistent copy of a store, running or not."`
	Restore   restoreCmd   `cmd:"" group:"run" help:"Make a data folder of a backup."`
	Compact   compactCmd   `cmd:"" group:"run" help:"Give space of deleted records back."`

	Login      loginCmd      `cmd:"" group:"ask" help:"Sign in with a password."`
	Logout     logoutCmd     `cmd:"" group:"ask" help:"Sign out."`
	Timeline   timelineCmd   `cmd:"" group:"ask" help:"Draw a customer's timeline."`
	Cases      casesCmd      `cmd:"" group:"ask" help:"Show the work list: who must be served next."`
	Case       caseCmd       `cmd:"" group:"ask" help:"Show a case, or change it."`
	Reply      replyCmd      `cmd:"" group:"ask" help:"Answer in a case."`
	Note       noteCmd       `cmd:"" group:"ask" help:"Write an internal note in a case."`
	Merge      mergeCmd      `cmd:"" group:"ask" help:"Make two customers one person."`
	Unmerge    unmergeCmd    `cmd:"" group:"ask" help:"Take a merge back."`
	Export     exportCmd     `cmd:"" group:"ask" help:"Write out everything that is kept of a person."`
	Erase      eraseCmd      `cmd:"" group:"ask" help:"Erase a person, for good."`
	Accounts   accountsCmd   `cmd:"" group:"ask" help:"Show what is connected and how it fares; connect more."`
	Users      usersCmd      `cmd:"" group:"ask" help:"List colleagues."`
	Invite     inviteCmd     `cmd:"" group:"ask" help:"Invite a colleague."`
	Accept     acceptCmd     `cmd:"" group:"ask" help:"Accept an invitation by setting a password."`
	Tokens     tokensCmd     `cmd:"" group:"ask" help:"List, make and revoke API tokens."`
	Quarantine quarantineCmd `cmd:"" group:"ask" help:"Show what was not understood."`
	Replay     replayCmd     `cmd:"" group:"ask" help:"Process quarantined inputs again, or repeat what follows from changes."`
	Queues     queuesCmd     `cmd:"" group:"ask" help:"Show what waits in the queues."`
	Redrive    redriveCmd    `cmd:"" group:"ask" help:"Bring dead letters back."`
	Reconcile  reconcileCmd  `cmd:"" group:"ask" help:"Show where everything went, and whether anything is missing."`
	Health     healthCmd     `cmd:"" group:"ask" help:"Ask whether the server is able to write."`
	Doctor     doctorCmd     `cmd:"" group:"ask" help:"Look at a deployment from outside, and say what to do."`

	Server string `help:"The server to ask: where you are signed in, or http://127.0.0.1:8080, when not given." env:"AIKAJANA_SERVER" placeholder:"URL" group:"where"`
	Token  string `help:"API token to ask with, in place of signing in." env:"AIKAJANA_TOKEN" placeholder:"TOKEN" group:"where"`
	JSON   bool   `name:"json" help:"Print what the server said, verbatim." group:"where"`
}

var groups = kong.Groups{
	"run": "Run, look after the store:", "ask": "Ask a server (they take --server, --token, --json):", "where": "Which server:",
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

// newParser makes the parser of the command line into c.
func newParser(c *cli, options ...kong.Option) (*kong.Kong, error) {
	return kong.New(c, append([]kong.Option{
		kong.Name("aikajana"),
		kong.Description("One chronological timeline of every customer, whatever channel they use.\n\nA first look: aikajana demo"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}), groups,
	}, options...)...)
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, s streams) (code int) {
	var c cli
	exited := -1
	parser, err := newParser(&c, kong.Writers(s.out, s.err), kong.Exit(func(n int) { exited = n }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s), kong.Bind(&c), kong.BindToProvider(func() (*remote, error) { return c.remote(s) }))
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
		complain(s.err, fmt.Errorf("%w; see aikajana %s--help", err, command(args)))
		return exitUsage
	}
	return exitCode(s, parsed.Run())
}

// command is the command that was meant, with a space behind it, to point at its help.
func command(args []string) string {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") || strings.ContainsFunc(args[0], func(r rune) bool { return r < 'a' || r > 'z' }) {
		return ""
	}
	parser, err := newParser(new(cli))
	if err != nil {
		return ""
	}
	for _, node := range parser.Model.Children {
		if node.Name == args[0] {
			return args[0] + " "
		}
	}
	return ""
}

func exitCode(s streams, err error) int {
	var e *exit
	var away *client.Unreachable
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		if e.err != nil {
			complain(s.err, e.err)
		}
		return e.code
	case errors.As(err, &away):
		complain(s.err, err)
		return exitUnreachable
	}
	complain(s.err, err)
	return exitFailed
}

// complain writes an error as one readable paragraph. It may hold what customers wrote.
func complain(w io.Writer, err error) {
	_, _ = fmt.Fprintf(w, "aikajana: %s\n", terminal.Line(err.Error())) // if stderr is gone there is nobody to tell
}
