package api_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/store"
)

func TestAnAccountIsConnectedAndTellsWhatToPasteButNeverItsSecrets(t *testing.T) {
	t.Parallel()
	d := setup(t)
	path := "/api/v1/accounts/whatsapp/second"
	made := d.admin().do("PUT", path, map[string]any{
		"team": "sales", "settings": map[string]string{"phone_number_id": "2066"},
		"secrets": map[string]string{"app_secret": "app-secret-value", "verify_token": "to-paste", "access_token": "access-secret-value"},
	}).want(200)
	if made.text("webhook_url") != "https://desk.example/hooks/whatsapp/second" || made.text("verify_token") != "to-paste" || len(made.at("secrets_set").([]any)) != 3 {
		t.Fatalf("%s", made.raw)
	}
	lead := d.user("eero", auth.Lead, "sales")
	for _, a := range []*answer{made, d.admin().do("GET", "/api/v1/accounts", nil).want(200), d.admin().do("GET", path, nil).want(200), lead.do("GET", path, nil).want(200)} {
		if strings.Contains(string(a.raw), "secret-value") {
			t.Errorf("%s tells a secret: %s", a.what, a.raw)
		}
	}
	if seen := lead.do("GET", path, nil).want(200); seen.body["verify_token"] != nil {
		t.Errorf("a lead sees the verify token: %s", seen.raw)
	}
	connected, err := d.Pipeline.Account(t.Context(), "whatsapp", "second")
	must(t, err)
	if connected.Secret("app_secret") != "app-secret-value" {
		t.Fatal("the pipeline does not know the secret")
	}
	if strings.Contains(d.Log.String(), "secret-value") {
		t.Error("the log tells a secret")
	}
	d.admin().do("DELETE", path, nil).want(204)
	d.admin().do("GET", path, nil).wantProblem(404, "missing", "")
	if left, _ := d.Secrets.List(t.Context(), "accounts/whatsapp/second/"); len(left) != 0 {
		t.Errorf("secrets stay behind: %d", len(left))
	}
}

func TestASecretRotatesWithoutAGap(t *testing.T) {
	t.Parallel()
	d := setup(t)
	path := "/api/v1/accounts/whatsapp/main"
	values := func() []string {
		v, _ := d.Secrets.Get(t.Context(), "accounts/whatsapp/main/app_secret")
		return v
	}
	for _, step := range []struct {
		value string
		want  []string
	}{{"one", []string{"one"}}, {"two", []string{"two", "one"}}, {"two", []string{"two", "one"}}, {"three", []string{"three", "two"}}, {"", nil}} {
		d.admin().do("PUT", path, map[string]any{"secrets": map[string]string{"app_secret": step.value}}).want(200)
		if !slices.Equal(values(), step.want) {
			t.Fatalf("after %q the values are %v, want %v", step.value, values(), step.want)
		}
	}
}

func TestPointingAnAccountElsewhereClearsItsSecrets(t *testing.T) {
	t.Parallel()
	d := setup(t)
	path := "/api/v1/accounts/whatsapp/main"
	d.admin().do("PUT", path, map[string]any{"secrets": map[string]string{"access_token": "precious"}}).want(200)
	moved := d.admin().do("PUT", path, map[string]any{"settings": map[string]string{"phone_number_id": "1055", "api_base": "https://elsewhere.example"}}).want(200)
	if len(moved.at("secrets_set").([]any)) != 0 {
		t.Fatalf("%s", moved.raw)
	}
	if left, _ := d.Secrets.List(t.Context(), "accounts/whatsapp/main/"); len(left) != 0 {
		t.Fatalf("the secret is still there: %v", left)
	}
}

func TestSettingsAreHeldToWhatTheChannelDeclares(t *testing.T) {
	t.Parallel()
	d := setup(t)
	path := "/api/v1/accounts/whatsapp/main"
	for _, test := range []struct {
		body  map[string]any
		field string
	}{
		{map[string]any{"settings": map[string]string{"colour": "red"}}, "settings.colour"},
		{map[string]any{"settings": map[string]string{}}, "settings.phone_number_id"},
		{map[string]any{"settings": map[string]string{"phone_number_id": "1055", "app_secret": "x"}}, "settings.app_secret"},
		{map[string]any{"settings": map[string]string{"phone_number_id": "1055", "api_base": "file:///etc/passwd"}}, "settings.api_base"},
		{map[string]any{"settings": map[string]string{"phone_number_id": "1055", "api_base": "https://user:pw@host.example"}}, "settings.api_base"},
		{map[string]any{"secrets": map[string]string{"phone_number_id": "x"}}, "secrets.phone_number_id"},
		{map[string]any{"secrets": map[string]string{"app_secret": "env:HOME"}}, "secrets.app_secret"},
		{map[string]any{"secrets": map[string]string{"app_secret": "file:/etc/passwd"}}, "secrets.app_secret"},
		{map[string]any{"team": "Sales Team"}, "team"},
	} {
		d.admin().do("PUT", path, test.body).wantProblem(400, "invalid", test.field)
	}
	d.admin().do("PUT", "/api/v1/accounts/pigeon/main", map[string]any{}).wantProblem(404, "missing", "")
	must(t, d.Store.PutAccount(t.Context(), store.Connected{Channel: "whatsapp", Account: "fixed", Declared: true}))
	d.admin().do("PUT", "/api/v1/accounts/whatsapp/fixed", map[string]any{"team": "sales"}).wantProblem(409, "declared", "")
	d.admin().do("DELETE", "/api/v1/accounts/whatsapp/fixed", nil).wantProblem(409, "declared", "")
}

func TestChannelsTellWhatAnAccountOfThemNeeds(t *testing.T) {
	t.Parallel()
	d := setup(t)
	all := d.user("aino", auth.Agent).do("GET", "/api/v1/channels", nil).want(200)
	if len(all.items()) < 3 || !strings.Contains(string(all.raw), `"phone_number_id"`) {
		t.Fatalf("%s", all.raw)
	}
}

func TestQuarantinedInputIsShownWithoutItsRawFormWhenThatIsGone(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id, err := d.Store.Quarantine(t.Context(), store.Quarantined{
		Channel: "whatsapp", Account: "main", Cause: "malformed", Detail: "entry: it is missing", Envelope: "env1", ReceivedAt: d.Store.Now(), Size: 21,
	}, 0)
	must(t, err)
	one := d.admin().do("GET", "/api/v1/quarantine/"+id, nil).want(200)
	if raw, there := one.body["raw"]; there {
		t.Errorf("its raw form is %v", raw)
	}
}

func TestARefusalShowsWithItsReason(t *testing.T) {
	t.Parallel()
	d := setup(t)
	must(t, d.Store.NoteRefusal(t.Context(), "whatsapp", "main", "the signature is wrong"))
	d.Write("whatsapp", "main", "358401234567", "Hei")
	a := d.admin().do("GET", "/api/v1/accounts/whatsapp/main", nil).want(200)
	if a.text("last_refusal.reason") != "the signature is wrong" || a.at("last_delivery") == nil {
		t.Fatalf("%s", a.raw)
	}
}

func TestQuarantineShowsItsCauseItsRawFormAndIsReplayed(t *testing.T) {
	t.Parallel()
	d := setup(t)
	id := d.quarantine("malformed")
	lead := d.user("eero", auth.Lead, "sales")
	list := lead.do("GET", "/api/v1/quarantine", nil).want(200)
	if list.text("items.0.id") != id || list.text("items.0.cause") != "malformed" || list.at("items.0").(map[string]any)["raw"] != nil {
		t.Fatalf("%s", list.raw)
	}
	if one := lead.do("GET", "/api/v1/quarantine/"+id, nil).want(200); one.text("raw") != "eyJvYmplY3QiOiJub25zZW5zZSJ9" {
		t.Fatalf("%s", one.raw)
	}
	lead.do("POST", "/api/v1/quarantine/"+id+"/replay", nil).want(202)
	queues := lead.do("GET", "/api/v1/queues", nil).want(200)
	ready := 0.0
	for _, q := range queues.items() {
		if one := q.(map[string]any); one["queue"] == "inbound" {
			ready = one["ready"].(float64)
		}
	}
	if ready != 1 {
		t.Fatalf("%s", queues.raw)
	}
	if list := lead.do("GET", "/api/v1/quarantine", nil).want(200).items(); len(list) != 0 {
		t.Fatalf("it is still there: %v", list)
	}
	if list := lead.do("GET", "/api/v1/quarantine?replayed=true", nil).want(200).items(); len(list) != 1 {
		t.Fatalf("%v", list)
	}
}

func TestReconciliationComesOutEven(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.Write("whatsapp", "main", "358401234567", "Hei")
	d.Write("whatsapp", "main", "358401234567", "Hei") // the same again
	d.quarantine("malformed")
	must(t, d.Pipeline.Accept(t.Context(), &channel.Envelope{ID: "e1", Channel: "whatsapp", Account: "main", ReceivedAt: d.Store.Now()}, d.Queues["inbound"]))
	all := d.admin().do("GET", "/api/v1/reconciliation", nil).want(200)
	for _, item := range all.items() {
		l := item.(map[string]any)
		if l["channel"] != "whatsapp" || l["account"] != "main" {
			continue
		}
		e := l["envelopes"].(map[string]any)
		if l["received"] != 3.0 || l["stored"] != 1.0 || l["duplicate"] != 1.0 || l["quarantined"] != 1.0 || e["accepted"] != 1.0 || e["queued"] != 1.0 || l["balanced"] != true {
			t.Fatalf("%s", all.raw)
		}
		if all.at("complete") != false {
			t.Error("complete, although an envelope is in the queue")
		}
		return
	}
	t.Fatalf("the account is missing: %s", all.raw)
}

func TestDeadLettersComeBackAndEffectsAreRepeated(t *testing.T) {
	t.Parallel()
	d := setup(t)
	d.Write("whatsapp", "main", "358401234567", "Hei")
	if a := d.admin().do("POST", "/api/v1/queues/inbound/redrive", nil).want(202); a.at("moved") != 0.0 {
		t.Fatalf("%s", a.raw)
	}
	d.admin().do("POST", "/api/v1/queues/other/redrive", nil).wantProblem(400, "invalid", "path.queue")
	if a := d.admin().do("POST", "/api/v1/react", map[string]any{"since": "2026-11-22T00:00:00Z"}).want(202); a.at("changes") != 1.0 {
		t.Fatalf("%s", a.raw)
	}
}

func TestHealthSaysWhetherTheStoreTakesWritesAndNothingElse(t *testing.T) {
	t.Parallel()
	d := setup(t)
	if a := d.anonymous().do("GET", "/healthz", nil).want(200); a.text("status") != "ok" || len(a.body) != 1 {
		t.Fatalf("%s", a.raw)
	}
}
