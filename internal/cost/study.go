package cost

import (
	"context"
	"crypto/rand"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/app"
	awsapp "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/pipeline"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
	"github.com/aikajana/aikajana/internal/timeline"
)

// singleWrites is a prototype that docs/adr/0013 weighs, and no part of the program: it writes the items of a transaction one
// after the other, each under its own condition, at half the price. The claim of the external ID goes first, so that a message
// that comes twice at once is stored once, then what the entry refers to, then the entry, and the case header last. What a
// process leaves that dies in between is not mended here: that is what the decision record is about.
type singleWrites struct{ *dynamo.Table }

// Write implements table.Table.
func (t singleWrites) Write(ctx context.Context, ops ...table.Op) error {
	if table.IsApart(ctx) {
		return t.Table.Write(ctx, ops...)
	}
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, func(a, b table.Op) int { return turn(a.Item.Key) - turn(b.Item.Key) })
	for i := range ops {
		if err := t.Table.Write(ctx, ops[i]); err != nil {
			return err
		}
	}
	return nil
}

// turn is the place of an item in the order.
func turn(k table.Key) int {
	return slices.Index([]string{"external ID", "", "entry", "case header"}, map[string]string{
		"external ID": "external ID", "entry": "entry", "case header": "case header",
	}[kindOf(k)])
}

// ordered is a system's pipeline over the same backends, with singleWrites.
func ordered(s *awsapp.System, o *awsapp.Options) (*pipeline.Pipeline, error) {
	zone, err := time.LoadLocation(s.Env.Zone)
	if err != nil {
		return nil, err
	}
	a, err := app.New(app.Deps{
		Table: singleWrites{s.Table}, Blobs: s.Blobs, Secrets: s.Secrets,
		Inbound: s.Queues["inbound"], Mails: s.Queues["mail"], Media: s.Queues["media"], Wake: s.Queues["wake"],
		HTTP: http.DefaultClient, Files: http.DefaultClient, Inspect: o.Inspect, Key: s.Key, Now: o.Now, Rand: rand.Reader, Log: o.Log,
		Config: pipeline.Config{BaseURL: s.Env.BaseURL, Team: s.Env.Team, Hours: timeline.OfficeHours(zone)},
	})
	if err != nil {
		return nil, err
	}
	return a.Pipeline, nil
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
	// way is how it was measured, nil for what was reckoned alone.
	way *way
}

// studied are the changes that docs/adr/0013 weighs, each on top of those before it.
func studied(a *Assumptions) []saving {
	return []saving{
		{"as it is", func(*Use) {}, &way{}},
		{"ordered single writes (claim X, then E, then K)", func(u *Use) {
			saved := 0.0
			for kind, units := range u.ByKind {
				if !single(kind) {
					saved += units / 2
				}
			}
			u.WriteUnits -= saved
		}, &way{single: true}},
		{"function URL instead of the HTTP API", func(u *Use) {
			u.HTTPRequests = 0
			u.LogBytes -= a.AccessLog + a.LogEvent
		}, &way{single: true, url: true}},
		{"no notes: tallies once for each window of the stream", func(u *Use) { u.WriteUnits -= u.ByKind["note"] + u.ByKind["tally"] }, nil},
		{"no notification items: resume reads entries", func(u *Use) { u.WriteUnits -= u.ByKind["notification"] }, nil},
		{"identity and profile kept in the function's memory", func(u *Use) { u.ReadUnits /= 2 }, nil},
	}
}
