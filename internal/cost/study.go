package cost

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	awsapp "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
	"github.com/aikajana/aikajana/internal/timeline"
)

// step is one of the changes that docs/adr/0013 weighs, each on top of those before it.
type step int

const (
	asItIs step = iota
	singleWrites
	functionURL
	noNotes
	noNotifications
	remembered
	steps
)

// prototype is what docs/adr/0013 weighs, and no part of the program. What a process leaves that dies in between, and what has to
// be read instead of what is not written any more, is not mended here: that is what the decision record is about.
type prototype struct {
	*dynamo.Table
	step step
	// known are identities and profiles, by key.
	known sync.Map
}

// Get implements table.Table. Tallies are not looked at before their window ends, see window.
func (t *prototype) Get(ctx context.Context, k table.Key) (table.Item, error) {
	if t.step >= noNotes && kindOf(k) == "tally" {
		return table.Item{}, table.ErrNotFound
	}
	if t.step < remembered || !memorable(k) {
		return t.Table.Get(ctx, k)
	}
	if item, ok := t.known.Load(k); ok {
		return item.(table.Item), nil
	}
	item, err := t.Table.Get(ctx, k)
	if err == nil {
		t.known.Store(k, item)
	}
	return item, err
}

// memorable says that an item is an identity or a profile. The case header is not: others change it all the time.
func memorable(k table.Key) bool {
	return k.SK == "A" && slices.Contains([]string{"identity", "customer"}, kindOf(k))
}

// Write implements table.Table. It writes the items of a transaction one after the other, each under its own condition, at half the
// price. The claim of the external ID goes first, so that a message that comes twice at once is stored once, then what the entry
// refers to, then the entry, and the case header last.
func (t *prototype) Write(ctx context.Context, ops ...table.Op) error {
	ops = slices.DeleteFunc(slices.Clone(ops), func(op table.Op) bool {
		kind := kindOf(op.Item.Key)
		return t.step >= noNotes && kind == "tally" || t.step >= noNotifications && kind == "notification"
	})
	if len(ops) == 0 {
		return nil
	}
	if table.IsApart(ctx) {
		return t.Table.Write(ctx, ops...)
	}
	slices.SortStableFunc(ops, func(a, b table.Op) int { return turn(a.Item.Key) - turn(b.Item.Key) })
	for i := range ops {
		err := t.Table.Write(ctx, ops[i])
		t.remember(&ops[i], err)
		if err != nil {
			return err
		}
	}
	return nil
}

// remember takes in what was written.
func (t *prototype) remember(op *table.Op, err error) {
	switch k := op.Item.Key; {
	case t.step < remembered || !memorable(k):
	case err != nil || op.Do != table.DoPut:
		t.known.Delete(k)
	default:
		item := op.Item
		if rev, ok := op.If.Rev(); ok {
			item.Rev = rev + 1
		} else if op.If.IsAbsent() {
			item.Rev = 1
		}
		t.known.Store(k, item)
	}
}

// window is what React saw since its tumbling window began, and tallies when it ends. Lambda would hand the sums from call to call of
// a shard; here they are kept as the changes that they come of, and by both shapes together, whose stream is one.
type window struct{ changes []table.Change }

func (w *window) watch(_ context.Context, changes []table.Change) {
	w.changes = append(w.changes, changes...)
}

// end is what React does when a window ends.
func (w *window) end(ctx context.Context, s *store.Store) error {
	err := s.Tally(ctx, w.changes)
	w.changes = nil
	return err
}

// turn is the place of an item in the order.
func turn(k table.Key) int {
	return slices.Index([]string{"external ID", "", "entry", "case header"}, map[string]string{
		"external ID": "external ID", "entry": "entry", "case header": "case header",
	}[kindOf(k)])
}

// prototypes are a system's pipeline over the same backends, as each step has it; as it is, it is the system's own.
func prototypes(s *awsapp.System, o *awsapp.Options, w *window) (all [steps]*pipeline.Pipeline, err error) {
	zone, err := time.LoadLocation(s.Env.Zone)
	if err != nil {
		return all, err
	}
	for at := singleWrites; at < steps; at++ {
		// Without a name of its own it numbers nothing that it accepts. So no note is due, and external IDs are what tallies count.
		a, err := app.New(app.Deps{
			Table: &prototype{Table: s.Table, step: at}, Blobs: s.Blobs, Secrets: s.Secrets,
			Inbound: s.Queues["inbound"], Mails: s.Queues["mail"], Media: s.Queues["media"], Wake: s.Queues["wake"],
			HTTP: http.DefaultClient, Files: http.DefaultClient, Inspect: o.Inspect, Key: s.Key, Now: o.Now, Rand: rand.Reader, Log: o.Log,
			Config: pipeline.Config{BaseURL: s.Env.BaseURL, Team: s.Env.Team, Hours: timeline.OfficeHours(zone)},
		})
		if err != nil {
			return all, err
		}
		if all[at] = a.Pipeline; at >= noNotes {
			a.Pipeline.Watch = w.watch
		}
	}
	return all, nil
}

// hooks are the webhook routes of a prototype.
func hooks(p *pipeline.Pipeline) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/hooks/{channel}/{account}", p.Ingest())
	return mux
}

// ofFunctionURL makes the event of a function URL out of the HTTP API's: the format is the same, and there is no stage, no route and no
// access log (docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html, read on 2026-11-30).
func ofFunctionURL(d *delivery) {
	const host = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.eu-north-1.on.aws"
	about := d.event["requestContext"].(map[string]any)
	about["apiId"], about["domainName"], about["domainPrefix"] = strings.Split(host, ".")[0], host, strings.Split(host, ".")[0]
	about["accountId"], about["routeKey"] = "anonymous", "$default"
	d.event["headers"].(map[string]string)["host"] = host
}

// single says that items of a kind are not written in a transaction: nothing is saved by taking them out of one.
func single(kind string) bool {
	return slices.Contains([]string{"notification", "tally", "note", "rate cap"}, kind) || strings.HasSuffix(kind, ", in an index")
}

// saving is one way to make a message cheaper, as a change of what was measured.
type saving struct {
	what  string
	apply func(*Use)
}

// studied are the steps, as they are reckoned.
func studied(a *Assumptions) [steps]saving {
	return [steps]saving{
		asItIs: {"as it is", func(*Use) {}},
		singleWrites: {"ordered single writes (claim X, then E, then K)", func(u *Use) {
			saved := 0.0
			for kind, units := range u.ByKind {
				if !single(kind) {
					saved += units / 2
				}
			}
			u.WriteUnits -= saved
		}},
		functionURL: {"function URL instead of the HTTP API", func(u *Use) {
			u.HTTPRequests = 0
			u.LogBytes -= a.AccessLog + a.LogEvent
		}},
		noNotes:         {"no notes: tallies once for each window of the stream", func(u *Use) { u.WriteUnits -= u.ByKind["note"] + u.ByKind["tally"] }},
		noNotifications: {"no notification items: resume reads entries", func(u *Use) { u.WriteUnits -= u.ByKind["notification"] }},
		// Two identities, the profile and the case header are read: the header still is.
		remembered: {"identity and profile kept in the function's memory", func(u *Use) { u.ReadUnits /= 4 }},
	}
}
