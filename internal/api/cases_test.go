package api_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
)

func TestACaseIsFoundTakenAnsweredAndSolved(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	entry, id, customer := d.Write("whatsapp", "main", "358401234567", "Hei, se on rikki")

	list := aino.do("GET", "/api/v1/cases", nil).want(200)
	if got := list.text("items.0.case"); got != id {
		t.Fatalf("the work list begins with %s, want %s", got, id)
	}
	aino.do("POST", "/api/v1/cases/"+id+"/seen", nil).want(204)
	taken := aino.do("PATCH", "/api/v1/cases/"+id, map[string]any{"agent": "aino"}).want(200)
	if taken.text("agent") != "aino" || taken.text("seen_by") != "aino" {
		t.Fatalf("%s", taken.raw)
	}
	if mine := aino.do("GET", "/api/v1/cases?agent=aino", nil).want(200).items(); len(mine) != 1 {
		t.Fatalf("aino has %d cases", len(mine))
	}
	byReference := aino.do("GET", "/api/v1/cases/"+taken.text("reference"), nil).want(200)
	if byReference.text("case") != id {
		t.Fatalf("%s", byReference.raw)
	}

	reply := aino.do("POST", "/api/v1/cases/"+id+"/replies", map[string]any{"text": "Katson heti.", "reply_to": entry}).want(201)
	if byToken := d.admin().do("POST", "/api/v1/cases/"+id+"/replies", map[string]any{"text": "x"}).want(201); byToken.at("from").(map[string]any)["name"] != nil {
		t.Fatalf("a customer would be shown the name of a token: %s", byToken.raw)
	}
	if reply.text("state") != "pending" || reply.text("agent") != "aino" || reply.text("channel") != "whatsapp" || reply.text("delivery.to.value") != "358401234567" {
		t.Fatalf("%s", reply.raw)
	}
	aino.do("POST", "/api/v1/cases/"+id+"/notes", map[string]any{"text": "Called twice."}).want(201)
	line := aino.do("GET", "/api/v1/customers/"+customer+"/timeline", nil).want(200)
	var texts []string
	for n := range line.items() {
		texts = append(texts, line.text("items."+string(rune('0'+n))+".message.text"))
	}
	if got := strings.Join(texts, " | "); got != "Hei, se on rikki | Katson heti. | x | Called twice." {
		t.Fatalf("the timeline says %q", got)
	}
	if waiting := aino.do("GET", "/api/v1/cases?state=waiting", nil).want(200).items(); len(waiting) != 1 {
		t.Fatalf("%d cases wait for their customer", len(waiting))
	}
	solved := aino.do("PATCH", "/api/v1/cases/"+id, map[string]any{"state": "solved", "reason": "complaint", "tags": []string{"lamp"}}).want(200)
	if solved.text("state") != "solved" || solved.text("reason") != "complaint" || solved.text("tags.0") != "lamp" {
		t.Fatalf("%s", solved.raw)
	}
	if all := aino.do("GET", "/api/v1/cases", nil).want(200).items(); len(all) != 0 {
		t.Fatalf("a solved case is still work: %v", all)
	}
	if got := aino.do("GET", "/api/v1/customers/"+customer, nil).want(200).text("cases.0.case"); got != id {
		t.Fatalf("the customer's case is %s", got)
	}
}

func TestWhatLiesInsideNeverLeavesTheServer(t *testing.T) {
	t.Parallel()
	d := setup(t)
	entry, id, customer := d.Write("whatsapp", "main", "358401234567", "Hei")
	for _, path := range []string{
		"/api/v1/entries/" + entry, "/api/v1/cases/" + id, "/api/v1/customers/" + customer, "/api/v1/customers/" + customer + "/timeline",
		"/api/v1/customers/" + customer + "/export",
	} {
		a := d.admin().do("GET", path, nil).want(200)
		for _, secret := range []string{"reply-token-secret", "native", "raw-secret", "cmF3LXNlY3JldA", "envelope-secret"} {
			if strings.Contains(string(a.raw), secret) {
				t.Errorf("%s tells %q:\n%s", path, secret, a.raw)
			}
		}
	}
}

func TestTheWorkListPagesThroughWhatIsDueAndThenWhatWaits(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales", "billing")
	want := map[string]bool{}
	for n := range 7 {
		_, id, _ := d.Write("whatsapp", "main", "35840000000"+string(rune('0'+n)), "Hei")
		want[id] = true
		if n%3 == 0 {
			aino.do("PATCH", "/api/v1/cases/"+id, map[string]any{"snoozed_until": "2026-11-24T08:00:00.000Z"}).want(200)
		}
	}
	_, bill, _ := d.Write("email", "bills", "maija@mail.example", "Lasku")
	want[bill] = true
	after, states := "", ""
	for pages := 0; ; pages++ {
		if pages > 10 {
			t.Fatal("the work list never ends")
		}
		page := aino.do("GET", "/api/v1/cases"+q("limit", "2")+after, nil).want(200)
		for n, item := range page.items() {
			id := page.text("items." + string(rune('0'+n)) + ".case")
			if !want[id] {
				t.Fatalf("case %s comes twice, or is none of ours: %v", id, item)
			}
			delete(want, id)
			states += page.text("items." + string(rune('0'+n)) + ".state")[:1]
		}
		if page.body["next"] == nil {
			break
		}
		after = "&after=" + page.text("next")
	}
	if len(want) != 0 || states != "ooooosss" {
		t.Fatalf("left out: %v; order of states %s", want, states)
	}
	if got := aino.do("GET", "/api/v1/cases?team=billing", nil).want(200).items(); len(got) != 1 {
		t.Fatalf("billing has %d cases", len(got))
	}
}

func TestTheTimelinePagesBothWaysWithoutSkippingOrRepeating(t *testing.T) {
	t.Parallel()
	d := setup(t)
	var customer string
	for n := range 9 {
		_, _, customer = d.Write("whatsapp", "main", "358401234567", string(rune('a'+n)))
	}
	texts := func(a *answer) (all string) {
		for n := range a.items() {
			all += a.text("items." + string(rune('0'+n)) + ".message.text")
		}
		return all
	}
	path := "/api/v1/customers/" + customer + "/timeline?limit=4"
	newest := d.admin().do("GET", path, nil).want(200)
	middle := d.admin().do("GET", path+"&before="+newest.text("next"), nil).want(200)
	oldest := d.admin().do("GET", path+"&before="+middle.text("next"), nil).want(200)
	if texts(newest) != "fghi" || texts(middle) != "bcde" || texts(oldest) != "a" || oldest.body["next"] != nil {
		t.Fatalf("%q %q %q", texts(newest), texts(middle), texts(oldest))
	}
	onward := d.admin().do("GET", path+"&after="+middle.text("last"), nil).want(200)
	if texts(onward) != "fghi" {
		t.Fatalf("behind the middle page comes %q", texts(onward))
	}
	d.admin().do("GET", path+"&before=bm9uc2Vuc2U", nil).wantProblem(400, "invalid", "query.before")
	d.admin().do("GET", path+"&before="+newest.text("next")+"&after="+newest.text("last"), nil).wantProblem(400, "invalid", "query.before")
}

func TestAnIdempotencyKeyMakesOneAnswerOfManyRequests(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	_, id, customer := d.Write("whatsapp", "main", "358401234567", "Hei")
	path := "/api/v1/cases/" + id
	first := aino.do("POST", path+"/replies", map[string]any{"text": "Katson."}, "Idempotency-Key", "k1").want(201)
	d.Write("whatsapp", "main", "358401234567", "Vielä yksi asia") // the same request again must not mind
	again := aino.do("POST", path+"/replies", map[string]any{"text": "Katson."}, "Idempotency-Key", "k1").want(201)
	if first.text("entry") != again.text("entry") {
		t.Fatal("the same request made two answers")
	}
	aino.do("POST", path+"/replies", map[string]any{"text": "Muuta."}, "Idempotency-Key", "k1").wantProblem(409, "idempotency_key", "Idempotency-Key")
	aino.do("POST", path+"/replies", map[string]any{"text": "Katson.", "channel": "whatsapp"}, "Idempotency-Key", "k1").wantProblem(409, "idempotency_key", "Idempotency-Key")
	note := aino.do("POST", path+"/notes", map[string]any{"text": "x"}, "Idempotency-Key", "k1").want(201)
	if aino.do("POST", path+"/notes", map[string]any{"text": "x"}, "Idempotency-Key", "k1").want(201).text("entry") != note.text("entry") {
		t.Fatal("the same request made two notes")
	}
	aino.do("POST", path+"/notes", map[string]any{"text": "y"}, "Idempotency-Key", "k1").wantProblem(409, "idempotency_key", "Idempotency-Key")
	if n := len(aino.do("GET", "/api/v1/customers/"+customer+"/timeline", nil).want(200).items()); n != 4 {
		t.Fatalf("the timeline has %d entries, want two messages, an answer and a note", n)
	}
}

func TestAnAnswerGoesToTheCustomerAloneAndKeepsToWhatTheChannelCarries(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	entry, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	other, _, _ := d.Write("whatsapp", "main", "358409999999", "Hei minäkin")
	path := "/api/v1/cases/" + id + "/replies"
	for _, test := range []struct {
		body   map[string]any
		status int
		code   string
		field  string
	}{
		{map[string]any{"text": ""}, 400, "invalid", "text"},
		{map[string]any{}, 400, "invalid", "text"},
		{map[string]any{"text": "x", "to": map[string]any{"kind": "whatsapp.phone", "value": "358409999999"}}, 400, "invalid", "to"},
		{map[string]any{"text": "x", "channel": "email"}, 400, "invalid", "channel"},
		{map[string]any{"text": "x", "channel": "pigeon"}, 400, "invalid", "channel"},
		{map[string]any{"text": "x", "channel": "whatsapp", "account": "other"}, 400, "invalid", "account"},
		{map[string]any{"text": "x", "reply_to": other}, 400, "invalid", "reply_to"},
		{map[string]any{"text": "x", "subject": "none on WhatsApp"}, 400, "invalid", "subject"},
		{map[string]any{"text": strings.Repeat("x", 5000)}, 400, "invalid", "text"},
		{map[string]any{"text": "x", "agent": "eero"}, 400, "invalid", "agent"},
	} {
		aino.do("POST", path, test.body).wantProblem(test.status, test.code, test.field)
	}
	aino.do("POST", path, map[string]any{"text": "x", "to": map[string]any{"kind": "whatsapp.phone", "value": "358401234567"}, "reply_to": entry}).want(201)
	d.Clock.Pass(25 * time.Hour)
	aino.do("POST", "/api/v1/sessions", map[string]any{"user": "aino", "password": password}).want(201)
	aino.do("POST", path, map[string]any{"text": "x"}).wantProblem(422, "window_closed", "channel")
}

func TestAnAnswerCanBeTakenBackWhileItIsHeld(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	_, id, _ := d.Write("email", "main", "maija@mail.example", "Hei")
	reply := aino.do("POST", "/api/v1/cases/"+id+"/replies", map[string]any{"text": "Hups"}).want(201)
	decision := "/api/v1/entries/" + reply.text("entry") + "/decision"
	taken := aino.do("POST", decision, map[string]any{"decision": "withdraw"}).want(200)
	if taken.text("failure.code") != "withdrawn" {
		t.Fatalf("%s", taken.raw)
	}
	aino.do("POST", decision, map[string]any{"decision": "withdraw"}).wantProblem(409, "state", "")
	aino.do("POST", decision, map[string]any{"decision": "sent"}).wantProblem(409, "state", "")
	if c := aino.do("GET", "/api/v1/cases/"+id, nil).want(200); c.text("state") != "open" {
		t.Fatalf("%s", c.raw)
	}
}

func TestIfMatchRefusesAChangeThatSomebodyElseWasFasterWith(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	_, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	read := aino.do("GET", "/api/v1/cases/"+id, nil).want(200).header.Get("ETag")
	aino.do("PATCH", "/api/v1/cases/"+id, map[string]any{"tags": []string{"a"}}, "If-Match", read).want(200)
	aino.do("PATCH", "/api/v1/cases/"+id, map[string]any{"tags": []string{"b"}}, "If-Match", read).wantProblem(412, "stale", "If-Match")
	aino.do("PATCH", "/api/v1/cases/"+id, map[string]any{"tags": []string{"b"}}, "If-Match", "nonsense").wantProblem(400, "invalid", "If-Match")

	user := aino.do("GET", "/api/v1/users/aino", nil).want(200).header.Get("ETag")
	aino.do("PATCH", "/api/v1/users/aino", map[string]any{"presence": "present"}, "If-Match", user).want(200)
	aino.do("PATCH", "/api/v1/users/aino", map[string]any{"presence": "away"}, "If-Match", user).wantProblem(412, "stale", "If-Match")
	aino.do("PATCH", "/api/v1/users/aino", map[string]any{"presence": "away"}, "If-Match", `"0"`).wantProblem(412, "stale", "If-Match")
}

func TestGivingACaseAwayTakesALead(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino, eero := d.user("aino", auth.Agent, "sales"), d.user("eero", auth.Lead, "sales")
	_, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	path := "/api/v1/cases/" + id
	aino.do("PATCH", path, map[string]any{"agent": "eero"}).wantProblem(403, "role", "")
	aino.do("PATCH", path, map[string]any{"team": "billing"}).wantProblem(403, "role", "")
	aino.do("PATCH", path, map[string]any{"agent": "aino"}).want(200)
	aino.do("PATCH", path, map[string]any{"agent": ""}).want(200)
	eero.do("PATCH", path, map[string]any{"agent": "nobody"}).wantProblem(400, "invalid", "agent")
	eero.do("PATCH", path, map[string]any{"team": "nowhere"}).wantProblem(400, "invalid", "team")
	eero.do("PATCH", path, map[string]any{"agent": "aino", "team": "billing"}).want(200)
	aino.do("GET", path, nil).want(200) // it is hers now, in whatever team
	if mine := aino.do("GET", "/api/v1/cases?agent=aino", nil).want(200).items(); len(mine) != 1 {
		t.Fatalf("aino has %d cases", len(mine))
	}
	eero.do("GET", path, nil).wantProblem(404, "missing", "")
}
