package email

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"mime"
	netmail "net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/smtprelay"
)

var rewrite = flag.Bool("rewrite-outgoing", false, "rewrite testdata/outgoing")

// postbox keeps what it is given.
type postbox struct {
	from, tag string
	to        []string
	raw       []byte
	id        string
	err       error
}

func (p *postbox) SendMail(_ context.Context, from string, to []string, raw []byte, tag string) (string, error) {
	p.from, p.to, p.raw, p.tag = from, to, raw, tag
	return p.id, p.err
}

func desk() *channel.Account {
	return &channel.Account{Channel: "email", ID: "main", Settings: map[string]string{"address": "help@desk.example, info@desk.example"}}
}

func answer() msg.Outbound {
	return msg.Outbound{
		Entry: "7f3a", Attempt: 1, To: msg.Address{Kind: KindEmail, Value: "maija@world.example", Name: "Maija"},
		Text: "Hei Maija,\n\nkatson heti.\n", Subject: "Se on rikki", MessageID: "r7f3a@desk.example",
		References: []string{"1@world.example", "2@world.example"}, ReplyAddress: "help+r.abc234@desk.example",
		Reference: "R-2041", SenderName: "Aino, Desk", Time: msg.TimeOf(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)),
	}
}

func sent(t testing.TB, account *channel.Account, out msg.Outbound) *postbox {
	t.Helper()
	p := &postbox{}
	if _, err := (Adapter{}).Send(context.Background(), channel.Conn{Account: account, Mail: p}, out); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposedMailIsAsItWas(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*msg.Outbound, *channel.Account){
		"answer": func(*msg.Outbound, *channel.Account) {},
		"first":  func(o *msg.Outbound, _ *channel.Account) { o.References, o.ReplyAddress, o.SenderName = nil, "", "" },
		"automatic": func(o *msg.Outbound, a *channel.Account) {
			o.Automatic, o.SenderName = true, ""
			a.Settings["sender_name"] = "Asiakaspalvelu"
			a.Settings["signature"] = "Desk Oy\nwww.desk.example"
		},
		"finnish": func(o *msg.Outbound, _ *channel.Account) {
			o.Subject = "VS: Re: Häiriö laskutuksessa – ja päälle vielä yksi hyvin pitkä otsikko, joka ei mahdu yhdelle riville 😀"
			o.SenderName = "Äijö Öhman"
			o.Text = "Hei,\n\n" + strings.Repeat("pitkä kappale ilman rivinvaihtoja ", 10) + "\n\n.\nFrom tässä = 100 %  \n"
			o.To.Value = "maija@häkki.example"
		},
		"long_thread": func(o *msg.Outbound, _ *channel.Account) {
			o.References = nil
			for i := range 60 {
				o.References = append(o.References, strings.Repeat("x", 30)+string(rune('a'+i%26))+"@world.example")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, account := answer(), desk()
			change(&out, account)
			p := sent(t, account, out)
			checkWire(t, p.raw)
			got := "Envelope: " + p.from + " -> " + strings.Join(p.to, ",") + " tag " + p.tag + "\n" + strings.ReplaceAll(string(p.raw), "\r\n", "\n")
			file := filepath.Join("testdata", "outgoing", name+".golden")
			if *rewrite {
				if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file) //nolint:gosec // a test's own file
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// checkWire holds every mail to RFC 5322: CRLF only, lines of at most 998 bytes (78 in all we compose but for single
// words), ASCII, and a header that the standard library reads.
func checkWire(t testing.TB, raw []byte) {
	t.Helper()
	if bytes.Contains(bytes.ReplaceAll(raw, []byte("\r\n"), nil), []byte("\n")) || bytes.Contains(bytes.ReplaceAll(raw, []byte("\r\n"), nil), []byte("\r")) {
		t.Errorf("a bare CR or LF: %q", raw)
	}
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if len(line) > 998 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	for _, c := range raw {
		if c >= 0x80 {
			t.Errorf("a byte outside ASCII: %q", raw)
			break
		}
	}
	if _, err := netmail.ReadMessage(bytes.NewReader(raw)); err != nil {
		t.Errorf("the header cannot be read: %v", err)
	}
}

func TestWhatIsWrittenIsWhatIsRead(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"Hei!", "Yksi\n\nKaksi\n\n\nKolme", "ä ö å € 😀 \u00a0x", "  alussa tyhjää", "From the start\n.\n..\n...", "a=3D b=\n=",
		strings.Repeat("pitkä rivi ", 200), "tab\there", "rivi jonka lopussa on tyhjää   \nseuraava",
	} {
		out := answer()
		out.Text, out.Subject = text, "Häiriö: «lasku» "+strings.Repeat("ä", 60)
		p := sent(t, desk(), out)
		events, err := Adapter{}.Parse(channel.Envelope{ID: "e1", Channel: "email", Account: "main", Body: p.raw, Settings: map[string]string{}})
		if err != nil || len(events) != 1 || events[0].Message == nil {
			t.Fatalf("%q: %v %v", text, events, err)
		}
		m := events[0].Message
		if lines(m.FullText) != lines(text) {
			t.Errorf("wrote %q, read %q", text, m.FullText)
		}
		if m.Subject != "Re: "+strings.TrimSpace(out.Subject)+" [R-2041]" {
			t.Errorf("subject %q", m.Subject)
		}
		if m.MessageID != out.MessageID || m.InReplyTo != "2@world.example" || len(m.References) != 2 {
			t.Errorf("thread: %q %q %q", m.MessageID, m.InReplyTo, m.References)
		}
		if e := events[0]; e.From.Value != "help@desk.example" || e.From.Name != "Aino, Desk" {
			t.Errorf("from %+v", e.From)
		}
	}
}

// lines drops what nobody sees: blanks at line ends, repeated blank lines.
func lines(s string) string {
	var all []string
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimRight(strings.ReplaceAll(line, "\u00a0", " "), " "); line != "" || len(all) > 0 && all[len(all)-1] != "" {
			all = append(all, line)
		}
	}
	return strings.TrimSpace(strings.Join(all, "\n"))
}

func TestFault40_LineBreaksNeverLeaveTheirHeader(t *testing.T) {
	t.Parallel()
	const evil = "x\r\nBcc: victim@elsewhere.example\r\n\r\nbody\n\rX-Evil: 1\x00\u2028"
	for name, change := range map[string]func(*msg.Outbound, *channel.Account){
		"subject":   func(o *msg.Outbound, _ *channel.Account) { o.Subject = evil },
		"name":      func(o *msg.Outbound, _ *channel.Account) { o.SenderName = evil },
		"setting":   func(o *msg.Outbound, a *channel.Account) { o.SenderName, a.Settings["sender_name"] = "", evil },
		"reference": func(o *msg.Outbound, _ *channel.Account) { o.Reference = evil },
		"references": func(o *msg.Outbound, _ *channel.Account) {
			o.References = []string{"a@b", evil, "c>\r\nBcc: <victim@x"}
		},
		"message ID": func(o *msg.Outbound, _ *channel.Account) { o.MessageID = evil },
		"entry":      func(o *msg.Outbound, _ *channel.Account) { o.Entry = evil },
		"customer":   func(o *msg.Outbound, _ *channel.Account) { o.To.Name = evil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, account := answer(), desk()
			change(&out, account)
			raw := sent(t, account, out).raw
			checkWire(t, raw)
			m, err := netmail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if m.Header.Get("Bcc") != "" || m.Header.Get("X-Evil") != "" || m.Header.Get("Content-Type") == "" {
				t.Errorf("header: %v", m.Header)
			}
		})
	}
	for name, change := range map[string]func(*msg.Outbound, *channel.Account){
		"to":      func(o *msg.Outbound, _ *channel.Account) { o.To.Value = "a@b.example>\r\nRCPT TO:<victim@x" },
		"to two":  func(o *msg.Outbound, _ *channel.Account) { o.To.Value = "a@b.example,victim@x.example" },
		"replyTo": func(o *msg.Outbound, _ *channel.Account) { o.ReplyAddress = "a@b.example\r\nBcc: victim@x.example" },
		"from": func(_ *msg.Outbound, a *channel.Account) {
			a.Settings["address"] = "a@b.example\r\nBcc: victim@x.example"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, account := answer(), desk()
			change(&out, account)
			p := &postbox{}
			_, err := Adapter{}.Send(context.Background(), channel.Conn{Account: account, Mail: p}, out)
			if fault.Of(err) != fault.Permanent || fault.Code(err) != "address" || p.raw != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestFault40_TheLastGateBeforeTheHeaderLetsNoLineBreakThrough(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	writeField(&b, "X-Test", []string{"a\r\nBcc: b", "c\nd", "e\rf\x00\u0085"})
	if got := b.String(); got != "X-Test: aBcc: b cd ef\r\n" {
		t.Errorf("%q", got)
	}
	for _, id := range []string{"", "a>b@c", "<a@b", "a b@c", "a@b\r\n", "ä@b", strings.Repeat("x", 300)} {
		if isMessageID(id) {
			t.Errorf("%q is taken for a Message-ID", id)
		}
	}
}

func TestSubjectSaysReOnceAndNamesTheCaseOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		subject, reference, want string
		answer                   bool
	}{
		{"Rikki", "R-1", "Re: Rikki [R-1]", true}, {"Re: VS: re : Rikki", "R-1", "Re: Rikki [R-1]", true},
		{"Rikki [R-1]", "R-1", "Re: Rikki [R-1]", true}, {"Rikki", "R-1", "Rikki [R-1]", false}, {"", "R-1", "[R-1]", false},
		{"Resepti: uusi", "", "Resepti: uusi", false}, {"", "", "Re: ", true},
		{strings.Repeat("ä", 300), "", strings.Repeat("ä", 250) + "…", false},
	} {
		if got := sentSubject(c.subject, c.reference, c.answer); got != c.want {
			t.Errorf("%q: %q, want %q", c.subject, got, c.want)
		}
	}
}

func TestAnAutomaticMailKeepsItsSubjectAndItsThread(t *testing.T) {
	t.Parallel()
	out := answer()
	out.Automatic, out.Subject = true, "Viestisi on perillä ("+out.Reference+")"
	p := sent(t, desk(), out)
	m, err := netmail.ReadMessage(bytes.NewReader(p.raw))
	if err != nil {
		t.Fatal(err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil || subject != out.Subject {
		t.Errorf("subject %q, %v", subject, err)
	}
	if m.Header.Get("Auto-Submitted") != "auto-replied" || m.Header.Get("In-Reply-To") != "<2@world.example>" || m.Header.Get("References") == "" {
		t.Errorf("header: %v", m.Header)
	}
}

func TestWhoTheMailComesFromInTheEnvelope(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply     string
		automatic bool
		want      string
	}{
		{"help+r.abc@desk.example", false, "help+r.abc@desk.example"}, {"", false, "help@desk.example"},
		{"r.abc@replies.elsewhere.example", false, "help@desk.example"}, {"help+r.abc@desk.example", true, ""},
	} {
		out := answer()
		out.ReplyAddress, out.Automatic = c.reply, c.automatic
		if got := sent(t, desk(), out).from; got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

func TestTheReceiptNamesTheMessageIDUnderWhichTheMailLeft(t *testing.T) {
	t.Parallel()
	for give, want := range map[string]string{"": "r7f3a@desk.example", "0102@eu-west-1.amazonses.com": "0102@eu-west-1.amazonses.com"} {
		r, err := Adapter{}.Send(context.Background(), channel.Conn{Account: desk(), Mail: &postbox{id: give}}, answer())
		if err != nil || r.Of != want || r.MessageID != want || r.State != msg.Accepted {
			t.Errorf("%+v %v", r, err)
		}
	}
}

func TestTheMailersDispositionComesThrough(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Permanent, fault.Retry, fault.Uncertain} {
		p := &postbox{err: &fault.Error{Kind: kind, Code: "x", Err: errors.New("no")}}
		if _, err := (Adapter{}).Send(context.Background(), channel.Conn{Account: desk(), Mail: p}, answer()); fault.Of(err) != kind || fault.Code(err) != "x" {
			t.Errorf("%v", err)
		}
	}
	for code, change := range map[string]func(*msg.Outbound){
		"empty":    func(o *msg.Outbound) { o.Text = " \n" },
		"too_long": func(o *msg.Outbound) { o.Text = strings.Repeat("å", 100_001) },
		"address":  func(o *msg.Outbound) { o.To.Value = "nobody" },
	} {
		out := answer()
		change(&out)
		p := &postbox{}
		if _, err := (Adapter{}).Send(context.Background(), channel.Conn{Account: desk(), Mail: p}, out); fault.Code(err) != code || p.raw != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestAnAnswerReachesTheWorldOverARelayAndItsBounceNamesTheEntry(t *testing.T) {
	t.Parallel()
	world, err := fake.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := world.Close(); err != nil {
			t.Error(err)
		}
	}()
	relay, err := smtprelay.New(smtprelay.Options{Addr: world.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = relay.Close() }()
	if _, err := (Adapter{}).Send(context.Background(), channel.Conn{Account: desk(), Mail: relay}, answer()); err != nil {
		t.Fatal(err)
	}
	m, err := world.Await(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if m.Sender != "help+r.abc234@desk.example" || m.EnvelopeID != "7f3a" || m.Header(TagHeader) != "7f3a" {
		t.Errorf("%+v", m)
	}
	bounce := fake.Bounce(m, "failed", "5.1.1", "550 5.1.1 nobody", "b1@mx.world.example", time.Unix(1_800_000_000, 0))
	raw, err := bounce.Bytes()
	if err != nil || !bytes.Contains(raw, []byte(TagHeader+": 7f3a")) || !bytes.Contains(raw, []byte("Original-Envelope-Id: 7f3a")) {
		t.Errorf("%v %s", err, raw)
	}
}

// BenchmarkSend is one answer composed and handed to a relay on this machine, over a kept connection.
func BenchmarkSend(b *testing.B) {
	world, err := fake.Open()
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = world.Close() }()
	relay, err := smtprelay.New(smtprelay.Options{Addr: world.Addr()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = relay.Close() }()
	conn, out := channel.Conn{Account: desk(), Mail: relay}, answer()
	for b.Loop() {
		if _, err := (Adapter{}).Send(context.Background(), conn, out); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzCompose(f *testing.F) {
	f.Add("Re: häiriö", "Aino", "Hei\n.\n", "1@a", "R-1")
	f.Add("=?utf-8?q?x?=", "\"a\\", "\x00\xff", "a b\r\n", "")
	f.Add(strings.Repeat("x", 2000), strings.Repeat("ä", 300), "\r\r\n", ">", "\r\n")
	f.Fuzz(func(t *testing.T, subject, name, text, id, reference string) {
		out := answer()
		out.Subject, out.SenderName, out.Text, out.MessageID, out.Reference, out.References = subject, name, text, id, reference, []string{id}
		p := &postbox{}
		if _, err := (Adapter{}).Send(context.Background(), channel.Conn{Account: desk(), Mail: p}, out); err != nil {
			if fault.Of(err) != fault.Permanent {
				t.Fatal(err)
			}
			return
		}
		checkWire(t, p.raw)
	})
}
