package pipeline

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
)

// reasons say in a few words to an agent why an answer did not go out, by the code of the fault. Who shows them in another
// language goes by the code, which is beside them.
var reasons = map[string]string{
	// what the agent can mend
	"address":       "this address cannot be written to",
	"no_address":    "the customer has no address on this channel",
	"needs_phone":   "this needs the customer's phone number",
	"smtputf8":      "the mail server takes no address with letters like these; write to another one",
	"empty":         "the answer has no text",
	"too_long":      "the text is too long for this channel; split it",
	"too_large":     "the answer is too large for this channel; send less, or a link",
	"compose":       "the answer cannot be written in this channel's form",
	"undeliverable": "the customer cannot be reached on this channel",
	"window_closed": "the customer wrote too long ago for a free answer on this channel; answer on another one",
	"no_answers":    "this channel carries no answers; answer on another one",
	// what an administrator has to
	"auth":       "the provider does not let us in: an administrator has to look at the account",
	"settings":   "the account is not set up right: an administrator has to look at it",
	"set_up":     "the account is not set up right: an administrator has to look at it",
	"starttls":   "the mail server offers no encryption: an administrator has to look at the account",
	"redirect":   "the provider's address is wrong: an administrator has to look at the account",
	"no_mailer":  "nothing is set up to send mail: an administrator has to",
	"no_account": "the account is not connected any more",
	"no_channel": "this version knows no such channel",
	// what passes, and what nobody knows
	"connection":   "the provider cannot be reached",
	"network":      "the provider cannot be reached",
	"timeout":      "the provider did not answer in time",
	"unavailable":  "the provider is out of order",
	"rate_limited": "the provider takes no more for the moment",
	"busy":         "there is too much to do at the moment",
	"no_answer":    "the provider gave no answer",
	"answer":       "the provider's answer was not understood",
	"broken":       "the provider's answer was cut off",
	"lost":         "the provider's answer was cut off",
	"panic":        "it went wrong on our side while it was being sent",
}

// maxReason bounds a provider's own words, in characters.
const maxReason = 160

// reason is what an agent is told of an answer that did not go out: a short word for programs and a few for people. What was
// being done with which ID is for the log. A code of the provider's own comes with the provider's words, which adapters have
// freed of names and numbers.
func reason(err error) msg.ReceiptCode {
	code := fault.Code(err)
	if text, ok := reasons[code]; ok {
		return msg.ReceiptCode{Code: code, Title: text}
	}
	if said := innermost(err); said != nil && foreign(code) {
		return msg.ReceiptCode{Code: code, Title: oneLine(said.Error())}
	}
	switch fault.Of(err) {
	case fault.Retry, fault.Conflict:
		return msg.ReceiptCode{Code: code, Title: "it cannot be sent for the moment"}
	case fault.Uncertain:
		return msg.ReceiptCode{Code: code, Title: "nobody knows whether the provider took it"}
	case fault.Internal:
		return msg.ReceiptCode{Code: code, Title: "something is wrong on our side; the log says what"}
	}
	return msg.ReceiptCode{Code: code, Title: "it was refused; the log says why"}
}

// foreign says that a code is a provider's (a number, a name of its own) and not one of our words.
func foreign(code string) bool {
	return strings.ContainsFunc(code, func(r rune) bool { return unicode.IsDigit(r) || unicode.IsUpper(r) })
}

// innermost is the fault that is nearest to the cause: what lies around it says what was being done.
func innermost(err error) (inner *fault.Error) {
	for {
		e, ok := errors.AsType[*fault.Error](err)
		if !ok {
			return inner
		}
		inner, err = e, e.Err
	}
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= maxReason {
		return s
	}
	return string([]rune(s)[:maxReason-1]) + "…"
}
