//go:build parts

package scenario_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/awspolicy"
	"github.com/aikajana/aikajana/internal/scenario"
	"github.com/aikajana/aikajana/internal/standin"
)

func parts(t testing.TB) scenario.Parts {
	t.Helper()
	return scenario.Parts{DynamoDB: standin.DynamoDB(t), SQS: standin.SQS(t), Moto: standin.Moto(t)}
}

func TestEveryStoryIsToldByTheAWSWorldInTheSameBytes(t *testing.T) {
	t.Parallel()
	on := parts(t)
	on.Calls = &awspolicy.Recorder{}
	t.Run("stories", func(t *testing.T) {
		for _, name := range names(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s := read(t, name)
				dump := play(t, s, on.NewAWS)
				want, err := os.ReadFile("scripts/" + name + ".golden")
				if err != nil {
					t.Fatal(err)
				}
				compare(t, name, dump, string(want))
			})
		}
	})
	t.Run("roles", func(t *testing.T) { // what was called is what template.yaml allows, no less and no more
		rest(t, on)
		compareRoles(t, on.Calls.Calls())
	})
}

func worlds(t testing.TB) map[string]func(context.Context, *scenario.Stage) (scenario.World, error) {
	return map[string]func(context.Context, *scenario.Stage) (scenario.World, error){"local": scenario.NewLocal, "aws": parts(t).NewAWS}
}

func TestFault64_AMailThatCannotBeReadYetIsTriedAgain(t *testing.T) {
	t.Parallel()
	const name = "aws/mail-not-readable-yet"
	golden(t, name, play(t, read(t, name), parts(t).NewAWS))
}

func TestADroppedAcceptedMessageMakesTheLedgerUnevenAndNamesItsChannel(t *testing.T) {
	t.Parallel()
	on := parts(t)
	for _, name := range []string{"accepted-message-is-lost", "last-accepted-message-is-lost"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t, read(t, "aws/"+name), on.NewAWS)
			golden(t, "aws/"+name, r.Dump)
			if want := "I1: 1 envelopes of whatsapp/main were accepted and nobody is done with them: instance webhook number 2"; !slices.Equal(r.Problems, []string{want}) {
				t.Errorf("the check finds %q, want %q", r.Problems, want)
			}
			if !strings.Contains(r.Dump, "balanced=false") {
				t.Errorf("the ledger is even: %s", r.Dump[strings.Index(r.Dump, "# reconciliation"):])
			}
		})
	}
}

func TestAMailThatIsLostAfterSESTookItIsFoundInTheBucket(t *testing.T) {
	t.Parallel()
	const name = "aws/accepted-mail-is-lost"
	r := run(t, read(t, name), parts(t).NewAWS)
	golden(t, name, r.Dump)
	want := "I1: mail ses/ses000000000004 was accepted at 2026-11-23T08:00:00.003Z and nobody is done with it; see docs/aws/redrive.md"
	if !slices.Equal(r.Problems, []string{want}) {
		t.Errorf("the check finds %q, want %q", r.Problems, want)
	}
}

func TestWhatComesTwiceOrFromSomebodyWhoIsKilledLeavesTheLedgerEven(t *testing.T) {
	t.Parallel()
	const name = "aws/ledger-stays-even"
	golden(t, name, play(t, read(t, name), parts(t).NewAWS))
}
