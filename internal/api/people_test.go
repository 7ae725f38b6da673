package api_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/store"
)

func TestTwoCustomersBecomeOnePersonAndTwoAgain(t *testing.T) {
	t.Parallel()
	d := setup(t)
	aino := d.user("aino", auth.Agent, "sales")
	_, _, a := d.Write("whatsapp", "main", "358401234567", "Hei")
	_, _, b := d.Write("email", "main", "maija@mail.example", "Sama asia")
	merge := aino.do("POST", "/api/v1/merges", map[string]any{"customers": []string{a, b}}).want(201)
	if merge.text("by") != "aino" {
		t.Fatalf("%s", merge.raw)
	}
	for _, one := range []string{a, b} {
		if n := len(aino.do("GET", "/api/v1/customers/"+one+"/timeline", nil).want(200).items()); n != 2 {
			t.Fatalf("merged, the timeline of %s has %d entries", one, n)
		}
		person := aino.do("GET", "/api/v1/customers/"+one, nil).want(200)
		if len(person.at("identities").([]any)) != 2 || len(person.at("cases").([]any)) != 2 || person.text("merges.0.merge") != merge.text("merge") {
			t.Fatalf("%s", person.raw)
		}
	}
	d.admin().do("DELETE", "/api/v1/customers/"+a, nil).wantProblem(409, "merged", "")
	for range 2 {
		aino.do("DELETE", "/api/v1/merges/"+merge.text("merge"), nil).want(204)
	}
	if n := len(aino.do("GET", "/api/v1/customers/"+a+"/timeline", nil).want(200).items()); n != 1 {
		t.Fatalf("taken back, the timeline has %d entries", n)
	}
}

func TestACustomerIsFoundByAnyAddressHoweverItIsSpelled(t *testing.T) {
	t.Parallel()
	d := setup(t)
	_, _, phone := d.Write("whatsapp", "main", "358401234567", "Hei")
	_, _, mail := d.Write("email", "main", "maija@mail.example", "Hei")
	for address, want := range map[string]string{
		"358401234567": phone, "+358 40 123-4567": phone, "whatsapp.phone:358401234567": phone, "whatsapp.phone:+358401234567": phone,
		"maija@mail.example": mail, "email:Maija@Mail.Example": mail,
	} {
		found := d.admin().do("GET", "/api/v1/customers"+q("address", address), nil).want(200)
		if len(found.items()) != 1 || found.text("items.0.customer") != want {
			t.Errorf("%s: %s", address, found.raw)
		}
	}
	for _, address := range []string{"email:358401234567", "nobody@mail.example", "email.unverified:maija@mail.example", "kind:x"} {
		if found := d.admin().do("GET", "/api/v1/customers"+q("address", address), nil).want(200).items(); len(found) != 0 {
			t.Errorf("%s: %v", address, found)
		}
	}
}

func TestAnErasedPersonIsGoneAndTheNextMessageIsAStrangers(t *testing.T) {
	t.Parallel()
	d := setup(t)
	entry, id, customer := d.Write("whatsapp", "main", "358401234567", "Hei")
	export := d.admin().do("GET", "/api/v1/customers/"+customer+"/export", nil).want(200)
	if !strings.Contains(export.header.Get("Content-Disposition"), "attachment") || !strings.Contains(string(export.raw), `"Hei"`) {
		t.Fatalf("%s", export.raw)
	}
	d.admin().do("DELETE", "/api/v1/customers/"+customer, nil).want(202)
	for _, path := range []string{"/api/v1/customers/" + customer, "/api/v1/customers/" + customer + "/timeline", "/api/v1/cases/" + id, "/api/v1/entries/" + entry} {
		d.admin().do("GET", path, nil).wantProblem(404, "missing", "")
	}
	if _, _, next := d.Write("whatsapp", "main", "358401234567", "Hei taas"); next == customer {
		t.Fatal("the erased customer is back")
	}
}

// picture stores a file and an entry that holds it.
func (d *desk) picture(team, kind, name string) (media string) {
	d.t.Helper()
	key := "media/" + strings.Repeat("a", 16) + "/" + strings.NewReplacer("/", "-", "+", "-").Replace(kind+"x")
	_, err := d.Blobs.Put(d.t.Context(), key, strings.NewReader("<script>bytes"), blob.PutOptions{Type: kind})
	must(d.t, err)
	d.Clock.Pass(time.Second)
	now := d.Store.Now()
	out, err := d.Store.Record(d.t.Context(), []store.Incoming{{
		Event: msg.Event{
			Channel: "whatsapp", Account: "main", ID: "m" + name + kind, Kind: msg.KindMessage, Time: now, Direction: msg.In,
			From: msg.Address{Kind: "whatsapp.phone", Value: "358407777777"}, Thread: "t" + team,
			Message: &msg.Message{Parts: []msg.Part{{Kind: msg.PartFile, Media: &msg.Media{
				ID: "1", URL: "https://provider.example/bot-secret/file", Type: kind, Name: name, State: msg.MediaStored, Key: key,
			}}}},
		},
		Scope: "main", ReceivedAt: now, Rules: store.Rules{Team: team, Identities: []string{"whatsapp.phone"}},
	}})
	must(d.t, err)
	e := d.admin().do("GET", "/api/v1/entries/"+out[0].Entry, nil).want(200)
	if strings.Contains(string(e.raw), "bot-secret") || strings.Contains(string(e.raw), key) {
		d.t.Fatalf("the entry tells where the file lies: %s", e.raw)
	}
	return e.text("message.parts.0.media.url")
}

func TestAFileIsALinkOfAMinuteToWhoeverMaySeeIt(t *testing.T) {
	t.Parallel()
	d := setup(t)
	url := d.picture("sales", "image/png", "kuva.png")
	aino := d.user("aino", auth.Agent, "sales")
	link := aino.do("GET", url, nil).want(302).header.Get("Location")
	if got := d.file(link); got.Header.Get("Content-Type") != "image/png" || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "inline") {
		t.Fatalf("%v", got.Header)
	}
	d.Clock.Pass(2 * time.Minute)
	if got := d.file(link); got.StatusCode == http.StatusOK {
		t.Fatal("the link still works after two minutes")
	}
}

func TestFault34_WhatABrowserCouldRunComesAsAnAttachment(t *testing.T) {
	t.Parallel()
	d := setup(t)
	for _, kind := range []string{"text/html", "image/svg+xml", "application/pdf", "text/xml", ""} {
		link := d.admin().do("GET", d.picture("sales", kind, "a\r\n\"b\".html"), nil).want(302).header.Get("Location")
		got := d.file(link)
		if got.Header.Get("Content-Type") != "application/octet-stream" || !strings.HasPrefix(got.Header.Get("Content-Disposition"), "attachment") {
			t.Errorf("%s: %v", kind, got.Header)
		}
	}
}

func TestFault36_AFileOfAnotherCaseOrPartLooksMissing(t *testing.T) {
	t.Parallel()
	d := setup(t)
	url := d.picture("sales", "image/png", "kuva.png")
	stranger := d.user("stranger", auth.Agent, "billing")
	stranger.do("GET", url, nil).wantProblem(404, "missing", "")
	d.anonymous().do("GET", url, nil).wantProblem(401, "unauthenticated", "")
	for _, other := range []string{strings.TrimSuffix(url, "0") + "1", strings.TrimSuffix(url, "0") + "9999", url + "?size=thumbnail"} {
		d.admin().do("GET", other, nil).wantProblem(404, "missing", "")
	}
	d.admin().do("GET", strings.TrimSuffix(url, ".0"), nil).wantProblem(400, "invalid", "path.id")
}

// file fetches what a link gives.
func (d *desk) file(link string) *http.Response {
	d.t.Helper()
	server := d.files()
	u, err := url.Parse(link)
	must(d.t, err)
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, server+u.RequestURI(), nil)
	must(d.t, err)
	resp, err := http.DefaultClient.Do(r)
	must(d.t, err)
	body, err := io.ReadAll(resp.Body)
	must(d.t, err)
	must(d.t, resp.Body.Close())
	if resp.StatusCode == http.StatusOK && !bytes.Equal(body, []byte("<script>bytes")) {
		d.t.Fatalf("the file holds %q", body)
	}
	return resp
}
