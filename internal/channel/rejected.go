package channel

import (
	"errors"

	"github.com/aikajana/aikajana/internal/msg"
)

// Cause says, in a word that programs hold on to, why an input is in quarantine.
type Cause string

// The causes.
const (
	// CauseMalformed: it is not what the provider documents, and no event could be made of it.
	CauseMalformed Cause = "malformed"
	// CauseUnsupported: the provider sent a kind of event that nobody wrote and that we do not use.
	CauseUnsupported Cause = "unsupported"
	// CauseUnknownAccount: it names a number, page or mailbox that no account is connected to.
	CauseUnknownAccount Cause = "unknown_account"
	// CauseSignature: the signature was wrong; kept so that it can be replayed after a key was mended.
	CauseSignature Cause = "signature"
	// CauseTooLarge: over a documented limit.
	CauseTooLarge Cause = "too_large"
	// CauseOrphan: a receipt, edit, removal or reaction whose message never came.
	CauseOrphan Cause = "orphan"
	// CauseLoop: two machines were answering each other.
	CauseLoop Cause = "loop"
	// CauseSpam: the receiving side judged it spam or a virus.
	CauseSpam Cause = "spam"
	// CauseInternal: our own defect; replay after an upgrade.
	CauseInternal Cause = "internal"
)

// Rejected is a part of an envelope that no event could be made of.
type Rejected struct {
	Cause Cause
	// Detail names the field and what was expected, for an operator. It holds no content of the message.
	Detail string
	// Raw is the item itself, when it is less than the whole envelope.
	Raw []byte
	// From is whose it seems to be, as far as that can be told without understanding it: under each of these addresses an
	// erasure finds it. Empty when nothing tells; it is then forgotten as soon as other raw input.
	From []msg.Address
}

// Error says what was rejected and why.
func (r *Rejected) Error() string { return string(r.Cause) + ": " + r.Detail }

// Rejections lists what err, as returned by Parse, rejected. An error that is not a *Rejected counts as one of cause
// malformed, so that nothing an adapter reports can be lost.
func Rejections(err error) []*Rejected {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the tree is walked here, one level at a time
		var all []*Rejected
		for _, one := range many.Unwrap() {
			all = append(all, Rejections(one)...)
		}
		return all
	}
	if r, ok := errors.AsType[*Rejected](err); ok {
		return []*Rejected{r}
	}
	return []*Rejected{{Cause: CauseMalformed, Detail: err.Error()}}
}
