package channel

import (
	"time"

	"github.com/aikajana/aikajana/internal/msg"
)

// Info declares a channel. Routes, validation, the settings page and the documentation are made from it.
type Info struct {
	// ID is the channel's name in URLs, keys and events: lower case, stable for ever.
	ID string
	// Name is the proper name, shown to people; Mark is one or two characters for a terminal ("✉").
	Name string
	Mark string
	// Reference is the provider's page that the adapter follows.
	Reference string
	// Settings of an account, in the order to ask for them.
	Settings []Setting
	// Scope names the setting that holds the provider's own ID of the account; external IDs are unique within it. Empty
	// means that the account's own ID is the scope.
	Scope string
	// Headers are the request headers that Parse needs, canonical names.
	Headers []string
	// Identities are the identity kinds that the channel knows, the one that decides first.
	Identities []string
	// Threading says how messages come together in conversations.
	Threading Threading
	// ChatLike channels join the customer's newest open case on any channel, unless the account's setting
	// "join_open_case" says "no".
	ChatLike bool
	// Public says that others can read what is written.
	Public bool
	// TimeAsserted says that the time of an event is only what the sender claims: shown, not used for order.
	TimeAsserted bool
	// Capabilities of an answer.
	Can Capabilities
	// Window is how long after the customer's last message a free answer may be sent; 0 means for ever.
	Window time.Duration
	// AnswerBy lists the channels that may carry an answer when this one cannot, best first.
	AnswerBy []string
	// MediaHosts are the hosts that may be given the account's credentials when a file is fetched.
	MediaHosts []string
	// ServiceLevel is the promise that holds until an operator says otherwise.
	ServiceLevel ServiceLevel
}

// Threading says how messages come together in conversations.
type Threading int

// The ways of threading.
const (
	// ByThread: Event.Thread names the conversation (a messenger's sender or group).
	ByThread Threading = iota
	// ByReferences: the tree of Message-IDs that a mail refers to names it.
	ByReferences
	// BySubmission: each message is a conversation of its own (a form).
	BySubmission
)

// Setting is one thing to be known of an account.
type Setting struct {
	// Name is the key in Account.Settings, or in Account.Secrets when Secret is set.
	Name   string
	Secret bool
	// Required settings must be set before the account works. Default holds when nothing is set.
	Required bool
	Default  string
	// Help is one English sentence: what it is and where the provider shows it.
	Help string
	// Pattern, when set, is a regular expression that the whole value must match.
	Pattern string
}

// Capabilities say what an answer on the channel may hold. Zero means that the channel cannot answer by itself.
type Capabilities struct {
	// Text is the longest answer in characters (Unicode code points); 0 means that the channel carries no answers.
	Text int
	// Subject says that an answer has a subject of its own.
	Subject bool
	// Quote says that an answer can quote one message.
	Quote bool
	// Undo is how long an answer is held back so that the agent can take it back.
	Undo time.Duration
	// Receipts are the delivery states that the provider reports.
	Receipts []msg.State
	// Media lists what may be attached.
	Media []MediaLimit
}

// MediaLimit is one kind of file that the provider takes.
type MediaLimit struct {
	Kind  msg.PartKind
	Types []string
	Bytes int64
}

// ServiceLevel is what customers are promised.
type ServiceLevel struct {
	FirstAnswer time.Duration
	Solved      time.Duration
	// WorkingTime says that the clock runs during opening hours only.
	WorkingTime bool
}
