package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/timeline"
)

// FileFacts are what a file's bytes say of it.
type FileFacts struct {
	// Type is the media type by the bytes, Name a name that is safe to show.
	Type, Name string
	// Thumbnail is a small JPEG of a picture, nil for anything else.
	Thumbnail []byte
}

// Limits of fetching.
const (
	// maxFile is the largest file that is kept; WhatsApp's documents have 100 MB at most.
	maxFile = 100 << 20
	// fetchTries is how often a file is tried before it is shown as failed. The pauses grow from fetchPause to a quarter of
	// an hour: a little under two hours in all, while links to media usually live for minutes to days.
	fetchTries = 12
	fetchPause = 10 * time.Second
	fetchTime  = 100 * time.Second
)

// Fetch gets files, apart from the messages that they belong to: the text is in the timeline already, with a placeholder, and
// a file that fails holds up nothing (FAULT 32).
func (p *Pipeline) Fetch(ctx context.Context, batch []queue.Message) (failed []string) {
	for i := range batch {
		m := &batch[i]
		var ref fileRef
		if err := json.Unmarshal(m.Body, &ref); err != nil || ref.Entry == "" {
			p.Log.ErrorContext(ctx, "file reference not understood", "message", m.ID, "err", err)
			continue // the entry still shows that a file is missing; replay --react finds it
		}
		if err := p.fetch(ctx, ref, m.Group); err != nil && fault.Of(err) != fault.Missing && !p.putOff(ctx, p.Media, m, err) {
			p.Log.ErrorContext(ctx, "file not fetched", "entry", ref.Entry, "part", ref.Part, "attempt", m.Attempt, "err", err)
			failed = append(failed, m.ID)
		}
	}
	return failed
}

func (p *Pipeline) fetch(ctx context.Context, ref fileRef, group string) error {
	e, err := p.Store.Entry(ctx, ref.Entry)
	if fault.Of(err) == fault.Missing {
		return p.dropFiles(ctx, ref.Entry)
	}
	if err != nil {
		return err
	}
	places := e.File(ref.Part, ref.ID)
	if len(places) == 0 || !e.Removed.IsZero() {
		return nil
	}
	media := *places[0]
	if media.State == msg.MediaStored || media.State == msg.MediaFailed {
		return nil
	}
	stored, err := p.get(ctx, e, media, ref.Part)
	switch {
	case err == nil:
		if err := p.Store.SetMedia(ctx, e.Entry, ref.Part, stored); err != nil {
			return err
		}
		if _, err := p.Store.Entry(ctx, e.Entry); fault.Of(err) == fault.Missing {
			return p.dropFiles(ctx, e.Entry)
		}
		return nil
	case !fault.Of(err).Again() || ref.Try+1 >= fetchTries:
		p.Log.WarnContext(ctx, "file given up", "channel", e.Channel, "account", e.Account, "entry", e.Entry, "part", ref.Part, "err", err)
		media.State, media.Error = msg.MediaFailed, err.Error()
		return p.Store.SetMedia(ctx, e.Entry, ref.Part, media)
	}
	p.Log.InfoContext(ctx, "file refused for now", "channel", e.Channel, "account", e.Account, "entry", e.Entry, "part", ref.Part, "err", err)
	return p.fetchAgain(ctx, ref, group, max(fault.After(err), min(fetchPause<<ref.Try, queue.MaxDelay)))
}

// dropFiles deletes the files of an entry that was erased while they were being fetched (I8).
func (p *Pipeline) dropFiles(ctx context.Context, entry string) error {
	customer := store.CustomerOf(entry)
	if customer == "" {
		return nil
	}
	for {
		const page = 100
		files, err := p.Blobs.List(ctx, "media/"+customer+"/"+entry+"/", "", page)
		if err != nil {
			return fmt.Errorf("find the files of erased entry %s: %w", entry, err)
		}
		for _, f := range files {
			if err := p.dropBlobs(ctx, []string{f.Key}); err != nil {
				return err
			}
		}
		if len(files) < page {
			return nil
		}
	}
}

// fetchAgain puts the file off: the message that is in hand is acknowledged, so that a provider's outage cannot fill the
// dead-letter queue.
func (p *Pipeline) fetchAgain(ctx context.Context, ref fileRef, group string, after time.Duration) error {
	ref.Try++
	body, err := json.Marshal(ref)
	if err != nil {
		return err
	}
	if err := p.Media.Send(ctx, queue.Outgoing{Body: body, Group: group, Delay: min(after, queue.MaxDelay)}); err != nil {
		return fmt.Errorf("put off file %d of entry %s: %w", ref.Part, ref.Entry, err)
	}
	return nil
}

// get downloads or extracts one file and keeps it with its thumbnail.
func (p *Pipeline) get(ctx context.Context, e *timeline.Entry, media msg.Media, part int) (msg.Media, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	body, err := p.download(ctx, e, media)
	if err != nil {
		return media, err
	}
	media.Size, media.State, media.Error = int64(len(body)), msg.MediaStored, ""
	facts := FileFacts{Type: "application/octet-stream", Name: media.Name}
	if p.Inspect != nil {
		facts = p.Inspect(media.Name, media.Type, body)
	}
	media.Type, media.Name = facts.Type, facts.Name
	// The key is made of our own IDs alone: nothing that a sender chose becomes part of a path (FAULT 35).
	base := "media/" + e.Customer + "/" + e.Entry + "/" + fmt.Sprint(part)
	if len(e.Edits) > 0 { // another file may have been there before
		sum := sha256.Sum256([]byte(media.ID + "\x00" + media.URL))
		base += "-" + hex.EncodeToString(sum[:8])
	}
	if _, err := p.Blobs.Put(ctx, base, bytes.NewReader(body), blob.PutOptions{Type: facts.Type}); err != nil {
		return media, fmt.Errorf("keep file %d of entry %s: %w", part, e.Entry, err)
	}
	media.Key = base
	if facts.Thumbnail != nil {
		media.Thumbnail = base + ".thumbnail"
		if _, err := p.Blobs.Put(ctx, media.Thumbnail, bytes.NewReader(facts.Thumbnail), blob.PutOptions{Type: "image/jpeg"}); err != nil {
			return media, fmt.Errorf("keep the thumbnail of file %d of entry %s: %w", part, e.Entry, err)
		}
	}
	return media, nil
}

func (p *Pipeline) download(ctx context.Context, e *timeline.Entry, media msg.Media) ([]byte, error) {
	adapter, ok := p.Channels.Get(e.Channel)
	if !ok {
		return nil, fault.Newf(fault.Permanent, "no_channel", "this version knows no channel %s", e.Channel)
	}
	if extractor, ok := adapter.(channel.Extractor); ok && media.URL == "" {
		return p.extract(ctx, extractor, e, media)
	}
	fetcher, ok := adapter.(channel.Fetcher)
	if !ok {
		return nil, fault.Newf(fault.Permanent, "no_files", "channel %s cannot fetch files", e.Channel)
	}
	account, err := p.Account(ctx, e.Channel, e.Account)
	if err != nil {
		return nil, err
	}
	client := p.HTTP
	if p.Files != nil {
		client = p.Files
	}
	r, err := fetcher.Fetch(ctx, channel.Conn{Account: account, HTTP: client}, media)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err = errors.Join(err, r.Close()); err != nil {
		if fault.Of(err) != fault.Internal {
			return nil, err
		}
		return nil, fault.RetryAfter(0, "download", "the file did not arrive whole: %w", err)
	}
	if len(body) > maxFile {
		return nil, fault.Newf(fault.Permanent, "too_large", "the file has more than %d bytes", maxFile)
	}
	return body, nil
}

// extract takes the file out of the raw input that the entry was made from.
func (p *Pipeline) extract(ctx context.Context, x channel.Extractor, e *timeline.Entry, media msg.Media) ([]byte, error) {
	envelope := channel.Envelope{ID: e.Envelope, Channel: e.Channel, Account: e.Account, ReceivedAt: e.ReceivedAt}
	var err error
	if len(e.Raw) > 0 {
		envelope.Body, err = Decompress(e.Raw, 8*inlineRaw)
	} else {
		envelope.Body, err = p.readBlob(ctx, e.RawBlob)
	}
	if errors.Is(err, blob.ErrNotFound) {
		return nil, fault.Newf(fault.Permanent, "raw_gone", "the mail that holds the file is not kept any more")
	}
	if err != nil {
		return nil, fmt.Errorf("read the raw input of entry %s: %w", e.Entry, err)
	}
	return x.Extract(envelope, media)
}
