package cost

import (
	"slices"
	"strings"
)

// single says that items of a kind are not written in a transaction: nothing is saved by taking them out of one.
func single(kind string) bool {
	return slices.Contains([]string{"notification", "tally", "note", "rate cap"}, kind) || strings.HasSuffix(kind, ", in an index")
}

// saving is one way to make a message cheaper, as a change of what was measured.
type saving struct {
	what  string
	apply func(*Use)
}

// studied are the changes that docs/adr/0013 weighs, each on top of those before it.
func studied() []saving {
	return []saving{
		{"as it is", func(*Use) {}},
		{"ordered single writes (claim X, then E, then K)", func(u *Use) {
			saved := 0.0
			for kind, units := range u.ByKind {
				if !single(kind) {
					saved += units / 2
				}
			}
			u.WriteUnits -= saved
		}},
		{"function URL instead of the HTTP API", func(u *Use) { u.HTTPRequests = 0 }},
		{"no notes: tallies once for each window of the stream", func(u *Use) { u.WriteUnits -= u.ByKind["note"] + u.ByKind["tally"] }},
		{"no notification items: resume reads entries", func(u *Use) { u.WriteUnits -= u.ByKind["notification"] }},
		{"identity and profile kept in the function's memory", func(u *Use) { u.ReadUnits /= 2 }},
	}
}

func (r *report) studies() {
	r.say("## What would reach 6 and 4 dollars\n")
	r.say("Reckoned from the writes measured above, without pushes; each line on top of those before it. What each gives up is in docs/adr/0013.\n")
	r.say("| change | WhatsApp alone: units | $ | ten from ten customers: units | $ | ten from one: units | $ |\n|---|---:|---:|---:|---:|---:|---:|")
	var uses []Use
	for _, name := range []string{Alone, TenOfTen, TenOfOne} {
		uses = append(uses, scaled(r.m.Quiet["whatsapp"][name], 1))
	}
	for _, c := range studied() {
		row := "| " + c.what + " |"
		for i := range uses {
			c.apply(&uses[i])
			row += fmtCells(uses[i].Units(), Total(perMillion(&uses[i], r.p)))
		}
		r.say("%s", row)
	}
	r.say("")
}
