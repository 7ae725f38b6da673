package fake

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

type file struct {
	kind  string
	data  []byte
	keys  map[string]time.Time // of each URL that was given, until when it is good
	fails int
	gone  bool
	at    string // another URL than the provider's own
}

// request is the body of POST /{phone-number-id}/messages, as far as texts go.
type request struct {
	Product       string `json:"messaging_product"`
	RecipientType string `json:"recipient_type"`
	To            string `json:"to"`
	Recipient     string `json:"recipient"`
	Type          string `json:"type"`
	Text          *struct {
		Body    string `json:"body"`
		Preview bool   `json:"preview_url"`
	} `json:"text"`
	Context *struct {
		MessageID string `json:"message_id"`
	} `json:"context"`
	Tag string `json:"biz_opaque_callback_data"`
}

// ServeHTTP is the Graph API: POST /{version}/{phone-number-id}/messages, GET /{version}/{media-id} and the files.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if r.Header.Get("Authorization") != "Bearer "+p.o.AccessToken || p.o.AccessToken == "" {
		refuse(w, http.StatusUnauthorized, 190, words[190], "")
		return
	}
	switch {
	case r.Method == http.MethodPost && len(path) == 3 && path[2] == "messages":
		p.messages(w, r, path[1])
	case r.Method == http.MethodGet && len(path) == 2 && path[0] == "files":
		p.download(w, r, path[1])
	case r.Method == http.MethodGet && len(path) == 2:
		p.lookUp(w, r, path[1])
	default:
		refuse(w, http.StatusNotFound, 100, "Unsupported request", "")
	}
}

func (p *Provider) messages(w http.ResponseWriter, r *http.Request, number string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return // the caller went away
	}
	b := p.behaviour()
	switch {
	case b.drop:
		panic(http.ErrAbortHandler)
	case b.status != 0 && b.code == 0 && b.status >= 500:
		http.Error(w, "upstream connect error", b.status)
		return
	case b.status != 0:
		refuse(w, b.status, b.code, b.message, "")
		return
	}
	answer, status, code, details := p.accept(number, body)
	if status != 0 {
		refuse(w, status, code, words[code], details)
		return
	}
	if b.first {
		p.statuses(context.WithoutCancel(r.Context()), answer)
	} else {
		p.posts.Go(func() { p.statuses(context.WithoutCancel(r.Context()), answer) })
	}
	switch {
	case b.vanish:
		panic(http.ErrAbortHandler)
	case b.hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case b.garbage:
		_, _ = io.WriteString(w, "<html>OK</html>") // a caller that went away is its own business
		return
	}
	contact := map[string]any{"input": answer.To, "wa_id": answer.To}
	if answer.Recipient != "" {
		contact = map[string]any{"input": answer.Recipient, "user_id": answer.Recipient}
	}
	reply(w, http.StatusOK, map[string]any{
		"messaging_product": "whatsapp", "contacts": []any{contact}, "messages": []any{map[string]any{"id": answer.ID}},
	})
}

func (p *Provider) behaviour() Behaviour {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.next) == 0 {
		return Behaviour{}
	}
	b := p.next[0]
	p.next = p.next[1:]
	return b
}

// accept checks an answer as the real provider does and records it. A status other than 0 refuses it.
func (p *Provider) accept(number string, body []byte) (Sent, int, int, string) {
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		return Sent{}, http.StatusBadRequest, 100, "the body is not JSON"
	}
	switch {
	case number != p.o.PhoneNumberID:
		return Sent{}, http.StatusBadRequest, 100, "no such phone number ID"
	case q.Product != "whatsapp":
		return Sent{}, http.StatusBadRequest, 100, "messaging_product must be whatsapp"
	case q.Type != "text" || q.Text == nil || q.Text.Body == "":
		return Sent{}, http.StatusBadRequest, 100, "text.body is required"
	case utf8.RuneCountInString(q.Text.Body) > 4096:
		return Sent{}, http.StatusBadRequest, 100, "text.body is longer than 4096 characters"
	case (q.To == "") == (q.Recipient == ""):
		return Sent{}, http.StatusBadRequest, 100, "exactly one of to and recipient is required"
	case q.RecipientType != "individual" && q.RecipientType != "group":
		return Sent{}, http.StatusBadRequest, 100, "recipient_type must be individual or group"
	case len(q.Tag) > 512:
		return Sent{}, http.StatusBadRequest, 100, "biz_opaque_callback_data is longer than 512 characters"
	}
	who := strings.TrimPrefix(q.To, "+") + q.Recipient
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open(who) {
		return Sent{}, http.StatusBadRequest, 131047, "more than 24 hours have passed since the customer last replied"
	}
	if !p.allowed(who) {
		return Sent{}, http.StatusBadRequest, 131056, "too many messages to the same phone number"
	}
	answer := Sent{
		ID: p.id(who), To: strings.TrimPrefix(q.To, "+"), Recipient: q.Recipient, Group: q.RecipientType == "group",
		Text: q.Text.Body, Tag: q.Tag, At: p.o.Now(),
	}
	if q.Context != nil {
		answer.ReplyTo = q.Context.MessageID
	}
	p.sent = append(p.sent, answer)
	return answer, 0, 0, ""
}

// statuses posts what Options.Statuses lists, one delivery each, as far as there is a webhook.
func (p *Provider) statuses(ctx context.Context, answer Sent) {
	for _, status := range p.o.Statuses {
		if err := p.MustPost(ctx, p.Status(answer, status)); err != nil {
			p.mu.Lock()
			p.failed = append(p.failed, err)
			p.mu.Unlock()
		}
	}
}

// AddMedia keeps a file that messages can refer to, and returns its ID.
func (p *Provider) AddMedia(mimeType string, data []byte) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	id := strconv.Itoa(100000 + p.count)
	p.media[id] = &file{kind: mimeType, data: data, keys: map[string]time.Time{}}
	return id
}

// FailMedia makes the next n downloads of a file fail with status 500.
func (p *Provider) FailMedia(id string, n int) { p.change(id, func(f *file) { f.fails = n }) }

// ForgetMedia makes a file be gone, as after 7 days.
func (p *Provider) ForgetMedia(id string) { p.change(id, func(f *file) { f.gone = true }) }

// MoveMedia makes the look-up give another URL than the provider's own, to see who is given credentials.
func (p *Provider) MoveMedia(id, url string) { p.change(id, func(f *file) { f.at = url }) }

// AlterMedia changes the bytes that are served, but not the checksum that was announced.
func (p *Provider) AlterMedia(id string, data []byte) { p.change(id, func(f *file) { f.data = data }) }

func (p *Provider) change(id string, how func(*file)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f := p.media[id]; f != nil {
		how(f)
	}
}

func (p *Provider) lookUp(w http.ResponseWriter, r *http.Request, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.media[id]
	if number := r.URL.Query().Get("phone_number_id"); f == nil || f.gone || number != "" && number != p.o.PhoneNumberID {
		refuse(w, http.StatusBadRequest, 100, "Unsupported get request. Object does not exist", "")
		return
	}
	at := f.at
	if at == "" {
		key, until := rand.Text(), p.o.Now().Add(p.o.MediaLifetime)
		f.keys[key] = until
		at = "http://" + r.Host + "/files/" + id + "?ext=" + strconv.FormatInt(until.Unix(), 10) + "&hash=" + key
	}
	reply(w, http.StatusOK, map[string]any{
		"messaging_product": "whatsapp", "id": id, "url": at, "mime_type": f.kind, "file_size": strconv.Itoa(len(f.data)),
	})
}

func (p *Provider) download(w http.ResponseWriter, r *http.Request, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.media[id]
	switch {
	case f == nil || f.gone || !p.o.Now().Before(f.keys[r.URL.Query().Get("hash")]):
		http.Error(w, "the URL has expired", http.StatusNotFound)
	case f.fails > 0:
		f.fails--
		http.Error(w, "try again", http.StatusInternalServerError)
	default:
		w.Header().Set("Content-Type", f.kind)
		_, _ = w.Write(f.data) // a caller that went away is its own business
	}
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func refuse(w http.ResponseWriter, status, code int, message, details string) {
	e := map[string]any{
		"message": "(#" + strconv.Itoa(code) + ") " + message, "type": "OAuthException", "code": code, "fbtrace_id": "AFake",
	}
	if details != "" {
		e["error_data"] = map[string]any{"messaging_product": "whatsapp", "details": details}
	}
	reply(w, status, map[string]any{"error": e})
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a caller that went away is its own business
}
