package smtpd_test

import (
	"context"
	"errors"
	nsmtp "net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/channel/email"
	"github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/smtpd"
)

func letter() fake.Letter {
	return fake.Letter{
		From: "maija@world.example", To: []string{"help@desk.example"}, Subject: "Hei", Text: "Se on rikki.\n", Date: now,
		MessageID: "1@world.example",
	}
}

func TestSenderVerdicts(t *testing.T) {
	t.Parallel()
	const spfHere, spfElsewhere = "v=spf1 ip4:127.0.0.1 -all", "v=spf1 ip4:192.0.2.1 -all"
	for _, c := range []struct {
		name   string
		zone   func(*fake.Zone)
		letter func(*fake.Letter, *fake.Zone)
		spf    string
		dkim   string
		dmarc  string
	}{
		{"a careful domain", func(z *fake.Zone) { z.Trust("world.example") },
			func(l *fake.Letter, z *fake.Zone) { l.Sign = z.Key("world.example", "fake") }, "PASS", "PASS", "PASS"},
		{"a domain without anything", func(*fake.Zone) {}, nil, "GRAY", "GRAY", "GRAY"},
		{"a spoofed From from elsewhere", func(z *fake.Zone) {
			z.Trust("world.example")
			z.TXT("evil.example", spfHere)
		}, func(l *fake.Letter, z *fake.Zone) {
			l.Sender = "bot@evil.example"
			l.Sign = z.Key("evil.example", "k")
		}, "PASS", "PASS", "FAIL"},
		{"forwarded, so only the signature holds", func(z *fake.Zone) {
			z.Trust("world.example").Domain = "world.example"
			z.TXT("world.example", spfElsewhere)
		}, func(l *fake.Letter, z *fake.Zone) { l.Sign = z.Key("world.example", "fake") }, "FAIL", "PASS", "PASS"},
		{"changed after signing", func(z *fake.Zone) { z.Trust("world.example"); z.TXT("world.example", spfElsewhere) },
			func(l *fake.Letter, z *fake.Zone) {
				l.Sign = z.Key("world.example", "fake")
				raw, _ := l.Bytes()
				l.Sign, l.Raw = nil, append(raw, []byte("PS: pay\r\n")...)
			}, "FAIL", "FAIL", "FAIL"},
		{"a subdomain under its organisation's policy", func(z *fake.Zone) {
			z.TXT("_dmarc.world.example", "v=DMARC1; p=none")
			z.TXT("bounce.world.example", spfHere)
		}, func(l *fake.Letter, _ *fake.Zone) {
			l.From, l.Sender = "maija@mail.world.example", "b@bounce.world.example"
		}, "PASS", "GRAY", "PASS"},
		{"a subdomain under a strict policy", func(z *fake.Zone) {
			z.TXT("_dmarc.world.example", "v=DMARC1; p=none; aspf=s; adkim=s")
			z.TXT("bounce.world.example", spfHere)
		}, func(l *fake.Letter, _ *fake.Zone) { l.Sender = "b@bounce.world.example" }, "PASS", "GRAY", "FAIL"},
		{"two domains under one public suffix are strangers", func(z *fake.Zone) {
			z.TXT("_dmarc.victim.co.uk", "v=DMARC1; p=reject")
			z.TXT("evil.co.uk", spfHere)
		}, func(l *fake.Letter, _ *fake.Zone) { l.From, l.Sender = "a@victim.co.uk", "b@evil.co.uk" }, "PASS", "GRAY", "FAIL"},
		{"two From fields", func(z *fake.Zone) { z.Trust("world.example") },
			func(l *fake.Letter, _ *fake.Zone) { l.Extra = []string{"From: ceo@desk.example"} }, "PASS", "GRAY", "FAIL"},
		{"two authors of two domains", func(z *fake.Zone) { z.Trust("world.example") },
			func(l *fake.Letter, _ *fake.Zone) {
				l.Raw = []byte("From: maija@world.example, ceo@desk.example\r\n\r\nhei\r\n")
			}, "PASS", "GRAY", "FAIL"},
		{"no From at all", func(z *fake.Zone) { z.Trust("world.example") },
			func(l *fake.Letter, _ *fake.Zone) { l.Raw = []byte("Subject: x\r\n\r\nhei\r\n") }, "PASS", "GRAY", "FAIL"},
		{"the policy cannot be fetched", func(z *fake.Zone) { z.Trust("world.example"); z.Down("_dmarc.world.example") },
			nil, "PASS", "GRAY", "PROCESSING_FAILED"},
		{"the key cannot be fetched", func(z *fake.Zone) {
			z.Trust("world.example")
			z.TXT("world.example", spfElsewhere)
			z.Down("fake._domainkey.world.example")
		}, func(l *fake.Letter, z *fake.Zone) { l.Sign = z.Key("world.example", "fake") }, "FAIL", "PROCESSING_FAILED", "PROCESSING_FAILED"},
		{"two policies are none", func(z *fake.Zone) {
			z.TXT("_dmarc.world.example", "v=DMARC1; p=reject", "v=DMARC1; p=none")
		}, nil, "GRAY", "GRAY", "GRAY"},
		{"a policy with tags nobody knows", func(z *fake.Zone) {
			z.TXT("world.example", spfHere)
			z.TXT("_dmarc.world.example", "v=DMARC1; p=reject; ri=never; np=x; adkim=q")
		}, nil, "PASS", "GRAY", "PASS"},
		{"a bounce is judged by its EHLO name", func(z *fake.Zone) {
			z.TXT("mail.world.example", spfHere)
			z.TXT("_dmarc.world.example", "v=DMARC1; p=reject")
		}, func(l *fake.Letter, _ *fake.Zone) { l.NullSender = true }, "PASS", "GRAY", "PASS"},
		{"an international domain", func(z *fake.Zone) {
			z.TXT("xn--hkki-loa.example", spfHere)
			z.TXT("_dmarc.xn--hkki-loa.example", "v=DMARC1; p=reject; aspf=s")
		}, func(l *fake.Letter, _ *fake.Zone) {
			l.Raw = []byte("From: M <m@häkki.example>\r\n\r\nhei\r\n")
			l.Sender = "m@xn--hkki-loa.example"
		}, "PASS", "GRAY", "PASS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			zone := fake.NewZone()
			c.zone(zone)
			d := open(t, func(o *smtpd.Options) { o.Resolver = zone })
			l := letter()
			if c.letter != nil {
				c.letter(&l, zone)
			}
			m := post(t, d, l)
			if m.SPF != c.spf || m.DKIM != c.dkim || m.DMARC != c.dmarc {
				t.Errorf("spf %s dkim %s dmarc %s, want %s %s %s", m.SPF, m.DKIM, m.DMARC, c.spf, c.dkim, c.dmarc)
			}
			if (m.SPF == smtpd.Pass) != (m.SPFDomain != "") || (m.DKIM == smtpd.Pass) != (len(m.DKIMDomains) > 0) {
				t.Errorf("domains that passed: %q %q", m.SPFDomain, m.DKIMDomains)
			}
		})
	}
}

func post(t *testing.T, d *desk, l fake.Letter) channel.Mail {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := fake.Send(ctx, d.Addr().String(), l); err != nil {
		t.Fatal(err)
	}
	return d.got()[0].Mail
}

func TestTheEmailChannelBelievesWhatTheListenerProved(t *testing.T) {
	t.Parallel()
	for want, forge := range map[string]func(*fake.Letter){
		email.KindEmail: func(*fake.Letter) {},
		// FAULTS 2: a right signature of one's own domain proves nothing about another's address.
		email.KindUnverified: func(l *fake.Letter) { l.From, l.Sender = "ceo@victim.example", "bot@world.example" },
	} {
		zone := fake.NewZone()
		key := zone.Trust("world.example")
		zone.TXT("_dmarc.victim.example", "v=DMARC1; p=reject")
		d := open(t, func(o *smtpd.Options) { o.Resolver = zone })
		l := letter()
		l.Sign = key
		forge(&l)
		post(t, d, l)
		m := d.got()[0]
		events, err := email.Adapter{}.Parse(channel.Envelope{ID: "e1", Channel: "email", Account: "main", ReceivedAt: m.ReceivedAt,
			Body: m.Raw, Mail: &m.Mail, Settings: map[string]string{"address": "help@desk.example"}})
		if err != nil || len(events) != 1 || events[0].From.Kind != want || events[0].Message == nil || events[0].Message.Text != "Se on rikki." {
			t.Errorf("%s: %+v %v", want, events, err)
		}
	}
}

func TestOnlyTheFirstSignaturesAreVerified(t *testing.T) {
	t.Parallel()
	zone := fake.NewZone()
	zone.Trust("world.example")
	d := open(t, func(o *smtpd.Options) { o.Resolver = zone })
	l := letter()
	for range 50 { // each stands above the ones before
		l.Sign = zone.Key("world.example", "fake")
		raw, err := l.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		l.Raw = raw
	}
	if m := post(t, d, l); len(m.DKIMDomains) != 10 || m.DMARC != smtpd.Pass {
		t.Errorf("%d signatures verified, dmarc %s", len(m.DKIMDomains), m.DMARC)
	}
}

// BenchmarkChecks is what SPF, DKIM and DMARC cost for one mail of 10 KB, without the network's part of it.
func BenchmarkChecks(b *testing.B) {
	zone := fake.NewZone()
	l := letter()
	l.Sign, l.Text = zone.Trust("world.example"), strings.Repeat("Se on rikki ja pitkä.\n", 450)
	d := open(b, func(o *smtpd.Options) { o.Resolver = zone })
	d.fail = func() error { d.mails = d.mails[:0]; return nil }
	raw, err := l.Bytes()
	if err != nil {
		b.Fatal(err)
	}
	l.Raw, l.Sign = raw, nil
	conn, err := nsmtp.Dial(d.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if err := errors.Join(conn.Mail(l.From), conn.Rcpt(l.To[0])); err != nil {
			b.Fatal(err)
		}
		w, err := conn.Data()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.Write(raw); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
