package local

import (
	"context"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/client"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/timeline"
)

const demoPassword = "correct horse battery"

// setUp goes through the one-time link that a new desk prints, and asks for the demonstration.
func setUp(t *testing.T, printed, address string) {
	t.Helper()
	link := regexp.MustCompile(`http://\S+/setup/\S+`).FindString(printed)
	if link == "" {
		t.Fatalf("no link in %q", printed)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, link, strings.NewReader(url.Values{
		"password": {demoPassword}, "again": {demoPassword}, "demo": {"on"},
	}.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", address)
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusSeeOther {
		t.Fatalf("setting up answered with status %d", response.StatusCode)
	}
}

// entries are everybody's entries, oldest first.
func (d *desk) entries(who *client.Client) []*timeline.Entry {
	d.t.Helper()
	found, err := who.FindCustomers(d.t.Context(), "358401234567")
	if err != nil {
		d.t.Fatal(err)
	}
	if len(found.Value.Items) == 0 {
		return nil
	}
	page, err := who.Timeline(d.t.Context(), found.Value.Items[0].Customer, "", "", 200)
	if err != nil {
		d.t.Fatal(err)
	}
	return page.Value.Items
}

// conversation is the story of the set-up page: she has written, the agent answers, she answers back.
func (d *desk) conversation(before int, text, answer string) {
	d.t.Helper()
	who, err := client.New(client.Options{Server: "http://" + d.server.HTTPAddr()})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := who.SignIn(d.t.Context(), "admin", demoPassword); err != nil {
		d.t.Fatal(err)
	}
	until(d.t, "she has written", func() bool { return len(d.entries(who)) >= before })
	work, err := who.Cases(d.t.Context(), client.CaseQuery{})
	if err != nil || len(work.Value.Items) != 1 {
		d.t.Fatalf("the work list: %v, %+v", err, work)
	}
	made, err := who.Reply(d.t.Context(), work.Value.Items[0].Reference, "", client.Reply{Text: text})
	if err != nil {
		d.t.Fatal(err)
	}
	until(d.t, "the answer is read, and she has answered back", func() bool {
		read, back := false, false
		for _, e := range d.entries(who) {
			read = read || e.Entry == made.Value.Entry && e.State == msg.Read
			back = back || e.Direction == msg.In && e.Message.Text == answer
		}
		return read && back
	})
	until(d.t, "her picture is here", func() bool {
		for _, e := range d.entries(who) {
			for _, p := range e.Message.Parts {
				if p.Media != nil && p.Media.State == msg.MediaStored {
					return true
				}
			}
		}
		return false
	})
}

func TestTheDemonstrationAccountTalksWithoutPrivateAddressesAndAfterARestart(t *testing.T) {
	t.Parallel()
	w, data := newWorld(t), filepath.Join(t.TempDir(), "desk")
	out := new(said)
	strict := func(o *Options) {
		o.AllowPrivate, o.Token, o.AdminPassword, o.Out, o.Config = false, "", "", out, ""
	}
	d := w.open(t, data, strict)
	until(t, "the link is printed", func() bool { return strings.Contains(out.String(), "/setup/") })
	setUp(t, out.String(), "http://"+d.server.HTTPAddr())
	d.conversation(2, "Hei Maija, lähetämme uuden.", "Kiitos nopeasta vastauksesta! 👍")
	d.end()
	checked(t, data)
	d = w.open(t, data, strict)
	d.conversation(4, "Onko uusi lamppu kunnossa?", "Joo, lähetän kuvan heti kun pääsen kotiin.")
	d.end()
	checked(t, data)
}

func TestADeskWithoutTheDemonstrationCallsNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.open(t, filepath.Join(t.TempDir(), "desk"))
	if err := d.server.resumeDemo(context.Background()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.server.demo.started:
		t.Error("its customer was woken")
	default:
	}
}
