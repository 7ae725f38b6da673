package main

import (
	"context"
	"errors"

	"github.com/aikajana/aikajana/internal/app/local"
)

type checkCmd struct {
	Data string `help:"Folder of the stopped store." default:"data" type:"existingdir" placeholder:"DIR"`
}

// Help shows an example.
func (checkCmd) Help() string {
	return "Reads everything and compares it: every entry, case, customer, address, notification and both ledgers. Prints what is wrong; " +
		"exit 0 only when nothing is.\n\nExample: aikajana check --data desk"
}

// Run checks the store.
func (c *checkCmd) Run(ctx context.Context, s streams) error {
	report, err := local.Check(ctx, c.Data)
	if err != nil {
		return err
	}
	if err := report.Print(s.out); err != nil {
		return err
	}
	if len(report.Problems) > 0 {
		return &exit{exitFailed, errors.New("the store breaks an invariant; keep a copy of it and report what is printed above")}
	}
	return nil
}
