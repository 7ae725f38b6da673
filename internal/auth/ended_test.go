package auth_test

import (
	"testing"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/table"
)

func TestChangeThatMayEndAccessNamesWhose(t *testing.T) {
	t.Parallel()
	item := func(body string) *table.Item { return &table.Item{Body: []byte(body)} }
	session := auth.Credential{Kind: auth.KindUser, Hash: "h"}
	user := `{"id":"aino","roles":["agent"],"teams":["support"],"generation":1,"presence":"present"}`
	for _, c := range []struct {
		name     string
		pk       string
		old, new *table.Item
		want     bool
		concerns bool // the session of aino
	}{
		{"a session that ended", "U#session#h", item("{}"), nil, true, true},
		{"another session that ended", "U#session#i", item("{}"), nil, true, false},
		{"a token of the same hash", "U#token#h", item("{}"), nil, true, false},
		{"a session that was used", "U#session#h", item("{}"), item("{}"), false, false},
		{"a new session", "U#session#h", nil, item("{}"), false, false},
		{"a user who went for lunch", "U#user#aino", item(user), item(`{"id":"aino","roles":["agent"],"teams":["support"],"generation":1}`), false, false},
		{"a user whose sessions were ended", "U#user#aino", item(user), item(`{"id":"aino","roles":["agent"],"teams":["support"],"generation":2}`), true, true},
		{"a user who was disabled", "U#user#aino", item(user), item(`{"id":"aino","roles":["agent"],"teams":["support"],"generation":1,"disabled":true}`), true, true},
		{"a user who lost a team", "U#user#aino", item(user), item(`{"id":"aino","roles":["agent"],"teams":[],"generation":1}`), true, true},
		{"another user who lost a role", "U#user#liisa", item(user), item(`{"id":"liisa","roles":[],"teams":["support"],"generation":1}`), true, false},
		{"a user who is gone", "U#user#aino", item(user), nil, true, true},
		{"a new user", "U#user#aino", nil, item(user), false, false},
		{"a user who cannot be read", "U#user#aino", item(user), item("{"), false, false},
		{"a list", "U#list", item("{}"), nil, false, false},
		{"a case", "C#session#h", item("{}"), nil, false, false},
	} {
		r, ok := auth.RevokedBy(&table.Change{Key: table.Key{PK: c.pk, SK: "A"}, Old: c.old, New: c.new})
		if ok != c.want || ok && r.Concerns("aino", session) != c.concerns {
			t.Errorf("%s: %+v, %v", c.name, r, ok)
		}
	}
}
