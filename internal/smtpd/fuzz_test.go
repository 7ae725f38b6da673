package smtpd

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/email/fake"
)

// FuzzJudge holds the checks to their promises over any mail: no panic, a verdict of each kind, and DMARC passes for no From
// but that of the only domain that anything vouches for.
func FuzzJudge(f *testing.F) {
	zone := fake.NewZone()
	key := zone.Trust("world.example")
	zone.TXT("_dmarc.victim.example", "v=DMARC1; p=reject")
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	signed, err := fake.Letter{From: "a@world.example", To: []string{"help@desk.example"}, Text: "hei", Date: now, Sign: key}.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed, "a@world.example", "mail.world.example")
	f.Add([]byte("From: b@victim.example\r\nFrom: a@world.example\r\n\r\nx"), "a@world.example", "x")
	f.Add([]byte("From: a@world.example,\r\n b@victim.example\r\n\r\nx"), "", "[127.0.0.1]")
	f.Add([]byte(" \r\nFrom: =?utf-8?q?a=40victim.example?= <a@world.example>\r\n\r\n"), "@", "\xff")
	f.Fuzz(func(t *testing.T, raw []byte, sender, helo string) {
		m := channel.Mail{Sender: sender, NullSender: sender == ""}
		judge(context.Background(), zone, net.IPv4(127, 0, 0, 1), helo, raw, &m)
		known := " " + strings.Join([]string{Pass, Fail, Gray, ProcessingFailed}, " ") + " "
		for _, v := range []string{m.SPF, m.DKIM, m.DMARC} {
			if v == "" || !strings.Contains(known, " "+v+" ") {
				t.Errorf("verdicts %+v", m)
			}
		}
		if domain, ok := author(raw); m.DMARC == Pass && (!ok || organisation(domain) != "world.example") {
			t.Errorf("DMARC passes for %q", domain)
		}
	})
}
