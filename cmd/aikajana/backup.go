package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/aikajana/aikajana/internal/app/local"
	"github.com/aikajana/aikajana/internal/terminal"
)

type backupCmd struct {
	Data string `help:"Folder of the store." default:"data" type:"existingdir" placeholder:"DIR"`
	To   string `required:"" help:"The folder to make; it must not be there." type:"path" placeholder:"DIR"`
}

// Help shows an example.
func (backupCmd) Help() string {
	return "Run it on the machine of the store, as somebody who can read its folder; \"aikajana serve\" may go on meanwhile. One backup holds the table, " +
		"the queues, every file, the secrets and the keys: everything that is needed to be this desk, so keep it like the data folder. On the same disk it " +
		"shares space with the store: copy it to another one.\n\nExample: aikajana backup --data desk --to /backups/desk-2026-11-22"
}

// Run makes the backup.
func (c *backupCmd) Run(ctx context.Context, s streams) error {
	report, err := local.Backup(ctx, c.Data, c.To)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s: %d files, %s; bring it back with: aikajana restore --from %s --data NEW\n",
		terminal.Line(report.To), report.Files, terminal.Bytes(report.Bytes), terminal.Line(report.To))
	return err
}

type restoreCmd struct {
	From      string `required:"" help:"The backup." type:"existingdir" placeholder:"DIR"`
	Data      string `required:"" help:"The data folder to make; it must not be there." type:"path" placeholder:"DIR"`
	Replacing string `help:"The data folder that it replaces, if it can still be read: who was erased since the backup stays erased." type:"existingdir" placeholder:"DIR"`
}

// Help shows an example.
func (restoreCmd) Help() string {
	return "Copies the backup and verifies every invariant over the copy; the backup stays as it is. Providers deliver again what was not " +
		"acknowledged; what the backup holds already is known for a duplicate then.\n\n" +
		"Example: aikajana restore --from /backups/desk-2026-11-22 --data desk-new --replacing desk"
}

// Run restores.
func (c *restoreCmd) Run(ctx context.Context, s streams) error {
	report, err := local.Restore(ctx, c.From, c.Data, c.Replacing)
	if err != nil {
		return err
	}
	if err := report.Print(s.out); err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return &exit{exitFailed, errors.New("restored, but the store breaks an invariant; use an older backup if there is one, and report what is printed above")}
	}
	if report.Held > 0 {
		if _, err := fmt.Fprintf(s.out, "%d answers were on their way when the backup was made and may have gone out since: they are uncertain now. "+
			"Their agents are told, and decide whether each was sent.\n", report.Held); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(s.out, "restored: aikajana serve --data %s\n", terminal.Line(c.Data))
	return err
}

type compactCmd struct {
	Data string `help:"Folder of the store." default:"data" type:"existingdir" placeholder:"DIR"`
}

// Help shows an example.
func (compactCmd) Help() string {
	return "Works beside \"aikajana serve\" too. It needs up to as much free space as the store takes.\n\nExample: aikajana compact --data desk"
}

// Run compacts.
func (c *compactCmd) Run(ctx context.Context, s streams) error {
	report, err := local.Compact(ctx, c.Data)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s before, %s now\n", terminal.Bytes(report.Before), terminal.Bytes(report.After))
	return err
}
