package channeltest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
)

// checkInfo holds a declaration to what routes, validation, the settings page and the documentation make of it.
func checkInfo(a channel.Adapter, problem report) {
	info := a.Info()
	if !reflect.DeepEqual(info, a.Info()) {
		problem("Info differs from one call to the next")
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9]*$`).MatchString(info.ID) {
		problem("Info.ID %q is not lower-case letters and digits", info.ID)
	}
	if info.Name == "" || info.Mark == "" || utf8.RuneCountInString(info.Mark) > 2 {
		problem("Info needs a Name and a Mark of one or two characters, not %q and %q", info.Name, info.Mark)
	}
	if info.Reference == "" {
		problem("Info.Reference does not say which page the adapter follows")
	}
	names := map[string]bool{}
	for _, s := range info.Settings {
		checkSetting(s, problem)
		if names[s.Name] {
			problem("Info.Settings has %q twice", s.Name)
		}
		names[s.Name] = true
	}
	if info.Scope != "" && !slices.ContainsFunc(info.Settings, func(s channel.Setting) bool {
		return s.Name == info.Scope && !s.Secret && s.Required
	}) {
		problem("Info.Scope %q is not a required setting in clear", info.Scope)
	}
	for _, h := range info.Headers {
		if h != canonical(h) {
			problem("Info.Headers has %q, which is not the canonical form %q", h, canonical(h))
		}
	}
	if len(info.Identities) == 0 {
		problem("Info.Identities is empty: who writes on this channel?")
	}
	if twice := repeated(info.Identities); twice != "" {
		problem("Info.Identities has %q twice", twice)
	}
	if slices.Contains(info.AnswerBy, info.ID) {
		problem("Info.AnswerBy names the channel itself")
	}
	_, sends := a.(channel.Sender)
	if sends != (info.Can.Text > 0) {
		problem("Info.Can.Text is %d, but being a Sender is %v", info.Can.Text, sends)
	}
	for _, m := range info.Can.Media {
		if !knownParts[m.Kind] || len(m.Types) == 0 || m.Bytes <= 0 {
			problem("Info.Can.Media has an entry without a known kind, types or a size: %+v", m)
		}
	}
	if info.ServiceLevel.FirstAnswer < 0 || info.ServiceLevel.Solved < 0 || info.Window < 0 {
		problem("Info has a negative duration")
	}
}

func checkSetting(s channel.Setting, problem report) {
	if !regexp.MustCompile(`^[a-z][a-z0-9_]*$`).MatchString(s.Name) {
		problem("setting %q is not lower_case_with_underscores", s.Name)
	}
	if !strings.HasSuffix(s.Help, ".") {
		problem("setting %q needs a Help that is one sentence, not %q", s.Name, s.Help)
	}
	if s.Secret && s.Default != "" {
		problem("setting %q is a secret and has a default", s.Name)
	}
	pattern, err := regexp.Compile("^(?:" + s.Pattern + ")$")
	if err != nil {
		problem("setting %q has a pattern that does not compile: %v", s.Name, err)
	} else if s.Default != "" && s.Pattern != "" && !pattern.MatchString(s.Default) {
		problem("setting %q has a default that its own pattern refuses", s.Name)
	}
}

// checkParse holds one envelope to the contract of Parse: pure, repeatable, safe for concurrent use, consistent.
func checkParse(a channel.Adapter, o Options, f Fixture, problem report) {
	envelope := f.Envelope()
	before := snapshot(envelope)
	events, panicked, err := parse(a, envelope)
	if panicked != nil {
		problem("Parse panicked: %v", panicked)
		return
	}
	if !bytes.Equal(before, snapshot(envelope)) {
		problem("Parse changed the envelope")
	}
	first := outcome(events, err)
	var group sync.WaitGroup
	outcomes := make([]string, 8)
	for i := range outcomes {
		group.Go(func() {
			events, panicked, err := parse(a, envelope)
			outcomes[i] = outcome(events, err) + fmt.Sprint(panicked)
		})
	}
	group.Wait()
	for _, again := range outcomes {
		if again != first+"<nil>" {
			problem("Parse of the same envelope gives something else the next time:\n%s\nthen\n%s", first, again)
			break
		}
	}
	// A later receipt of the same bytes is a redelivery: what happened is still the same.
	later := f.Envelope()
	later.ID, later.ReceivedAt = "env-later", later.ReceivedAt.Add(time.Hour)
	redelivered, _, _ := parse(a, later)
	if !slices.Equal(keys(events), keys(redelivered)) {
		problem("a redelivery of the same bytes has other dedupe keys:\n%q\n%q", keys(events), keys(redelivered))
	}
	checkEvents(a.Info(), o, envelope, events, problem)
	checkRejections(err, problem)
	if len(events) == 0 && err == nil && !o.AllowEmpty {
		problem("Parse gave neither an event nor a rejection: the input is lost")
	}
}

// checkEvents holds events to package msg and to what the channel declares.
func checkEvents(info channel.Info, o Options, e channel.Envelope, events []msg.Event, problem report) {
	for i := range events {
		event := &events[i]
		at := func(format string, args ...any) {
			problem("event %d (%s %q): %s", i, event.Kind, event.ID, fmt.Sprintf(format, args...))
		}
		checkEvent(info, e, event, at)
		for _, address := range append([]msg.Address{event.From}, event.To...) {
			checkAddress(info, o, address, at)
		}
		if event.Identity != nil {
			checkAddress(info, o, event.Identity.Was, at)
			checkAddress(info, o, event.Identity.Now, at)
		}
		if event.Message != nil {
			checkMessage(event.Message, at)
		}
		if event.Edit != nil {
			checkMessage(&event.Edit.Message, at)
		}
		checkRoundTrip(event, at)
	}
}

func checkEvent(info channel.Info, e channel.Envelope, event *msg.Event, problem report) {
	if event.Channel != e.Channel || event.Account != e.Account {
		problem("is of channel %q, account %q; the envelope came in on %q, %q", event.Channel, event.Account, e.Channel, e.Account)
	}
	set := payloads(event)
	if len(set) != 1 || set[0] != event.Kind {
		problem("has the payloads %v set; its kind wants exactly its own", set)
	}
	if event.Direction != msg.In && event.Direction != msg.Out {
		problem("has direction %q", event.Direction)
	}
	if !info.TimeAsserted && (event.Time < 0 || event.Time > maxTime) {
		problem("has the time %s, which no provider's clock shows", event.Time)
	}
	if key := strings.Trim(event.DedupeKey(), "\x1f"); key == "" || key == string(event.Kind) {
		problem("has no ID, target or event ID: nothing makes it happen once only")
	}
	if (event.Kind == msg.KindMessage || event.Kind == msg.KindCall) && event.ID == "" {
		problem("has no ID")
	}
	if (event.Edit != nil || event.Removal != nil || event.Reaction != nil) && event.Target() == "" {
		problem("does not say which message it is about")
	}
	if event.Kind == msg.KindMessage {
		if info.Threading == channel.ByThread && event.Thread == "" {
			problem("has no thread")
		}
		if event.Direction == msg.Out && len(event.To) == 0 {
			problem("was said on our own account, to nobody")
		}
	}
	if r := event.Receipt; r != nil {
		if !slices.Contains([]msg.State{msg.Accepted, msg.Sent, msg.Delayed, msg.Delivered, msg.Read, msg.Failed}, r.State) {
			problem("reports the state %q, which no provider can know", r.State)
		}
		if r.Of == "" && event.Tag == "" {
			problem("is a receipt of nothing")
		}
	}
}

func checkAddress(info channel.Info, o Options, address msg.Address, problem report) {
	if address.Kind == "" && address.Value == "" && len(address.Also) == 0 {
		return
	}
	for i, one := range append([]msg.Address{address}, address.Also...) {
		if !slices.Contains(info.Identities, one.Kind) {
			problem("has an address of kind %q; Info.Identities declares %q", one.Kind, info.Identities)
		}
		if one.Value == "" || strings.TrimSpace(one.Value) != one.Value || !utf8.ValidString(one.Value) {
			problem("has an address that is empty, not trimmed or not UTF-8: %q", one.Value)
		}
		if i > 0 && len(one.Also) > 0 {
			problem("has an address with Also inside Also")
		}
		if o.Address != nil {
			if err := o.Address(one); err != nil {
				problem("has an address that is not normalised: %v", err)
			}
		}
	}
	if len(address.All()) != 1+len(address.Also) {
		problem("repeats an address in Also: %+v", address)
	}
}

var knownParts = map[msg.PartKind]bool{
	msg.PartImage: true, msg.PartAudio: true, msg.PartVoice: true, msg.PartVideo: true, msg.PartFile: true,
	msg.PartSticker: true, msg.PartLocation: true, msg.PartContact: true, msg.PartChoice: true, msg.PartOrder: true,
	msg.PartForm: true, msg.PartLink: true, msg.PartStory: true, msg.PartRaw: true,
}

func checkMessage(m *msg.Message, problem report) {
	for _, s := range []string{m.Subject, m.Text, m.Quoted, m.FullText} {
		if !utf8.ValidString(s) {
			problem("has text that is not UTF-8: %q", s)
		}
	}
	for i, p := range m.Parts {
		switch {
		case !knownParts[p.Kind]:
			problem("part %d has the unknown kind %q", i, p.Kind)
		case p.Kind == msg.PartRaw && strings.TrimSpace(p.Text) == "":
			problem("part %d is raw and has nothing that a person could read", i)
		case p.Kind == msg.PartLocation && p.Location == nil:
			problem("part %d is a location without one", i)
		}
		if p.Media != nil && p.Media.ID == "" && p.Media.URL == "" {
			problem("part %d has a file that nobody can fetch: neither ID nor URL", i)
		}
		if p.Media != nil && (p.Media.State != "" || p.Media.Key != "" || p.Media.Thumbnail != "" || p.Media.Size < 0) {
			problem("part %d sets what is the pipeline's (state, key, thumbnail), or a negative size", i)
		}
		for _, raw := range []json.RawMessage{p.Contact, p.Order, p.Raw} {
			if raw != nil && !json.Valid(raw) {
				problem("part %d (%s) holds invalid JSON", i, p.Kind)
			}
		}
	}
}

// checkRoundTrip proves that what is stored reads back as it was.
func checkRoundTrip(event *msg.Event, problem report) {
	once, err := json.Marshal(event)
	if err != nil {
		problem("cannot be written as JSON: %v", err)
		return
	}
	var back msg.Event
	if err := json.Unmarshal(once, &back); err != nil {
		problem("cannot be read back: %v", err)
		return
	}
	twice, err := json.Marshal(&back)
	if err != nil || !bytes.Equal(once, twice) {
		problem("changes when it is stored and read back (%v):\n%s\n%s", err, once, twice)
	}
	if event.DedupeKey() != back.DedupeKey() {
		problem("has another dedupe key when read back: %q, %q", event.DedupeKey(), back.DedupeKey())
	}
}

var causes = []channel.Cause{
	channel.CauseMalformed, channel.CauseUnsupported, channel.CauseUnknownAccount, channel.CauseSignature, channel.CauseTooLarge,
	channel.CauseLoop, channel.CauseSpam, channel.CauseInternal,
}

func checkRejections(err error, problem report) {
	for _, r := range channel.Rejections(err) {
		if !slices.Contains(causes, r.Cause) {
			problem("rejected with the cause %q, which Parse cannot know", r.Cause)
		}
		if r.Detail == "" || strings.ContainsAny(r.Detail, "\r\n") || len(r.Detail) > 400 || !utf8.ValidString(r.Detail) {
			problem("rejected with a detail that is not one readable line: %q", r.Detail)
		}
	}
	if err != nil && len(channel.Rejections(err)) == 0 {
		problem("Parse returned an error that rejects nothing: %v", err)
	}
}

// checkUnknown proves that a type which the provider added since is kept and can be read.
func checkUnknown(a channel.Adapter, o Options, fixtures []Fixture, problem report) {
	for _, name := range o.Unknown {
		at := slices.IndexFunc(fixtures, func(f Fixture) bool { return f.Case == name })
		if at < 0 {
			problem("Options.Unknown names the case %q, which is not there", name)
			continue
		}
		events, _, err := parse(a, fixtures[at].Envelope())
		kept := slices.ContainsFunc(events, func(e msg.Event) bool {
			return e.Message != nil && slices.ContainsFunc(e.Message.Parts, func(p msg.Part) bool {
				return p.Kind == msg.PartRaw && p.Text != "" && len(p.Raw) > 0
			})
		}) || slices.ContainsFunc(channel.Rejections(err), func(r *channel.Rejected) bool {
			return r.Cause == channel.CauseUnsupported && len(r.Raw) > 0
		})
		if !kept {
			problem("case %q: the unknown type is neither a raw part with text nor rejected as unsupported with the item", name)
		}
	}
}

// The year 2100, in milliseconds: a time beyond was misread (milliseconds taken for seconds).
const maxTime msg.Time = 4102444800000

func payloads(e *msg.Event) []msg.Kind {
	var set []msg.Kind
	for _, p := range []struct {
		kind msg.Kind
		set  bool
	}{
		{msg.KindMessage, e.Message != nil}, {msg.KindEdit, e.Edit != nil}, {msg.KindRemoval, e.Removal != nil},
		{msg.KindReaction, e.Reaction != nil}, {msg.KindReceipt, e.Receipt != nil}, {msg.KindCall, e.Call != nil},
		{msg.KindSignal, e.Signal != nil}, {msg.KindIdentity, e.Identity != nil},
	} {
		if p.set {
			set = append(set, p.kind)
		}
	}
	return set
}

func keys(events []msg.Event) []string {
	all := make([]string, len(events))
	for i := range events {
		all[i] = events[i].DedupeKey()
	}
	return all
}

// outcome is everything that Parse said, as one comparable string.
func outcome(events []msg.Event, err error) string {
	b, marshalErr := json.Marshal(events)
	text := string(b) + renderRejections(err)
	if marshalErr != nil {
		text += marshalErr.Error()
	}
	for _, r := range channel.Rejections(err) {
		text += string(r.Raw)
	}
	return text
}

// snapshot is the whole envelope, settings included, for comparison.
func snapshot(e channel.Envelope) []byte {
	b, err := json.Marshal(struct {
		Envelope channel.Envelope
		Settings map[string]string
	}{e, e.Settings})
	if err != nil {
		return []byte(err.Error())
	}
	return b
}

func repeated[T cmp.Ordered](all []T) T {
	sorted := slices.Sorted(slices.Values(all))
	for i := 1; i < len(sorted); i++ {
		if sorted[i] == sorted[i-1] {
			return sorted[i]
		}
	}
	var none T
	return none
}
