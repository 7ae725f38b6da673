package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

func TestMistypedCommandLineIsExplained(t *testing.T) {
	t.Parallel()
	nowhere := func(context.Context) (aws.Config, error) { return aws.Config{}, errors.New("no region") }
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitOK, "Usage: aikajana-aws"},
		{[]string{"check"}, exitUsage, "--table"},
		{[]string{"key", "--secret-path", "/aikajana/x"}, exitUsage, "--create"},
		{[]string{"dump", "--table", "t", "--blobs", "d"}, exitUsage, "--bucket"},
		{[]string{"dump"}, exitUsage, "--table, or --bucket"},
		{[]string{"dump", "--items", "f", "--bucket", "b", "--blobs", "d"}, exitUsage, "--items goes with --table"},
		{[]string{"erase-again", "--table", "t", "--bucket", "b"}, exitUsage, "--secret-path"},
		{[]string{"replay", "--table", "t", "--bucket", "b", "--inbound", "u", "--mail", "v", "--since", "yesterday"}, exitUsage, "--since"},
		{[]string{"check", "--table", "t"}, exitFailed, "AWS_REGION"},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), c.args, streams{strings.NewReader(""), &out, &out}, nowhere); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%v: exit %d, want %d and %q:\n%s", c.args, code, c.code, c.says, out.String())
		}
	}
}
