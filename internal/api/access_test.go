package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/api"
	"github.com/aikajana/aikajana/internal/auth"
)

// samples are requests that would do something, for every operation that takes a body.
var samples = map[string]any{
	"ChangePassword":   map[string]any{"current_password": password, "password": "a new and longer one"},
	"Invite":           map[string]any{"user": "iida", "roles": []string{"agent"}},
	"CreateUser":       map[string]any{"id": "iida", "roles": []string{"agent"}, "password": password},
	"ChangeUser":       map[string]any{"presence": "away"},
	"CreateToken":      map[string]any{"name": "script", "roles": []string{"administrator"}},
	"PutAccount":       map[string]any{"settings": map[string]string{"phone_number_id": "1"}},
	"ChangeCase":       map[string]any{"tags": []string{"x"}},
	"Reply":            map[string]any{"text": "x"},
	"Note":             map[string]any{"text": "x"},
	"Decide":           map[string]any{"decision": "withdraw"},
	"ReplayReact":      map[string]any{"since": "2026-11-22T10:00:00.000Z"},
	"AcceptInvitation": map[string]any{"token": "x", "password": password},
	"SignIn":           map[string]any{"user": "x", "password": "x"},
}

// stranger is a desk where everything belongs to another team than the one who asks.
type stranger struct {
	*desk
	entry, caseID, customer, other, merge, quarantined string
}

func strangers(t *testing.T) *stranger {
	t.Helper()
	d := setup(t)
	s := &stranger{desk: d}
	s.entry, s.caseID, s.customer = d.Write("email", "bills", "maija@mail.example", "Lasku")
	_, _, s.other = d.Write("email", "bills", "matti@mail.example", "Lasku")
	s.merge = d.admin().do("POST", "/api/v1/merges", map[string]any{"customers": []string{s.customer, s.other}}).want(201).text("merge")
	s.quarantined = d.quarantine("malformed")
	return s
}

// path fills a template with IDs of things that are there, and not the asker's.
func (s *stranger) path(o api.Operation) string {
	path := o.Path
	id := map[string]string{
		"cases": s.caseID, "entries": s.entry, "customers": s.customer, "merges": s.merge, "media": s.entry + ".0",
		"quarantine": s.quarantined, "users": "root", "tokens": auth.EnvironmentToken, "invitations": "x",
	}[strings.Split(path, "/")[3]]
	path = strings.NewReplacer("{id}", id, "{channel}", "whatsapp", "{account}", "main", "{queue}", "inbound").Replace(path)
	if o.ID == "FindCustomers" {
		path += "?address=maija@mail.example"
	}
	return path
}

func (s *stranger) body(o api.Operation) any {
	if o.ID == "Merge" {
		return map[string]any{"customers": []string{s.customer, s.other}}
	}
	return samples[o.ID]
}

// TestFault43_WhatIsNotYoursLooksMissing goes over every route and role: a thing named in the path that is not the asker's, or
// that the asker's role may not touch, looks just like one that does not exist.
func TestFault43_WhatIsNotYoursLooksMissing(t *testing.T) {
	t.Parallel()
	s := strangers(t)
	s.user("root", auth.Administrator)
	operations, err := s.API.Operations()
	must(t, err)
	// Colleagues may be looked up by everybody; accounts and quarantine are the whole desk's, for leads.
	own := map[string]auth.Role{
		"GetUser": auth.Agent, "GetAccount": auth.Lead, "GetQuarantined": auth.Lead, "Replay": auth.Lead,
	}
	for _, role := range []auth.Role{auth.Agent, auth.Lead} {
		asker := s.user("asker-"+string(role), role, "sales")
		tried := 0
		for _, o := range operations {
			if !o.Named && o.ID != "Merge" || o.Public {
				continue
			}
			if least, ok := own[o.ID]; ok && (role == auth.Lead || least == auth.Agent) {
				continue
			}
			tried++
			theirs := asker.do(o.Method, s.path(o), s.body(o))
			theirs.wantProblem(http.StatusNotFound, "missing", "")
			nowhere := asker.do("GET", "/api/v1/cases/aaaaaaaaaaaaaaaaaaaaaaaaaa-kaaaaaaaaaaaaa", nil)
			nowhere.want(http.StatusNotFound)
			if string(theirs.raw) != string(nowhere.raw) {
				t.Errorf("%s %s tells more than what is not there: %s", role, o.ID, theirs.raw)
			}
		}
		if tried < 12 {
			t.Errorf("only %d routes were tried as %s", tried, role)
		}
	}
	// Nothing of it happened.
	if c := s.admin().do("GET", "/api/v1/cases/"+s.caseID, nil).want(200); len(c.at("tags").([]any)) != 0 || c.text("state") != "open" {
		t.Fatalf("%s", c.raw)
	}
	if p := s.admin().do("GET", "/api/v1/customers/"+s.customer, nil).want(200); len(p.at("merges").([]any)) != 1 {
		t.Fatalf("%s", p.raw)
	}
}

func TestFault43_ListsSearchesAndMergesHoldWhatIsYoursAlone(t *testing.T) {
	t.Parallel()
	s := strangers(t)
	asker := s.user("asker", auth.Lead, "sales")
	_, _, mine := s.Write("whatsapp", "main", "358401234567", "Hei")
	for _, path := range []string{
		"/api/v1/cases?team=billing", "/api/v1/cases?agent=root", "/api/v1/customers?address=maija@mail.example",
		"/api/v1/customers?address=email:maija@mail.example",
	} {
		if found := asker.do("GET", path, nil).want(200).items(); len(found) != 0 {
			t.Errorf("%s gives %v", path, found)
		}
	}
	if list := asker.do("GET", "/api/v1/cases", nil).want(200); len(list.items()) != 1 || list.text("items.0.customer") != mine {
		t.Errorf("%s", list.raw)
	}
	for _, told := range asker.do("GET", "/api/v1/notifications", nil).want(200).items() {
		if told.(map[string]any)["customer"] != mine {
			t.Errorf("told of somebody else's customer: %v", told)
		}
	}
	// Merging what is yours with what is not would show it.
	asker.do("POST", "/api/v1/merges", map[string]any{"customers": []string{mine, s.customer}}).wantProblem(404, "missing", "")
	// Assigned to you, it is yours: the case, and the customer whole.
	s.admin().do("PATCH", "/api/v1/cases/"+s.caseID, map[string]any{"agent": "asker"}).want(200)
	asker.do("GET", "/api/v1/customers/"+s.customer+"/timeline", nil).want(200)
	if found := asker.do("GET", "/api/v1/customers?address=Maija@Mail.example", nil).want(200).items(); len(found) != 1 {
		t.Errorf("%v", found)
	}
}

func TestFault43_WithoutARightAListIsRefusedAndWithoutASessionEverythingIs(t *testing.T) {
	t.Parallel()
	s := strangers(t)
	s.user("root", auth.Administrator)
	operations, err := s.API.Operations()
	must(t, err)
	agent := auth.Principal{Kind: auth.KindUser, Roles: []auth.Role{auth.Agent}}
	asker := s.user("asker", auth.Agent, "sales")
	for _, o := range operations {
		if o.Public {
			continue
		}
		nobody := s.anonymous().do(o.Method, s.path(o), s.body(o))
		nobody.wantProblem(http.StatusUnauthorized, auth.CodeUnauthenticated, "")
		if nobody.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: 401 without WWW-Authenticate", o.ID)
		}
		if !o.Named && o.Action != "session" && !agent.May(o.Action) {
			asker.do(o.Method, s.path(o), s.body(o)).wantProblem(http.StatusForbidden, auth.CodeRole, "")
		}
	}
}

func TestAReadOnlyTokenChangesNothing(t *testing.T) {
	t.Parallel()
	s := strangers(t)
	made := s.admin().do("POST", "/api/v1/tokens", map[string]any{"name": "display", "roles": []string{"administrator"}, "scopes": []string{"read"}}).want(201)
	reader := s.anonymous()
	reader.token = made.text("secret")
	operations, err := s.API.Operations()
	must(t, err)
	for _, o := range operations {
		if o.Public || o.Method == http.MethodGet || o.ID == "SocketTicket" {
			continue
		}
		if status := reader.do(o.Method, s.path(o), s.body(o)).status; status != 403 && status != 404 {
			t.Errorf("%s by a token that may read only: %d", o.ID, status)
		}
	}
	reader.do("GET", "/api/v1/cases/"+s.caseID, nil).want(200)
	reader.do("GET", "/api/v1/reconciliation", nil).want(200)
}

func TestFault43a_AnUnsafeRequestWithACookieFromAnotherOriginIsRefused(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	_, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	path, body := "/api/v1/cases/"+id+"/notes", map[string]any{"text": "x"}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"},
	} {
		aino.do("POST", path, body, header...).wantProblem(403, auth.CodeCrossOrigin, "")
		d.anonymous().do("POST", "/api/v1/sessions", map[string]any{"user": "aino", "password": password}, header...).wantProblem(403, auth.CodeCrossOrigin, "")
		aino.do("DELETE", "/api/v1/sessions/current", nil, header...).wantProblem(403, auth.CodeCrossOrigin, "")
		d.admin().do("POST", path, body, header...).want(201) // a token is never sent by a browser by itself
	}
	aino.do("POST", path, body, "Sec-Fetch-Site", "same-origin").want(201)
	aino.do("GET", "/api/v1/cases/"+id, nil, "Sec-Fetch-Site", "cross-site").want(200)
}

func TestFault50_AFieldThatIsNotOursIsRefusedAndNamed(t *testing.T) {
	t.Parallel()
	d := setup(t)
	_, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	note := "/api/v1/cases/" + id + "/notes"
	for _, test := range []struct{ method, path, body, field string }{
		{"POST", note, `{"text":"x","agent":"root"}`, "agent"},
		{"POST", note, `{"text":"x","author":"root"}`, "author"},
		{"POST", note, `{"text":"x","entry":"e1"}`, "entry"},
		{"POST", "/api/v1/cases/" + id + "/replies", `{"text":"x","from":{"kind":"email","value":"boss@desk.example"}}`, "from"},
		{"POST", "/api/v1/cases/" + id + "/replies", `{"text":"x","to":{"kind":"email","value":"a@b.example","name":"x"}}`, "to.name"},
		{"PATCH", "/api/v1/cases/" + id, `{"customer":"x"}`, "customer"},
		{"PATCH", "/api/v1/cases/" + id, `{"next_due":"2026-11-24T08:00:00.000Z"}`, "next_due"},
		{"POST", "/api/v1/users", `{"id":"x","roles":["agent"],"password":"correct horse","generation":7}`, "generation"},
		{"POST", "/api/v1/merges", `{"customers":["a","b"],"by":"root"}`, "by"},
		{"POST", note, `{"text":"x","text":"y"}`, "body.text"},
		{"GET", "/api/v1/cases?owner=root", ``, "query.owner"},
		{"GET", "/api/v1/cases?limit=1&limit=2", ``, "query.limit"},
	} {
		var body any
		if test.body != "" {
			body = test.body
		}
		d.admin().do(test.method, test.path, body).wantProblem(400, "invalid", test.field)
	}
}

func TestBadInputIsRefusedByFieldBeforeAnythingHappens(t *testing.T) {
	t.Parallel()
	d := setup(t)
	_, id, customer := d.Write("whatsapp", "main", "358401234567", "Hei")
	note := "/api/v1/cases/" + id + "/notes"
	deep := strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)
	for _, test := range []struct {
		method, path, body string
		status             int
		code, field        string
	}{
		{"POST", note, `{`, 400, "invalid", "body"},
		{"POST", note, `nonsense`, 400, "invalid", "body"},
		{"POST", note, `[]`, 400, "invalid", "body"},
		{"POST", note, `{"text":7}`, 400, "invalid", "text"},
		{"POST", note, `{"text":null}`, 400, "invalid", "text"},
		{"POST", note, `{} {}`, 400, "invalid", "body"},
		{"POST", note, deep, 400, "invalid", "body"},
		{"POST", note, "{\"text\":\"\xff\"}", 400, "invalid", "body"},
		{"POST", note, `{"text":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "too_large", "body"},
		{"PATCH", "/api/v1/cases/" + id, `{}`, 400, "invalid", "body"},
		{"PATCH", "/api/v1/cases/" + id, `{"state":"closed"}`, 400, "invalid", "state"},
		{"PATCH", "/api/v1/cases/" + id, `{"snoozed_until":"tomorrow"}`, 400, "invalid", "snoozed_until"},
		{"PATCH", "/api/v1/cases/" + id, `{"snoozed_until":"2020-01-01T00:00:00Z"}`, 400, "invalid", "snoozed_until"},
		{"PATCH", "/api/v1/cases/" + id, `{"state":"snoozed"}`, 400, "invalid", "snoozed_until"},
		{"PATCH", "/api/v1/cases/" + id, `{"state":"solved","snoozed_until":"2030-01-01T00:00:00Z"}`, 400, "invalid", "snoozed_until"},
		{"GET", "/api/v1/cases?limit=0", "", 400, "invalid", "query.limit"},
		{"GET", "/api/v1/cases?limit=1000", "", 400, "invalid", "query.limit"},
		{"GET", "/api/v1/cases?limit=x", "", 400, "invalid", "query.limit"},
		{"GET", "/api/v1/cases?state=all", "", 400, "invalid", "query.state"},
		{"GET", "/api/v1/cases?after=!!", "", 400, "invalid", "query.after"},
		{"GET", "/api/v1/cases?after=AAAA", "", 400, "invalid", "query.after"},
		{"GET", "/api/v1/quarantine?after=AAAA", "", 400, "invalid", "query.after"},
		{"GET", "/api/v1/customers", "", 400, "invalid", "query.address"},
		{"GET", "/api/v1/customers/" + customer + "?x=%zz", "", 400, "invalid", "query"},
		{"GET", "/api/v1/cases/a%00b", "", 400, "invalid", "path.id"},
		{"GET", "/api/v1/customers/" + strings.Repeat("a", 200), "", 400, "invalid", "path.id"},
		{"POST", "/api/v1/merges", `{"customers":["` + customer + `","` + customer + `"]}`, 400, "invalid", "customers"},
		{"POST", "/api/v1/merges", `{"customers":["` + customer + `"]}`, 400, "invalid", "customers"},
		{"GET", "/api/v1/nothing", "", 404, "missing", ""},
		{"PUT", "/api/v1/cases", `{}`, 405, "method", ""},
		{"DELETE", "/healthz", "", 405, "method", ""},
		{"POST", "/api/v1/cases/" + id + "/seen", `{"x":1}`, 400, "invalid", "body"},
	} {
		var body any
		if test.body != "" {
			body = test.body
		}
		d.admin().do(test.method, test.path, body).wantProblem(test.status, test.code, test.field)
	}
	d.admin().do("POST", note, `{"text":"x"}`, "Content-Type", "text/plain").wantProblem(415, "media_type", "Content-Type")
	d.admin().do("POST", note, `{"text":"x"}`, "Content-Type", "application/json; charset=latin1").wantProblem(415, "media_type", "Content-Type")
	d.admin().do("POST", note, nil).wantProblem(400, "invalid", "body")
	if n := len(d.admin().do("GET", "/api/v1/customers/"+customer+"/timeline", nil).want(200).items()); n != 1 {
		t.Fatalf("%d entries after requests that were all refused", n)
	}
}

func TestWhoAsksTooOftenIsToldToWaitAndOthersAreNot(t *testing.T) {
	t.Parallel()
	d := setupWith(t, api.Limits{PerPrincipal: 0.001, PrincipalBurst: 5, PerClient: 0.001, ClientBurst: 3})
	limited := d.admin()
	for range 5 {
		limited.do("GET", "/api/v1/cases", nil).want(200)
	}
	refused := limited.do("GET", "/api/v1/cases", nil)
	refused.wantProblem(429, "throttled", "")
	if refused.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	nobody := d.anonymous()
	for range 3 {
		nobody.do("GET", "/api/v1/cases", nil).want(401)
	}
	// Forwarding headers make nobody another client (FAULT 53).
	nobody.do("GET", "/api/v1/cases", nil, "X-Forwarded-For", "198.51.100.1").wantProblem(429, "throttled", "")
	nobody.do("POST", "/api/v1/sessions", map[string]any{"user": "x", "password": "x"}, "Forwarded", "for=198.51.100.2").wantProblem(429, "throttled", "")
}

func TestNothingInsideIsToldWhenSomethingBreaks(t *testing.T) {
	t.Parallel()
	d := setup(t)
	_, id, _ := d.Write("whatsapp", "main", "358401234567", "Hei")
	d.damage(id)
	a := d.admin().do("GET", "/api/v1/cases/"+id, nil)
	a.wantProblem(500, "internal", "")
	if strings.Contains(string(a.raw), "C#") || strings.Contains(string(a.raw), "damaged") {
		t.Errorf("tells of the inside: %s", a.raw)
	}
	if !strings.Contains(d.Log.String(), "damaged") {
		t.Error("the log does not tell what broke")
	}
}

func TestAnswersAreKeptOutOfCachesAndFrames(t *testing.T) {
	t.Parallel()
	d := setup(t)
	for _, a := range []*answer{d.admin().do("GET", "/api/v1/cases", nil), d.admin().do("GET", "/api/v1/nothing", nil), d.anonymous().do("GET", "/api/v1/cases", nil)} {
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q", a.what, name, got)
			}
		}
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: another origin may read it", a.what)
		}
	}
}

func FuzzABodyThatPassesIsOneJSONValueWithoutRepeats(f *testing.F) {
	for _, seed := range []string{"{}", `{"a":1,"a":2}`, `{"a":{"a":[{"a":null}]}}`, "[]", "1 2", "{", `{"a":"\ud800"}`, strings.Repeat("[", 99)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if api.CheckJSON(body) != nil {
			return
		}
		var v any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("%q passes and is no JSON: %v", body, err)
		}
	})
}
