package whatsapp

import (
	"bytes"
	"encoding/json"
)

// Only the fields that are read, with the provider's names. Lists and objects whose items must fail one by one are raw.

// text is a string that some senders write as a number (group participants, error codes).
type text string

// UnmarshalJSON takes a string, or a number as it is written.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		*t = text(b)
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// list is a list whose items are details of one message: one that is not as documented is left out, and the message stands.
type list[T any] []T

// UnmarshalJSON never fails on valid JSON.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	*l = nil
	for _, raw := range items(b) {
		var one T
		if is(raw, '{') && json.Unmarshal(raw, &one) == nil {
			*l = append(*l, one)
		}
	}
	return nil
}

// items splits a list; anything else has none.
func items(raw json.RawMessage) []json.RawMessage {
	var all []json.RawMessage
	if is(raw, '[') && json.Unmarshal(raw, &all) == nil {
		return all
	}
	return nil
}

type wireBody struct {
	Object  string          `json:"object"`
	Entry   json.RawMessage `json:"entry"`
	Changes json.RawMessage `json:"changes"`

	// AWS End User Messaging Social, and the SNS notification that it may come in (quirk 12).
	AWSEntry json.RawMessage `json:"whatsAppWebhookEntry"`
	SNSType  string          `json:"Type"`
	SNSText  *string         `json:"Message"`
	// Records is how Lambda hands SNS notifications and queue messages on.
	Records json.RawMessage `json:"Records"`
}

type wireRecord struct {
	SNS  json.RawMessage `json:"Sns"`
	Body *string         `json:"body"`
}

type wireEntry struct {
	Changes json.RawMessage `json:"changes"`
}

type wireChange struct {
	Field string          `json:"field"`
	Value json.RawMessage `json:"value"`
}

type wireValue struct {
	Metadata json.RawMessage   `json:"metadata"`
	Contacts list[wireContact] `json:"contacts"`
	Messages json.RawMessage   `json:"messages"`
	Statuses json.RawMessage   `json:"statuses"`
	Echoes   json.RawMessage   `json:"message_echoes"`
	Calls    json.RawMessage   `json:"calls"`
	Errors   list[wireError]   `json:"errors"`
}

// holds says whether there is anything to read.
func (v *wireValue) holds() bool {
	for _, list := range []json.RawMessage{v.Messages, v.Echoes, v.Statuses, v.Calls} {
		if !absent(list) && !empty(list) {
			return true
		}
	}
	return false
}

type wireMetadata struct {
	Number   text `json:"phone_number_id"`
	Displays text `json:"display_phone_number"`
}

type wireContact struct {
	WaID   text `json:"wa_id"`
	UserID text `json:"user_id"`
	Parent text `json:"parent_user_id"`
	// Username has been seen beside the profile and inside it.
	Username text `json:"username"`
	Profile  struct {
		Name     text `json:"name"`
		Username text `json:"username"`
	} `json:"profile"`
}

type wireMessage struct {
	ID        text            `json:"id"`
	Type      string          `json:"type"`
	Timestamp json.RawMessage `json:"timestamp"`
	GroupID   text            `json:"group_id"`

	From       text `json:"from"`
	FromUser   text `json:"from_user_id"`
	FromParent text `json:"from_parent_user_id"`
	To         text `json:"to"`
	ToUser     text `json:"to_user_id"`
	ToParent   text `json:"to_parent_user_id"`

	Context  *wireContext  `json:"context"`
	Referral *wireReferral `json:"referral"`

	wireContent
	Reaction *struct {
		MessageID text `json:"message_id"`
		Emoji     text `json:"emoji"`
	} `json:"reaction"`
	Edit *struct {
		Original text            `json:"original_message_id"`
		Message  json.RawMessage `json:"message"`
	} `json:"edit"`
	Revoke *struct {
		Original text `json:"original_message_id"`
	} `json:"revoke"`
	System *wireSystem `json:"system"`
}

// wireContent is what a message may hold; the content of an edit has the same form.
type wireContent struct {
	Text *struct {
		Body *string `json:"body"`
	} `json:"text"`
	Image       *wireMedia        `json:"image"`
	Audio       *wireMedia        `json:"audio"`
	Voice       *wireMedia        `json:"voice"`
	Video       *wireMedia        `json:"video"`
	Document    *wireMedia        `json:"document"`
	Sticker     *wireMedia        `json:"sticker"`
	Location    *wireLocation     `json:"location"`
	Contacts    []json.RawMessage `json:"contacts"`
	Order       json.RawMessage   `json:"order"`
	Button      *wireButton       `json:"button"`
	Interactive *wireInteractive  `json:"interactive"`
	Unsupported *struct {
		Type string `json:"type"`
	} `json:"unsupported"`
	Errors list[wireError] `json:"errors"`
}

type wireContext struct {
	ID                  text            `json:"id"`
	Forwarded           bool            `json:"forwarded"`
	FrequentlyForwarded bool            `json:"frequently_forwarded"`
	Product             json.RawMessage `json:"referred_product"`
}

type wireReferral struct {
	SourceURL    string `json:"source_url"`
	SourceID     text   `json:"source_id"`
	SourceType   string `json:"source_type"`
	Headline     string `json:"headline"`
	Body         string `json:"body"`
	MediaType    string `json:"media_type"`
	ImageURL     string `json:"image_url"`
	VideoURL     string `json:"video_url"`
	ThumbnailURL string `json:"thumbnail_url"`
	ClickID      string `json:"ctwa_clid"`
}

type wireMedia struct {
	ID       text   `json:"id"`
	URL      string `json:"url"`
	Link     string `json:"link"` // the name that URL had before 2025-11
	MimeType string `json:"mime_type"`
	SHA256   string `json:"sha256"`
	Caption  string `json:"caption"`
	Filename string `json:"filename"`
	Voice    bool   `json:"voice"`
}

type wireLocation struct {
	Latitude  *float64 `json:"latitude"`
	Longitude *float64 `json:"longitude"`
	Name      string   `json:"name"`
	Address   string   `json:"address"`
	URL       string   `json:"url"`
}

type wireCard struct {
	Name struct {
		Formatted string `json:"formatted_name"`
		First     string `json:"first_name"`
		Last      string `json:"last_name"`
	} `json:"name"`
	Org struct {
		Company string `json:"company"`
	} `json:"org"`
	Phones list[struct {
		Phone text `json:"phone"`
		WaID  text `json:"wa_id"`
	}] `json:"phones"`
	Emails list[struct {
		Email string `json:"email"`
	}] `json:"emails"`
}

type wireOrder struct {
	Text  string `json:"text"`
	Items list[struct {
		Product  text   `json:"product_retailer_id"`
		Quantity text   `json:"quantity"`
		Price    text   `json:"item_price"`
		Currency string `json:"currency"`
	}] `json:"product_items"`
}

type wireProduct struct {
	Catalog text `json:"catalog_id"`
	Product text `json:"product_retailer_id"`
}

type wireButton struct {
	Text    string `json:"text"`
	Payload text   `json:"payload"`
}

type wireInteractive struct {
	Type   string `json:"type"`
	Button *struct {
		ID    text   `json:"id"`
		Title string `json:"title"`
	} `json:"button_reply"`
	List *struct {
		ID    text   `json:"id"`
		Title string `json:"title"`
	} `json:"list_reply"`
	Form *struct {
		Name     string          `json:"name"`
		Body     string          `json:"body"`
		Response json.RawMessage `json:"response_json"`
	} `json:"nfm_reply"`
	CallPermission *struct {
		Response string `json:"response"`
	} `json:"call_permission_reply"`
}

type wireSystem struct {
	Type string `json:"type"`
	// Number is the new phone number; NewNumber is the name it had before v12.0.
	Number         text `json:"wa_id"`
	NewNumber      text `json:"new_wa_id"`
	UserID         text `json:"user_id"`
	Parent         text `json:"parent_user_id"`
	PreviousUser   text `json:"previous_user_id"`
	PreviousParent text `json:"previous_parent_user_id"`
}

type wireStatus struct {
	ID          text            `json:"id"`
	Status      string          `json:"status"`
	Timestamp   json.RawMessage `json:"timestamp"`
	Recipient   text            `json:"recipient_id"`
	User        text            `json:"recipient_user_id"`
	Parent      text            `json:"parent_recipient_user_id"`
	OtherParent text            `json:"recipient_parent_user_id"`
	Type        string          `json:"recipient_type"`
	Participant text            `json:"recipient_participant_id"`
	PartUser    text            `json:"recipient_participant_user_id"`
	Tag         text            `json:"biz_opaque_callback_data"`
	Pricing     json.RawMessage `json:"pricing"`
	Errors      list[wireError] `json:"errors"`
}

type wireCall struct {
	ID        text            `json:"id"`
	From      text            `json:"from"`
	FromUser  text            `json:"from_user_id"`
	To        text            `json:"to"`
	ToUser    text            `json:"to_user_id"`
	Event     string          `json:"event"`
	Direction string          `json:"direction"`
	Timestamp json.RawMessage `json:"timestamp"`
	Status    string          `json:"status"`
	Duration  float64         `json:"duration"` // seconds
	Tag       text            `json:"biz_opaque_callback_data"`
}

type wireError struct {
	Code    text   `json:"code"`
	Title   string `json:"title"`
	Message string `json:"message"`
	Data    struct {
		Details string `json:"details"`
	} `json:"error_data"`
}

// is says whether a raw value starts like the given JSON type ('{', '[', '"'); an absent value and null are none.
func is(raw json.RawMessage, first byte) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == first
}

// absent says that a field was not there, or null.
func absent(raw json.RawMessage) bool {
	return len(raw) == 0 || is(raw, 'n')
}

// empty says that a field is a list of nothing.
func empty(raw json.RawMessage) bool {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	return len(raw) > 0 && raw[0] == '[' && is(raw[1:], ']')
}
