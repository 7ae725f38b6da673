package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/email"
)

// mails measures how many mails of 10 KB are parsed for each second of processor time: the shapes that people and their
// programs send. The benchmark of package email has more of them.
func (r *run) mails(context.Context) error {
	sentence := "Hyvää päivää, tilasin teiltä viime viikolla keittiön pöydän, ja nyt siitä puuttuu yksi jalka. "
	text := strings.Repeat(strings.Repeat(sentence, 4)+"\n\n", 11)
	quoted := strings.Repeat("> "+sentence+"\n", 50)
	paragraph := "<p class=\"MsoNormal\"><span style=\"font-size:11pt\">" + sentence + "</span></p>\n"
	top := "From: Maija <maija@mail.example>\nTo: help@desk.example\nSubject: =?utf-8?q?P=C3=B6yt=C3=A4?=\n" +
		"Message-ID: <m1@mail.example>\nDate: Sun, 22 Nov 2026 10:00:00 +0200\nMIME-Version: 1.0\n"
	shapes := []struct{ name, raw string }{
		{"text", top + "Content-Type: text/plain; charset=utf-8\n\n" + text + text},
		{"text with a quotation", top + "In-Reply-To: <r1@desk.example>\nContent-Type: text/plain; charset=utf-8\n\n" + text +
			"su 22. marrask. 2026 klo 9.30 Desk (help@desk.example) kirjoitti:\n\n" + quoted},
		{"HTML and text", top + "Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n" + text[:len(text)/3] +
			"\n--b\nContent-Type: text/html; charset=utf-8\n\n<html><body>" + strings.Repeat(paragraph, 50) + "</body></html>\n--b--\n"},
	}
	r.say("\n## Mails parsed for each second of processor time\n")
	for _, shape := range shapes {
		envelope := channel.Envelope{Channel: "email", Account: "main", Body: []byte(shape.raw), Settings: map[string]string{"address": "help@desk.example"}}
		used, n := OwnCPU(), 0
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until); n++ {
			if events, err := (email.Adapter{}).Parse(envelope); err != nil || len(events) != 1 {
				return fmt.Errorf("parse a mail (%s): %d events: %w", shape.name, len(events), err)
			}
		}
		r.say("%-22s %5.1f KB  %6.0f mails\n", shape.name, float64(len(shape.raw))/1024, float64(n)/(OwnCPU()-used).Seconds())
	}
	return nil
}
