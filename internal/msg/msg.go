// Package msg is the vocabulary of Aikajana: what a customer, a provider or an agent did, in terms that no channel owns.
//
// An adapter (package channel) turns what a provider sent into [Event] values; the store keeps them as entries of a
// timeline; [Outbound] is what an agent wants said. Everything here is plain data: JSON-stable, comparable with go-cmp and
// free of behaviour beyond its own consistency. The package imports the standard library only.
package msg

import "encoding/json"

// Event is one thing that happened on a channel, as the adapter understood it.
//
// Exactly one of the pointers that Kind names is set. ID names the object (the message, the call), not the event: an edit or
// a receipt points at it through Of. See [Event.DedupeKey] for what makes an event happen once only.
type Event struct {
	// Channel is the adapter's ID ("whatsapp"), Account the operator's name of the connected mailbox, number or page.
	Channel string `json:"channel"`
	Account string `json:"account"`
	// Scope is the provider's own ID of the account (a WhatsApp phone number ID). External IDs are unique within it. Empty
	// means the scope of the account that the envelope came in on; another one is resolved to its account by the pipeline.
	Scope string `json:"scope,omitempty"`
	// ID is the external ID of the object, opaque to everybody but the adapter.
	ID   string `json:"id"`
	Kind Kind   `json:"kind"`
	// Time is when it happened at the source. Zero when the provider does not say.
	Time      Time      `json:"time,omitzero"`
	Direction Direction `json:"direction"`
	Public    bool      `json:"public"`
	// From is who did it. For an echo (Direction out) it is our own account and To is the customer.
	From Address   `json:"from"`
	To   []Address `json:"to,omitempty"`
	// Thread is the adapter's thread key: with channel and account it names the conversation.
	Thread string `json:"thread"`
	// ReplyTo is the external ID of the message that this one answers or quotes.
	ReplyTo string `json:"reply_to,omitempty"`
	// Automatic says that a machine wrote it (an auto-reply, a list): recorded, never acknowledged, reopens nothing.
	Automatic bool `json:"automatic,omitempty"`
	// Tag is our own entry ID, when the provider hands back what we attached to a send.
	Tag string `json:"tag,omitempty"`
	// EventID is the provider's ID of the event itself, where there is one; see DedupeKey.
	EventID string `json:"event_id,omitempty"`

	Message  *Message  `json:"message,omitempty"`
	Edit     *Edit     `json:"edit,omitempty"`
	Removal  *Removal  `json:"removal,omitempty"`
	Reaction *Reaction `json:"reaction,omitempty"`
	Receipt  *Receipt  `json:"receipt,omitempty"`
	Call     *Call     `json:"call,omitempty"`
	Signal   *Signal   `json:"signal,omitempty"`
	Identity *Identity `json:"identity,omitempty"`

	// Native is what only this channel has, typed by its adapter and read by nobody else.
	Native json.RawMessage `json:"native,omitempty"`
}

// Kind says which of an Event's parts is set.
type Kind string

// The kinds of event. KindNote and KindVisit are written by agents only and never come from an adapter.
const (
	KindMessage  Kind = "message"
	KindEdit     Kind = "edit"
	KindRemoval  Kind = "removal"
	KindReaction Kind = "reaction"
	KindReceipt  Kind = "receipt"
	KindCall     Kind = "call"
	KindSignal   Kind = "signal"
	KindIdentity Kind = "identity"
	KindNote     Kind = "note"
	KindVisit    Kind = "visit"
)

// Direction is seen from the desk: In is what a customer did, Out what was said on our own account.
type Direction string

// The two directions.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Address is an identity on a channel: who, in the provider's terms.
type Address struct {
	// Kind is "email", "email.unverified", "whatsapp.phone", "whatsapp.user", … : the namespace of Value.
	Kind string `json:"kind"`
	// Value is normalised by the adapter (lower-case domain, digits only): equal people have equal values.
	Value string `json:"value"`
	// Name is what the person calls themselves. It is shown, never trusted, and never part of a key.
	Name string `json:"name,omitempty"`
	// Also holds the other identities of the same person that came in the same event.
	Also []Address `json:"also,omitempty"`
}

// Key is the identity without its name: "kind:value". Empty for the zero Address.
func (a Address) Key() string {
	if a.Kind == "" && a.Value == "" {
		return ""
	}
	return a.Kind + ":" + a.Value
}

// All lists the address itself and those in Also, without empty ones and without repeats.
func (a Address) All() []Address {
	all := make([]Address, 0, 1+len(a.Also))
	seen := make(map[string]bool, 1+len(a.Also))
	for _, one := range append([]Address{a}, a.Also...) {
		one.Also = nil
		if one.Value == "" || seen[one.Key()] {
			continue
		}
		seen[one.Key()] = true
		all = append(all, one)
	}
	return all
}

// Message is what somebody wrote or sent.
type Message struct {
	Subject string `json:"subject"`
	// Text is plain text: what the person wrote now. Pictures inside a mail are marked where they stood.
	Text  string `json:"text"`
	Parts []Part `json:"parts,omitempty"`

	// The rest is set by mail. Quoted is what the person quoted, FullText both; MessageID, InReplyTo and References are the
	// headers without angle brackets (RFC 5322 section 3.6.4).
	Quoted     string   `json:"quoted,omitempty"`
	FullText   string   `json:"full_text,omitempty"`
	MessageID  string   `json:"message_id,omitempty"`
	InReplyTo  string   `json:"in_reply_to,omitempty"`
	References []string `json:"references,omitempty"`
	// ReplyToken is the signed reply address that the message was sent to, when it was: the local part's token.
	ReplyToken string `json:"reply_token,omitempty"`
	// Body is the blob that holds the whole event when its texts were too long to be kept here: Text is cut then.
	Body string `json:"body,omitempty"`
	// Language is a BCP 47 tag, when the channel says.
	Language string `json:"language,omitempty"`
}

// PartKind says what a Part is.
type PartKind string

// The kinds of part.
const (
	PartImage    PartKind = "image"
	PartAudio    PartKind = "audio"
	PartVoice    PartKind = "voice"
	PartVideo    PartKind = "video"
	PartFile     PartKind = "file"
	PartSticker  PartKind = "sticker"
	PartLocation PartKind = "location"
	PartContact  PartKind = "contact"
	PartChoice   PartKind = "choice"
	PartOrder    PartKind = "order"
	PartForm     PartKind = "form"
	PartLink     PartKind = "link"
	PartStory    PartKind = "story"
	PartRaw      PartKind = "raw"
)

// Part is a piece of a message that is not its plain text.
type Part struct {
	Kind  PartKind `json:"kind"`
	Media *Media   `json:"media,omitempty"`
	// Text is a caption, the label of a pressed button, a file's description: always readable as it stands.
	Text string `json:"text,omitempty"`
	// Payload is what a pressed button carries.
	Payload  string          `json:"payload,omitempty"`
	URL      string          `json:"url,omitempty"`
	Location *Location       `json:"location,omitempty"`
	Contact  json.RawMessage `json:"contact,omitempty"`
	Order    json.RawMessage `json:"order,omitempty"`
	// Form holds the filled-in fields of a form, in the order shown.
	Form []Field `json:"form,omitempty"`
	// Raw is what the provider sent, for a part that we do not know.
	Raw json.RawMessage `json:"raw,omitempty"`
}

// Field is one filled-in field of a form.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Location is a point on a map.
type Location struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
	Name      string  `json:"name,omitempty"`
	Address   string  `json:"address,omitempty"`
}

// Media is a file that belongs to a message. It is fetched apart from the message, which never waits for it.
type Media struct {
	// ID is the provider's, or the part's place in a mail ("2.1"). URL is where the provider says it is; it may expire.
	ID  string `json:"id"`
	URL string `json:"url"`
	// Type is what the sender claims until the file is stored, then what its bytes say.
	Type string `json:"type"`
	Name string `json:"name"`
	// Size is in bytes; 0 when unknown.
	Size int64 `json:"size"`
	// ContentID is the cid: of a picture inside a mail.
	ContentID string `json:"content_id,omitempty"`
	// SHA256 is base64, as the provider says, and checked when present.
	SHA256 string `json:"sha256,omitempty"`

	// State is empty until the pipeline takes it up, then waiting, stored or failed. Key and Thumbnail are blob keys and
	// never leave the server: people are given expiring links.
	State     MediaState `json:"state,omitempty"`
	Error     string     `json:"error,omitempty"`
	Key       string     `json:"key,omitempty"`
	Thumbnail string     `json:"thumbnail,omitempty"`
}

// MediaState says how far the fetching of a file has come.
type MediaState string

// The states of a file.
const (
	MediaWaiting MediaState = "waiting"
	MediaStored  MediaState = "stored"
	MediaFailed  MediaState = "failed"
)

// Edit replaces the content of an earlier message.
type Edit struct {
	Of      string  `json:"of"`
	Message Message `json:"message"`
}

// Removal takes an earlier message back. The entry stays; its content is shown as removed.
type Removal struct {
	Of string `json:"of"`
}

// Reaction is one person's emoji on a message. An empty Emoji takes it back.
type Reaction struct {
	Of    string `json:"of"`
	Emoji string `json:"emoji"`
}

// Receipt says how far a message of ours has come. Send returns one; providers report further ones.
type Receipt struct {
	// Of is the external ID of the message. With Event.Tag set, the tag wins.
	Of string `json:"of"`
	// Recipient is who it was for, when the provider says (a group, a list).
	Recipient string       `json:"recipient,omitempty"`
	State     State        `json:"state"`
	Error     *ReceiptCode `json:"error,omitempty"`
	// MessageID is the Message-ID under which a mail really left.
	MessageID string `json:"message_id,omitempty"`
	// Pricing is what the provider says the message costs, as it says it.
	Pricing json.RawMessage `json:"pricing,omitempty"`
}

// ReceiptCode is why a message failed or is delayed, in the provider's words.
type ReceiptCode struct {
	Code  string `json:"code"`
	Title string `json:"title"`
}

// Call is a telephone call, or one step of it.
type Call struct {
	State      string    `json:"state"`
	Direction  Direction `json:"direction"`
	DurationS  int       `json:"duration_s,omitempty"`
	Recording  *Media    `json:"recording,omitempty"`
	Transcript string    `json:"transcript,omitempty"`
}

// Signal is something that a device or a web site noticed.
type Signal struct {
	Type   string          `json:"type"`
	Source string          `json:"source"`
	Data   json.RawMessage `json:"data,omitempty"`
}

// Identity says that a person's address changed: what was Was is now Now.
type Identity struct {
	Was Address `json:"was"`
	Now Address `json:"now"`
}

// Outbound is what is to be said to a customer. The adapter decides how: quoting, headers, their fields.
type Outbound struct {
	// Entry is the reply's entry ID. Providers that hand back a tag are given it.
	Entry string
	// Attempt counts from 1.
	Attempt int
	To      Address
	Thread  string
	// ReplyTo is the external ID of the message to quote; empty for none.
	ReplyTo string
	Text    string
	// The rest is for mail: Subject without "Re:", the Message-ID to set, the ones to refer to (oldest first), the signed
	// reply address, the case's human-readable reference and the name to show as the sender.
	Subject      string
	MessageID    string
	References   []string
	ReplyAddress string
	Reference    string
	SenderName   string
	// Automatic marks what no person wrote (an acknowledgement): Auto-Submitted on mail.
	Automatic bool
	// Time is when this attempt is made.
	Time Time
}
