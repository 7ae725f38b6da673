package dynamo

import (
	"crypto/rand"
	"strings"
)

// loaded begins the write tokens of a load. Those of everybody else hold no hyphen there (crypto/rand.Text).
const loaded = "load-"

// LoadToken makes the write tokens of whoever brings dumped items back into a table: give it as [Options].Token.
func LoadToken() string { return loaded + rand.Text() }

// Loaded says that the change only brought a dumped item back: it is no news, and nothing is to follow from it. What is
// changed, or deleted, later is news again.
func (r Record) Loaded() bool { return strings.HasPrefix(r.New["w"].S, loaded) }
