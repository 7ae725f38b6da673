package client

import (
	"encoding/json"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/timeline"
)

// The values of the API, with the fields that a program at a terminal reads. Fields that are not listed are in Answer.Raw.

// Page is one page of a list; Next is handed back as after.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// Timeline is one page of a timeline, oldest first. Next leads into the past, Last towards now.
type Timeline struct {
	Items []*timeline.Entry `json:"items"`
	Next  string            `json:"next,omitempty"`
	Last  string            `json:"last,omitempty"`
}

// Case is the header of a case.
type Case struct {
	Case         string             `json:"case"`
	Reference    string             `json:"reference"`
	Customer     string             `json:"customer"`
	CustomerName string             `json:"customer_name"`
	State        timeline.CaseState `json:"state"`
	Team         string             `json:"team"`
	Agent        string             `json:"agent"`
	Channel      string             `json:"channel"`
	Account      string             `json:"account"`
	Subject      string             `json:"subject"`
	Reason       string             `json:"reason"`
	Tags         []string           `json:"tags"`
	Opened       msg.Time           `json:"opened"`
	NextDue      msg.Time           `json:"next_due"`
	SnoozedUntil msg.Time           `json:"snoozed_until"`
	MessagesIn   int                `json:"messages_in"`
	MessagesOut  int                `json:"messages_out"`
}

// CaseChange is what to change of a case; nil leaves as it is.
type CaseChange struct {
	State        *string   `json:"state,omitempty"`
	Agent        *string   `json:"agent,omitempty"`
	Team         *string   `json:"team,omitempty"`
	Subject      *string   `json:"subject,omitempty"`
	Reason       *string   `json:"reason,omitempty"`
	Tags         *[]string `json:"tags,omitempty"`
	SnoozedUntil *msg.Time `json:"snoozed_until,omitempty"`
}

// Customer is one person.
type Customer struct {
	Customer   string `json:"customer"`
	Name       string `json:"name"`
	Identities []struct {
		Customer string      `json:"customer"`
		Address  msg.Address `json:"address"`
	} `json:"identities"`
	Person    []string `json:"person"`
	Merges    []Merge  `json:"merges"`
	Suggested []struct {
		Customer string `json:"customer"`
		Why      string `json:"why"`
		Case     string `json:"case"`
	} `json:"suggested"`
	Cases []Case `json:"cases"`
}

// Merge says that two customers are one person.
type Merge struct {
	Merge     string    `json:"merge"`
	Customers [2]string `json:"customers"`
	By        string    `json:"by"`
	At        msg.Time  `json:"at"`
}

// Reply is an answer to be sent.
type Reply struct {
	Text    string       `json:"text"`
	Channel string       `json:"channel,omitempty"`
	Account string       `json:"account,omitempty"`
	To      *msg.Address `json:"to,omitempty"`
	Subject string       `json:"subject,omitempty"`
}

// Channel is a channel that can be connected.
type Channel struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Mark      string `json:"mark"`
	Reference string `json:"reference"`
	Settings  []struct {
		Name     string `json:"name"`
		Secret   bool   `json:"secret"`
		Required bool   `json:"required"`
		Default  string `json:"default"`
		Help     string `json:"help"`
	} `json:"settings"`
}

// Account is one connected mailbox, number or page.
type Account struct {
	Channel      string            `json:"channel"`
	Account      string            `json:"account"`
	Team         string            `json:"team"`
	Settings     map[string]string `json:"settings"`
	SecretsSet   []string          `json:"secrets_set"`
	Declared     bool              `json:"declared"`
	WebhookURL   string            `json:"webhook_url"`
	VerifyToken  string            `json:"verify_token"`
	LastDelivery msg.Time          `json:"last_delivery"`
	LastRefusal  *struct {
		At     msg.Time `json:"at"`
		Reason string   `json:"reason"`
	} `json:"last_refusal"`
}

// AccountChange connects or changes an account. Settings are replaced as a whole; secrets that are not named stay.
type AccountChange struct {
	Team     *string           `json:"team,omitempty"`
	Settings map[string]string `json:"settings,omitempty"`
	Secrets  map[string]string `json:"secrets,omitempty"`
}

// User is a colleague.
type User struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Email     string   `json:"email,omitempty"`
	Roles     []string `json:"roles"`
	Teams     []string `json:"teams"`
	Presence  string   `json:"presence,omitempty"`
	Disabled  bool     `json:"disabled,omitempty"`
	CreatedAt msg.Time `json:"created_at,omitzero"`
}

// Principal is who asks: a user who is signed in, or an API token.
type Principal struct {
	ID    string   `json:"id"`
	Kind  string   `json:"kind"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
	Teams []string `json:"teams"`
}

// Invitation is who is invited.
type Invitation struct {
	User  string   `json:"user"`
	Name  string   `json:"name,omitempty"`
	Email string   `json:"email,omitempty"`
	Roles []string `json:"roles"`
	Teams []string `json:"teams,omitempty"`
}

// Invited is an invitation with the secret of its link.
type Invited struct {
	Invitation struct {
		ID        string   `json:"id"`
		User      string   `json:"user"`
		ExpiresAt msg.Time `json:"expires_at"`
	} `json:"invitation"`
	Token string `json:"token"`
}

// Token is an API token without its secret.
type Token struct {
	ID        string   `json:"id,omitempty"`
	Name      string   `json:"name"`
	Roles     []string `json:"roles"`
	Teams     []string `json:"teams,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`
	CreatedAt msg.Time `json:"created_at,omitzero"`
	ExpiresAt msg.Time `json:"expires_at,omitzero"`
	UsedAt    msg.Time `json:"used_at,omitzero"`
}

// TokenMade is a new token; Secret is shown only now.
type TokenMade struct {
	Token  Token  `json:"token"`
	Secret string `json:"secret"`
}

// Quarantined is an input that no event could be made of.
type Quarantined struct {
	ID         string   `json:"id"`
	Channel    string   `json:"channel"`
	Account    string   `json:"account"`
	Cause      string   `json:"cause"`
	Detail     string   `json:"detail"`
	ReceivedAt msg.Time `json:"received_at"`
	Size       int64    `json:"size"`
	Seen       int      `json:"seen"`
	Refused    bool     `json:"refused"`
	ReplayedAt msg.Time `json:"replayed_at"`
	// ExpiresAt is when it is forgotten.
	ExpiresAt msg.Time        `json:"expires_at"`
	Raw       []byte          `json:"raw"`
	Event     json.RawMessage `json:"event"`
}

// Queue is what waits in one queue.
type Queue struct {
	Queue    string `json:"queue"`
	Ready    int64  `json:"ready"`
	Delayed  int64  `json:"delayed"`
	InFlight int64  `json:"in_flight"`
	Dead     int64  `json:"dead"`
}

// Redriven says how many dead letters were brought back; -1 when the queue does not say.
type Redriven struct {
	Queue string `json:"queue"`
	Moved int    `json:"moved"`
}

// Reconciliation is what became of everything, by account.
type Reconciliation struct {
	Items    []Ledger `json:"items"`
	Complete bool     `json:"complete"`
}

// Ledger is what became of everything that came in through one account.
type Ledger struct {
	Channel     string `json:"channel"`
	Account     string `json:"account"`
	Received    int64  `json:"received"`
	Stored      int64  `json:"stored"`
	Duplicate   int64  `json:"duplicate"`
	Quarantined int64  `json:"quarantined"`
	Pending     int64  `json:"pending"`
	Dead        int64  `json:"dead"`
	Envelopes   struct {
		Accepted    int64 `json:"accepted"`
		Processed   int64 `json:"processed"`
		Queued      int64 `json:"queued"`
		Dead        int64 `json:"dead"`
		Approximate bool  `json:"approximate"`
		// Missing names what was accepted and is nowhere, where the server can tell.
		Missing string `json:"missing"`
	} `json:"envelopes"`
	Balanced bool `json:"balanced"`
}

// Erasure says that a person was erased.
type Erasure struct {
	Customer string   `json:"customer"`
	ErasedAt msg.Time `json:"erased_at"`
}

// Ticket opens one socket within 30 seconds.
type Ticket struct {
	Ticket string `json:"ticket"`
	URL    string `json:"url"`
	Cursor string `json:"cursor"`
}

// Event is one message of the socket.
type Event struct {
	Cursor   string          `json:"cursor"`
	Type     string          `json:"type"`
	Customer string          `json:"customer"`
	Case     string          `json:"case"`
	Entry    *timeline.Entry `json:"entry"`
	Detail   string          `json:"detail"`
}
