package api

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/live"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// FindCustomers implements GET /api/v1/customers?address=.
func (h handlers) FindCustomers(ctx context.Context, r FindCustomersRequestObject) (FindCustomersResponseObject, error) {
	kinds := h.identityKinds()
	address, ok := parseAddress(r.Params.Address, kinds)
	tries := []msg.Address{address}
	if !ok {
		tries = nil
		for _, kind := range kinds {
			tries = append(tries, msg.Address{Kind: kind, Value: address.Value})
		}
	}
	found := CustomerList{Items: []Customer{}}
	seen := map[string]bool{}
	for _, try := range tries {
		for _, spelled := range spellings(try) {
			c, err := h.Store.CustomerAt(ctx, spelled)
			if isMissing(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if seen[c.Customer] {
				continue
			}
			person, cases, err := h.personOf(ctx, &callOf(ctx).principal, c.Customer)
			if isMissing(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, member := range person {
				seen[member.Customer] = true
			}
			found.Items = append(found.Items, viewCustomer(person, cases))
		}
	}
	return FindCustomers200JSONResponse(found), nil
}

// identityKinds are the kinds of address that the channels know, and those of addresses that were never proven.
func (h handlers) identityKinds() []string {
	all := map[string]bool{"email": true, "email.unverified": true}
	for _, id := range h.Channels.IDs() {
		info, _ := h.Channels.Info(id)
		for _, kind := range info.Identities {
			all[kind] = true
		}
	}
	kinds := make([]string, 0, len(all))
	for kind := range all {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// spellings are the ways in which an adapter may have normalised what a person writes: as it is, a mail address in lower
// case, a number in digits alone.
func spellings(a msg.Address) []msg.Address {
	all := []msg.Address{a}
	add := func(value string) {
		if value != "" && !slices.ContainsFunc(all, func(b msg.Address) bool { return b.Value == value }) {
			all = append(all, msg.Address{Kind: a.Kind, Value: value})
		}
	}
	add(strings.ToLower(strings.TrimSpace(a.Value)))
	if local, domain, ok := strings.Cut(strings.TrimSpace(a.Value), "@"); ok {
		add(local + "@" + strings.ToLower(domain))
	} else if strings.Trim(a.Value, "+0123456789 -().") == "" {
		add(strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, a.Value))
	}
	return all
}

// GetCustomer implements GET /api/v1/customers/{id}.
func (h handlers) GetCustomer(ctx context.Context, r GetCustomerRequestObject) (GetCustomerResponseObject, error) {
	person, cases, err := h.personOf(ctx, &callOf(ctx).principal, r.Id)
	if err != nil {
		return nil, err
	}
	return GetCustomer200JSONResponse(viewCustomer(person, cases)), nil
}

// Timeline implements GET /api/v1/customers/{id}/timeline.
func (h handlers) Timeline(ctx context.Context, r TimelineRequestObject) (TimelineResponseObject, error) {
	page := store.Page{Limit: limitOf(r.Params.Limit)}
	var err error
	if page.Before, err = showCursor("before", r.Params.Before); err != nil {
		return nil, err
	}
	if page.After, err = showCursor("after", r.Params.After); err != nil {
		return nil, err
	}
	if page.Before != "" && page.After != "" {
		return nil, fault.Field("query.before", "it does not go together with after")
	}
	sees, err := h.seesCustomer(ctx, &callOf(ctx).principal, r.Id)
	if err != nil {
		return nil, err
	}
	if !sees {
		return nil, nothingHere()
	}
	entries, next, err := h.Store.Timeline(ctx, r.Id, page)
	if err != nil {
		if fault.Of(err) == fault.Invalid && page.Before != "" {
			return nil, fault.Field("query.before", "it is not a place in this list; use what an earlier page returned")
		}
		return nil, inQuery(err)
	}
	out := Timeline{Items: viewAll(entries, live.Entry), Next: hideCursor(next)}
	if n := len(entries); n > 0 {
		out.Last = hideCursor(store.Place(entries[n-1]))
	}
	return Timeline200JSONResponse(out), nil
}

// ExportCustomer implements GET /api/v1/customers/{id}/export.
func (h handlers) ExportCustomer(ctx context.Context, r ExportCustomerRequestObject) (ExportCustomerResponseObject, error) {
	person, cases, err := h.personOf(ctx, &callOf(ctx).principal, r.Id)
	if err != nil {
		return nil, err
	}
	for _, member := range person {
		more, err := h.Store.FurtherAddresses(ctx, member.Customer)
		if err != nil {
			return nil, err
		}
		member.Identities = append(member.Identities, more...)
	}
	entries := []timeline.Entry{}
	for page := (store.Page{Limit: store.MaxPage, After: store.CursorAt(0)}); ; {
		part, next, err := h.Store.Timeline(ctx, r.Id, page)
		if err != nil {
			return nil, err
		}
		entries = append(entries, viewAll(part, live.Entry)...)
		if next == "" {
			break
		}
		page.After = next
	}
	document := map[string]any{
		"exported_at": h.Store.Now(), "customer": viewCustomer(person, cases), "entries": entries,
	}
	text, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("export customer %s: %w", r.Id, err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		return nil, fmt.Errorf("export customer %s: %w", r.Id, err)
	}
	h.Log.InfoContext(ctx, "customer exported", "customer", r.Id, "by", callOf(ctx).principal.ID)
	return ExportCustomer200JSONResponse{
		Body:    body,
		Headers: ExportCustomer200ResponseHeaders{ContentDisposition: opt(`attachment; filename="customer-` + r.Id + `.json"`)},
	}, nil
}

// EraseCustomer implements DELETE /api/v1/customers/{id}.
func (h handlers) EraseCustomer(ctx context.Context, r EraseCustomerRequestObject) (EraseCustomerResponseObject, error) {
	p := &callOf(ctx).principal
	c, err := h.Store.Customer(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	if len(c.Members()) > 1 {
		return nil, fault.Newf(fault.Conflict, "merged", "the customer is merged with others: take the merges back first, so that it is clear who is meant")
	}
	done, err := h.Pipeline.Erase(ctx, r.Id, p.ID)
	if err != nil {
		return nil, err
	}
	h.Log.InfoContext(ctx, "customer erased", "customer", r.Id, "by", p.ID)
	return EraseCustomer202JSONResponse{Customer: r.Id, ErasedAt: done.At}, nil
}

// Merge implements POST /api/v1/merges.
func (h handlers) Merge(ctx context.Context, r MergeRequestObject) (MergeResponseObject, error) {
	p := &callOf(ctx).principal
	a, b := r.Body.Customers[0], r.Body.Customers[1]
	for _, customer := range []string{a, b} {
		sees, err := h.seesCustomer(ctx, p, customer)
		if err != nil {
			return nil, err
		}
		if !sees {
			return nil, nothingHere()
		}
		if _, err := h.Store.Customer(ctx, customer); err != nil {
			return nil, err
		}
	}
	m, err := h.Store.Merge(ctx, a, b, p.ID)
	if err != nil {
		return nil, err
	}
	return Merge201JSONResponse(viewMerge(m)), nil
}

// Unmerge implements DELETE /api/v1/merges/{id}. Taking back what was taken back already succeeds.
func (h handlers) Unmerge(ctx context.Context, r UnmergeRequestObject) (UnmergeResponseObject, error) {
	p := &callOf(ctx).principal
	m, _, err := h.Store.MergeRecord(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	sees := false
	for _, customer := range m.Customers {
		one, err := h.seesCustomer(ctx, p, customer)
		if err != nil && fault.Of(err) != fault.Missing { // erased since
			return nil, err
		}
		sees = sees || one
	}
	if !sees {
		return nil, nothingHere()
	}
	if err := h.Store.Unmerge(ctx, r.Id, p.ID); err != nil {
		return nil, err
	}
	return Unmerge204Response{}, nil
}

// mediaLink is how long a link to a file works.
const mediaLink = time.Minute

// Media implements GET /api/v1/media/{id}.
func (h handlers) Media(ctx context.Context, r MediaRequestObject) (MediaResponseObject, error) {
	id, number, _ := strings.Cut(r.Id, ".")
	e, err := h.entryOf(ctx, &callOf(ctx).principal, id)
	if err != nil {
		return nil, err
	}
	m := mediaOf(e, number)
	if m == nil || m.Key == "" || !e.Removed.IsZero() && e.Delivery == nil {
		return nil, nothingHere()
	}
	link := blob.Link{TTL: mediaLink, Type: "application/octet-stream", Disposition: disposition("attachment", m.Name)}
	key := m.Key
	switch {
	case get(r.Params.Size) == Thumbnail:
		if key = m.Thumbnail; key == "" {
			return nil, nothingHere()
		}
		link.Type, link.Disposition = "image/jpeg", "inline"
	case shown[m.Type]:
		link.Type, link.Disposition = m.Type, disposition("inline", m.Name)
	}
	url, err := h.Blobs.Link(ctx, key, link)
	if err != nil {
		return nil, fmt.Errorf("link to file %s: %w", r.Id, err)
	}
	return Media302Response{Media302ResponseHeaders{Location: &url, CacheControl: opt("no-store")}}, nil
}

// shown are the types that a browser cannot be made to run: the type is from the file's bytes, never from its sender
// (FAULT 34). SVG, HTML and PDF are not among them.
var shown = map[string]bool{
	"image/jpeg": true, "image/png": true, "image/gif": true, "image/webp": true,
	"audio/mpeg": true, "audio/ogg": true, "audio/mp4": true, "audio/aac": true, "audio/amr": true, "audio/wav": true, "audio/x-wav": true,
	"video/mp4": true, "video/webm": true, "video/3gpp": true,
}

// mediaOf is the file of a part of the entry, nil when there is none.
func mediaOf(e *timeline.Entry, number string) *msg.Media {
	n, err := strconv.Atoi(number)
	switch {
	case err != nil:
		return nil
	case n == live.CallRecording && e.Call != nil:
		return e.Call.Recording
	case e.Message == nil || n >= len(e.Message.Parts):
		return nil
	}
	return e.Message.Parts[n].Media
}

// disposition names the file as RFC 6266 asks; mime encodes what is not ASCII.
func disposition(kind, name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '/' || r == '\\' {
			return '_'
		}
		return r
	}, name)
	if name == "" {
		return kind
	}
	return mime.FormatMediaType(kind, map[string]string{"filename": name})
}
