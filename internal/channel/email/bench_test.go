package email

import (
	"strings"
	"testing"

	"github.com/aikajana/aikajana/internal/channel"
)

// BenchmarkParse reads mails of about 10 KB as people and their programs send them. Aim: 2,000 a second on one core, which
// is 500 µs each.
func BenchmarkParse(b *testing.B) {
	sentence := "Hyvää päivää, tilasin teiltä viime viikolla keittiön pöydän, ja nyt siitä puuttuu yksi jalka. "
	text := strings.Repeat(strings.Repeat(sentence, 4)+"\n\n", 11)
	quoted := strings.Repeat("> "+sentence+"\n", 40)
	page := "<html><head><style>p{margin:0}</style></head><body><div>" + strings.Repeat("<p class=\"MsoNormal\"><span style=\"font-size:11pt\">"+sentence+"</span><a href=\"https://shop.example/x\">linkki</a></p>\n", 55) + "</div></body></html>"
	for name, raw := range map[string]string{
		"plain": top + "Content-Type: text/plain; charset=utf-8\n\n" + strings.Repeat(text, 2),
		"reply": top + "In-Reply-To: <r1@desk.example>\nContent-Type: text/plain; charset=utf-8\n\n" + text + "su 22. marrask. 2026 klo 9.30 Desk (help@desk.example) kirjoitti:\n\n" + quoted,
		"html":  top + "Content-Type: text/html; charset=utf-8\n\n" + page,
		"alternative": top + "In-Reply-To: <r1@desk.example>\nContent-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n" + text[:len(text)/3] +
			"\n--b\nContent-Type: text/html; charset=utf-8\n\n" + page[:len(page)*2/3] + "\n--b--\n",
		"attachment": top + "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n" + text[:len(text)/4] +
			"\n--b\nContent-Type: image/jpeg; name=a.jpg\nContent-Transfer-Encoding: base64\n\n" + strings.Repeat(strings.Repeat("QUJD", 19)+"\n", 100) + "--b--\n",
		"bounce": "Return-Path: <>\nFrom: MAILER-DAEMON@mx.example\nSubject: failure notice\n\nI wasn't able to deliver your message to the following addresses.\n\n<a@world.example>:\n550 5.1.1 unknown user\n\n--- Below this line is a copy of the message.\n\nReceived: from x\nMessage-ID: <r1@desk.example>\nTo: a@world.example\n\n" + text,
	} {
		env := channel.Envelope{Channel: "email", Account: "main", Body: []byte(raw), Settings: map[string]string{"address": "help@desk.example"}}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if events, err := (Adapter{}).Parse(env); err != nil || len(events) == 0 {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
		})
	}
}
