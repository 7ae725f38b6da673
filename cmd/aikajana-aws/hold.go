package main

import (
	"context"
	"fmt"

	"github.com/aikajana/aikajana/internal/pipeline"
)

type holdAnswersCmd struct {
	Table      string `required:"" help:"The restored table; output Table of the stack." placeholder:"NAME"`
	SecretPath string `required:"" help:"Where secrets lie, for the deployment key; output SecretPath of the stack." placeholder:"PATH"`
}

// Help shows an example.
func (holdAnswersCmd) Help() string {
	return "Answers that were on their way when the table was dumped may have gone out since. They become uncertain, their agents are told, and decide " +
		"whether each was sent. Run it before the accounts have their secrets: until then nothing can be sent.\n\n" +
		"Example: aikajana-aws hold-answers --table aikajana-restored-Table-9Z8Y --secret-path /aikajana/restored"
}

// Run holds them.
func (c *holdAnswersCmd) Run(ctx context.Context, s streams, at cloud) error {
	t, err := tableOf(ctx, at, c.Table)
	if err != nil {
		return err
	}
	desk, err := deskOf(ctx, at, t, c.SecretPath)
	if err != nil {
		return err
	}
	n, err := pipeline.HoldAnswers(ctx, t, desk)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.err, "%d answers were on their way; they are uncertain now\n", n)
	return err
}
