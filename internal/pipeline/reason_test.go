package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/fault"
)

func TestAReasonIsShortAndSaysNothingOfOurInsides(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error {
		return fmt.Errorf(`send reply abc-e0mx of case R-2041: whatsapp account "main": %w`, err)
	}
	for name, one := range map[string]struct {
		err  error
		code string
		want string
	}{
		"a code of ours": {
			wrap(fault.Newf(fault.Retry, "auth", "sign in: dial tcp 10.0.0.7:25: token expired")), "auth",
			"the provider does not let us in: an administrator has to look at the account",
		},
		"a provider's code": {
			wrap(fault.Newf(fault.Permanent, "550", "the relay refused: 550 5.1.1 no such user")), "550",
			"the relay refused: 550 5.1.1 no such user",
		},
		"a provider's code inside another fault": {
			fault.Newf(fault.Permanent, "550", "deliver abc: %w", fault.Newf(fault.Permanent, "550", "no\r\nsuch   user")), "550", "no such user",
		},
		"a provider with much to say": {fault.Newf(fault.Permanent, "E1", "%s", strings.Repeat("ä", 1000)), "E1", strings.Repeat("ä", maxReason-1) + "…"},
		"a word that nobody knows":    {wrap(fault.Newf(fault.Permanent, "odd", "at /srv/x.go:12")), "odd", "it was refused; the log says why"},
		"a passing word":              {wrap(fault.Newf(fault.Retry, "odd", "at /srv/x.go:12")), "odd", "it cannot be sent for the moment"},
		"an uncertain word":           {wrap(fault.Newf(fault.Uncertain, "odd", "at /srv/x.go:12")), "odd", "nobody knows whether the provider took it"},
		"what nobody typed":           {wrap(errors.New("open /var/lib/x: permission denied")), "", "something is wrong on our side; the log says what"},
	} {
		if got := reason(one.err); got.Code != one.code || got.Title != one.want {
			t.Errorf("%s: %+v, want %q", name, got, one.want)
		}
	}
	for code, text := range reasons {
		if len(text) > maxReason || strings.HasSuffix(text, ".") || strings.ToLower(text[:1]) != text[:1] {
			t.Errorf("%s: %q", code, text)
		}
	}
}
