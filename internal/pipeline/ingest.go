package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

var putOptions = blob.PutOptions{Type: "application/octet-stream"}

// Ingest answers GET and POST /hooks/{channel}/{account}: it checks the signature over the bytes as they came, makes the
// envelope durable, and only then answers 2xx. It parses nothing and writes no table, so that providers are answered fast
// whatever comes.
//
// A wrong signature and an account that does not exist look alike from outside (FAULTS 15, 16). 503 means that nothing was
// accepted and the provider shall send it again.
func (p *Pipeline) Ingest() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply, err := p.hook(r, r.PathValue("channel"), r.PathValue("account"))
		if err != nil {
			p.refuse(w, r, err)
			return
		}
		if reply.ContentType != "" {
			w.Header().Set("Content-Type", reply.ContentType)
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(reply.Status)
		_, _ = w.Write(reply.Body) // a provider that hangs up sends again
	})
}

func (p *Pipeline) refuse(w http.ResponseWriter, r *http.Request, err error) {
	kind := fault.Of(err)
	status := kind.Status()
	switch {
	case kind == fault.Internal:
		status = http.StatusServiceUnavailable // nothing was accepted: the provider shall try again
	case fault.Code(err) == "too_large":
		status = http.StatusRequestEntityTooLarge
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", strconv.Itoa(max(1, int(fault.After(err).Seconds()))))
		p.Log.ErrorContext(r.Context(), "webhook not accepted", "channel", r.PathValue("channel"), "account", r.PathValue("account"), "err", err)
	}
	http.Error(w, http.StatusText(status), status)
}

func (p *Pipeline) hook(r *http.Request, channelID, accountID string) (*channel.Reply, error) {
	ctx := r.Context()
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	adapter, ok := p.Channels.Get(channelID)
	hook, isHook := adapter.(channel.Webhook)
	if !ok || !isHook {
		return nil, denied()
	}
	account, err := p.accounts.get(ctx, channelID, accountID, false)
	if err != nil {
		return nil, err
	}
	if account == nil {
		if account, err = p.accounts.get(ctx, channelID, accountID, true); err != nil || account == nil {
			return nil, errors.Join(err, denied())
		}
	}
	request := &channel.Request{Account: account, Method: r.Method, URL: p.outsideURL(r.URL), Header: r.Header, Body: body, Now: p.Now()}
	reply, err := hook.Verify(request)
	if fault.Of(err) == fault.Denied {
		// The operator may just have mended the key.
		fresh, ferr := p.accounts.get(ctx, channelID, accountID, true)
		if ferr == nil && fresh != nil && fresh != account {
			request.Account = fresh
			reply, err = hook.Verify(request)
		}
	}
	if err != nil {
		p.keepRefused(ctx, account, request, err)
		return nil, denied()
	}
	if reply != nil {
		return reply, nil
	}
	if r.Method != http.MethodPost {
		return nil, denied()
	}
	return p.accept(ctx, hook.Info(), request)
}

func readBody(r *http.Request) ([]byte, error) {
	var b bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength <= maxHook {
		b.Grow(int(r.ContentLength))
	}
	n, err := b.ReadFrom(io.LimitReader(r.Body, maxHook+1))
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "body", "the body did not arrive whole")
	}
	if n > maxHook {
		return nil, fault.Newf(fault.Invalid, "too_large", "a webhook's body may have %d bytes", maxHook)
	}
	return b.Bytes(), nil
}

func denied() error { return fault.Newf(fault.Denied, "signature", "refused") }

// outsideURL is the address as the provider called it: our own base with the request's path and query. What the request says
// of its host proves nothing.
func (p *Pipeline) outsideURL(u *url.URL) *url.URL {
	base, err := url.Parse(p.Config.BaseURL)
	if err != nil || base.Host == "" {
		base = &url.URL{Scheme: "http", Host: "localhost"}
	}
	return &url.URL{Scheme: base.Scheme, Host: base.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
}

// accept makes the envelope durable.
func (p *Pipeline) accept(ctx context.Context, info channel.Info, r *channel.Request) (*channel.Reply, error) {
	e := &channel.Envelope{
		ID: p.NewID(), Channel: r.Account.Channel, Account: r.Account.ID, ReceivedAt: p.Now(), Body: r.Body, Query: r.URL.RawQuery,
		Header: pickHeaders(r.Header, info.Headers),
	}
	if err := p.Accept(ctx, e, p.Inbound); err != nil {
		return nil, err
	}
	return &channel.Reply{Status: http.StatusOK}, nil
}

// Accept takes responsibility for an envelope: when it returns nil the raw input is durable, counted and on its way.
func (p *Pipeline) Accept(ctx context.Context, e *channel.Envelope, q queue.Sender) error {
	account := store.AccountOf(e.Channel, e.Account)
	e.Count = p.numbers.next(account)
	body, err := durable(ctx, p.Blobs, e)
	if err != nil {
		p.numbers.refused(account, e.Count)
		return err
	}
	if err := q.Send(ctx, queue.Outgoing{Body: body, Group: string(account)}); err != nil {
		p.numbers.refused(account, e.Count)
		if fault.Of(err) == fault.Retry {
			return fmt.Errorf("accept envelope %s: %w", e.ID, err)
		}
		return fault.RetryAfter(time.Second, "queue", "accept envelope %s: %w", e.ID, err)
	}
	return nil
}

func pickHeaders(all http.Header, names []string) http.Header {
	if len(names) == 0 {
		return nil
	}
	picked := http.Header{}
	for _, name := range append([]string{"Content-Type"}, names...) {
		if values := all.Values(name); len(values) > 0 {
			picked[http.CanonicalHeaderKey(name)] = values
		}
	}
	return picked
}

// How many refused bodies are kept for each account.
const (
	keptRefusals = 100
	refusalSpan  = int64(time.Hour / time.Millisecond)
)

// keepRefused keeps what was turned away, up to a number an hour, so that it can be replayed when the key was wrong on our
// side. Nothing of it is parsed or queued. What fails here must not change the answer.
func (p *Pipeline) keepRefused(ctx context.Context, account *channel.Account, r *channel.Request, why error) {
	if err := p.accounts.refused(ctx, account, why.Error()); err != nil {
		p.Log.WarnContext(ctx, "refusal not noted", "channel", account.Channel, "account", account.ID, "err", err)
	}
	if len(r.Body) == 0 || len(account.Secrets) == 0 {
		return
	}
	ok, err := p.Store.Take(ctx, "refused", account.Channel+"/"+account.ID, keptRefusals, refusalSpan)
	if err != nil || !ok {
		return
	}
	header := r.Header.Clone()
	header.Del("Authorization")
	header.Del("Cookie")
	e := &channel.Envelope{
		ID: p.NewID(), Channel: account.Channel, Account: account.ID, ReceivedAt: p.Now(), Body: r.Body, Query: r.URL.RawQuery,
		Header: header,
	}
	if err := p.quarantine(ctx, e, channel.CauseSignature, "the signature was missing or wrong", 0, true); err != nil {
		p.Log.WarnContext(ctx, "refused body not kept", "channel", account.Channel, "account", account.ID, "err", err)
	}
}
