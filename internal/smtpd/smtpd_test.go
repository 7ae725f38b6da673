package smtpd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	nsmtp "net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/smtpd"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// desk is a listener under test and what it delivered.
type desk struct {
	*smtpd.Server
	mu    sync.Mutex
	mails []smtpd.Mail
	fail  func() error
}

func (d *desk) deliver(_ context.Context, m *smtpd.Mail) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		if err := d.fail(); err != nil {
			return err
		}
	}
	kept := *m
	kept.Raw = append([]byte(nil), m.Raw...)
	d.mails = append(d.mails, kept)
	return nil
}

func (d *desk) got() []smtpd.Mail {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]smtpd.Mail(nil), d.mails...)
}

// content is the mail without the trace fields.
func content(m smtpd.Mail) string { return string(m.Raw[m.TraceBytes:]) }

func open(t testing.TB, change func(*smtpd.Options)) *desk {
	t.Helper()
	d := &desk{}
	o := smtpd.Options{
		Addr: "127.0.0.1:0", Domain: "desk.example", Deliver: d.deliver,
		Now:   func() time.Time { return now },
		NewID: func() string { return "s1" },
		Recipients: func(_ context.Context, address string) (bool, error) {
			return strings.HasSuffix(address, "@desk.example"), nil
		},
	}
	if change != nil {
		change(&o)
	}
	s, err := smtpd.New(o)
	if err != nil {
		t.Fatal(err)
	}
	d.Server = s
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return d
}

// line is a raw client: it sends what it is told and reads one reply.
type line struct {
	t    testing.TB
	conn net.Conn
	text *textproto.Conn
}

func dial(t testing.TB, d *desk) *line {
	t.Helper()
	conn, err := net.Dial("tcp", d.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &line{t: t, conn: conn, text: textproto.NewConn(conn)}
}

func (l *line) write(s string) {
	l.t.Helper()
	if _, err := io.WriteString(l.conn, s); err != nil {
		l.t.Fatal(err)
	}
}

func (l *line) reply() string {
	l.t.Helper()
	code, text, err := l.text.ReadResponse(0)
	if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		l.t.Fatal("no answer came, and the connection was not closed")
	}
	if _, refused := errors.AsType[*textproto.Error](err); err != nil && !refused {
		return "closed"
	}
	return fmt.Sprintf("%d %s", code, text)
}

func (l *line) expect(command, reply string) string {
	l.t.Helper()
	if command != "" {
		l.write(command + "\r\n")
	}
	got := l.reply()
	if !strings.HasPrefix(got, reply) {
		l.t.Fatalf("%q was answered %q, want %q", command, got, reply)
	}
	return got
}

func (l *line) envelope() {
	l.t.Helper()
	l.expect("", "220")
	l.expect("EHLO mail.world.example", "250")
	l.expect("MAIL FROM:<maija@world.example>", "250")
	l.expect("RCPT TO:<help@desk.example>", "250")
}

const hello = "From: maija@world.example\r\nTo: help@desk.example\r\nSubject: Hei\r\n\r\nSe on rikki.\r\n"

func TestMailComesThroughUntouchedWithTraceFieldsInFront(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	if err := nsmtp.SendMail(d.Addr().String(), nil, "maija@world.example", []string{"help@DESK.example"}, []byte(hello)); err != nil {
		t.Fatal(err)
	}
	m := d.got()[0]
	if content(m) != hello {
		t.Errorf("content changed: %q", content(m))
	}
	want := "Return-Path: <maija@world.example>\r\nReceived: from localhost ([127.0.0.1])\r\n\tby desk.example with UTF8SMTP id s1\r\n" + // net/smtp always asks for SMTPUTF8
		"\tfor <help@desk.example>;\r\n\tSun, 22 Nov 2026 10:00:00 +0000\r\n"
	if got := string(m.Raw[:m.TraceBytes]); got != want {
		t.Errorf("trace %q, want %q", got, want)
	}
	if m.Via != "smtp" || m.Sender != "maija@world.example" || m.NullSender || m.Recipients[0] != "help@desk.example" ||
		m.DMARC != smtpd.Disabled || m.ReceivedAt.String() != "2026-11-22T10:00:00.000Z" {
		t.Errorf("envelope: %+v", m.Mail)
	}
}

func TestNullSenderIsToldFromUnknown(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.expect("", "220")
	l.expect("EHLO mx.world.example", "250")
	l.expect("MAIL FROM:<>", "250")
	l.expect("RCPT TO:<postmaster@desk.example>", "250")
	l.expect("DATA", "354")
	l.expect(hello+".", "250")
	if m := d.got()[0]; !m.NullSender || m.Sender != "" || m.Recipients[0] != "postmaster@desk.example" {
		t.Errorf("envelope: %+v", m.Mail)
	}
}

func TestWhatIsAnnounced(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) { o.TLS = certificate(t) })
	l := dial(t, d)
	l.expect("", "220")
	said := l.expect("EHLO x.example", "250")
	for _, want := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "CHUNKING", "STARTTLS", "SIZE 41943040", "ENHANCEDSTATUSCODES"} {
		if !strings.Contains(said, want) {
			t.Errorf("%s is not announced in %q", want, said)
		}
	}
	if strings.Contains(said, "AUTH") {
		t.Errorf("AUTH is announced: %q", said)
	}
	l.expect("AUTH PLAIN AGEAYg==", "5")
}

func TestUnknownRecipientsAreRefusedAndNothingIsRelayed(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) { o.MaxRefusals = 3 })
	l := dial(t, d)
	l.expect("", "220")
	l.expect("EHLO x.example", "250")
	l.expect("MAIL FROM:<a@x.example>", "250")
	l.expect("RCPT TO:<victim@elsewhere.example>", "550 5.1.1")
	l.expect("RCPT TO:<victim%elsewhere.example@desk.example.evil>", "550 5.1.1")
	l.expect("RCPT TO:<@desk.example:victim@elsewhere.example>", "550 5.1.1")
	l.expect("RCPT TO:<a1@elsewhere.example>", "421")
	if got := l.reply(); !strings.HasPrefix(got, "421") && got != "closed" {
		t.Errorf("the session goes on: %q", got)
	}
}

func TestARecipientThatCannotBeLookedUpIsDeferred(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) {
		o.Recipients = func(context.Context, string) (bool, error) { return false, errors.New("store is away") }
	})
	l := dial(t, d)
	l.expect("", "220")
	l.expect("EHLO x.example", "250")
	l.expect("MAIL FROM:<a@x.example>", "250")
	l.expect("RCPT TO:<help@desk.example>", "451 4.3.0")
}

func TestAMailIsAnsweredByWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"durable", nil, "250"},
		{"retry", fault.RetryAfter(time.Second, "busy", "busy"), "451 4.3.0"},
		{"untyped", errors.New("secret detail"), "451 4.3.0"},
		{"uncertain", fault.Newf(fault.Uncertain, "lost", "lost"), "451 4.3.0"},
		{"permanent", fault.Newf(fault.Permanent, "bad", "bad"), "554 5.6.0"},
		{"denied", fault.Newf(fault.Denied, "no", "no"), "550 5.7.1"},
		{"recipient gone", fault.Newf(fault.Missing, "gone", "gone"), "550 5.1.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := open(t, nil)
			d.fail = func() error { return c.err }
			l := dial(t, d)
			l.envelope()
			l.expect("DATA", "354")
			got := l.expect(hello+".", c.want)
			if strings.Contains(got, "secret") {
				t.Errorf("the client reads our error: %q", got)
			}
			// The session goes on after a refusal.
			l.expect("MAIL FROM:<maija@world.example>", "250")
		})
	}
}

func TestFault70_AFullDiskDefersMailUntilThereIsRoomAgain(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	full := true
	d.fail = func() error {
		if full {
			return fmt.Errorf("write the blob: %w", syscall.ENOSPC)
		}
		return nil
	}
	l := dial(t, d)
	l.envelope()
	l.expect("DATA", "354")
	l.expect(hello+".", "452 4.3.1")
	if n := len(d.got()); n != 0 {
		t.Fatalf("%d mails were delivered to a full disk", n)
	}
	d.mu.Lock()
	full = false
	d.mu.Unlock()
	l.expect("MAIL FROM:<maija@world.example>", "250")
	l.expect("RCPT TO:<help@desk.example>", "250")
	l.expect("DATA", "354")
	l.expect(hello+".", "250")
	if n := len(d.got()); n != 1 {
		t.Fatalf("%d mails, want 1", n)
	}
}

func TestNoPartOfAMailSmugglesAnother(t *testing.T) {
	t.Parallel()
	inner := "MAIL FROM:<ceo@desk.example>\r\nRCPT TO:<help@desk.example>\r\nDATA\r\nFrom: ceo@desk.example\r\n\r\npay\r\n"
	for _, mark := range []string{"\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n\n.\r\n", "\r\n\x00.\r\n"} {
		t.Run(fmt.Sprintf("%q", mark), func(t *testing.T) {
			t.Parallel()
			d := open(t, nil)
			l := dial(t, d)
			l.envelope()
			l.expect("DATA", "354")
			l.write(hello + "x" + mark + inner + "\r\n.\r\n")
			l.expect("", "250")
			l.expect("QUIT", "221")
			mails := d.got()
			if len(mails) != 1 {
				t.Fatalf("%d mails were made of one", len(mails))
			}
			if !strings.Contains(content(mails[0]), "ceo@desk.example") {
				t.Errorf("content was lost: %q", content(mails[0]))
			}
		})
	}
}

func TestMailEndingInDoubledCarriageReturnsIsTakenAndTheSessionCut(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.envelope()
	l.expect("DATA", "354")
	body := strings.ReplaceAll(hello, "\r\n", "\r\r\n")
	l.write(body + ".\r\nMAIL FROM:<ceo@desk.example>\r\n")
	l.expect("", "250")
	if got := l.reply(); got != "closed" {
		t.Errorf("what follows was answered: %q", got)
	}
	if mails := d.got(); len(mails) != 1 || content(mails[0]) != body {
		t.Errorf("%d mails, or content changed", len(mails))
	}
}

func TestDotsAfterOddRunsOfCarriageReturnsAreNoEnd(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.envelope()
	l.expect("DATA", "354")
	l.write(hello + "a\r\r\r\n..\r\nb\r\n.\r\n")
	l.expect("", "250")
	if got := content(d.got()[0]); got != hello+"a\r\r\r\n.\r\nb\r\n" {
		t.Errorf("content: %q", got)
	}
}

func TestDotStuffingIsUndone(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.envelope()
	l.expect("DATA", "354")
	l.expect(hello+"..\r\n...x\r\n.", "250")
	if got := content(d.got()[0]); got != hello+".\r\n..x\r\n" {
		t.Errorf("content: %q", got)
	}
}

func TestMailMayComeInChunks(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.envelope()
	big := hello + strings.Repeat("0123456789abcdef\r\r\n.\r\n", 10_000)
	half := len(big) / 2
	l.write(fmt.Sprintf("BDAT %d\r\n", half) + big[:half])
	l.expect("", "250")
	l.write(fmt.Sprintf("BDAT %d LAST\r\n", len(big)-half) + big[half:])
	l.expect("", "250")
	if mails := d.got(); len(mails) != 1 || content(mails[0]) != big {
		t.Errorf("%d mails, or content changed", len(mails))
	}
	// A mail that is broken off is none.
	l.expect("MAIL FROM:<maija@world.example>", "250")
	l.expect("RCPT TO:<help@desk.example>", "250")
	l.write("BDAT 4\r\nFrom")
	l.expect("", "250")
	l.expect("RSET", "250")
	l.expect("QUIT", "221")
	if mails := d.got(); len(mails) != 1 {
		t.Errorf("half a mail was delivered")
	}
}

func TestCommandsMayBePipelined(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.expect("", "220")
	l.write("EHLO x.example\r\nMAIL FROM:<a@x.example> SIZE=100 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<häkki@desk.example>\r\nRCPT TO:<help@desk.example>\r\nDATA\r\n")
	for _, want := range []string{"250", "250", "250", "250", "354"} {
		l.expect("", want)
	}
	l.write(hello + ".\r\nQUIT\r\n")
	l.expect("", "250")
	l.expect("", "221")
	m := d.got()[0]
	if len(m.Recipients) != 2 || m.Recipients[0] != "häkki@desk.example" {
		t.Errorf("recipients %q", m.Recipients)
	}
	if trace := string(m.Raw[:m.TraceBytes]); strings.Contains(trace, "for <") || !strings.Contains(trace, "UTF8SMTP") {
		t.Errorf("trace %q", trace)
	}
}

func TestMailOverTheSizeIsRefusedEarlyOrAtItsEnd(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) { o.MaxBytes = 100_000 })
	l := dial(t, d)
	l.expect("", "220")
	l.expect("EHLO x.example", "250")
	l.expect("MAIL FROM:<a@x.example> SIZE=100001", "552 5.3.4")
	l.expect("MAIL FROM:<a@x.example>", "250")
	l.expect("RCPT TO:<help@desk.example>", "250")
	l.expect("DATA", "354")
	l.write(hello + strings.Repeat(strings.Repeat("x", 78)+"\r\n", 2000) + ".\r\n")
	l.expect("", "552 5.3.4")
	l.expect("NOOP", "250")
	if n := len(d.got()); n != 0 {
		t.Errorf("%d mails over the size were delivered", n)
	}
}

func TestLongLinesOfContentAreTakenAndLongCommandsAreNot(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.envelope()
	l.expect("DATA", "354")
	l.expect("Subject: "+strings.Repeat("x", 1<<20)+"\r\n\r\n.", "250")
	go func() { // the server may hang up before everything is written
		_, _ = io.WriteString(l.conn, strings.Repeat("NOOP ", 1<<20))
	}()
	for {
		got := l.reply()
		if got == "closed" {
			break
		}
		if !strings.HasPrefix(got, "421") && !strings.HasPrefix(got, "500") {
			t.Fatalf("an endless command was answered %q", got)
		}
	}
}

func TestMemoryForMailsInTransferIsBounded(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) { o.MaxMemory = 64 << 10 })
	l := dial(t, d)
	l.envelope()
	l.expect("DATA", "354")
	l.expect(hello+strings.Repeat("x\r\n", 100_000)+".", "452 4.3.1")
	l.expect("MAIL FROM:<maija@world.example>", "250")
	l.expect("RCPT TO:<help@desk.example>", "250")
	l.expect("DATA", "354")
	l.expect(hello+".", "250") // what was held is given back
}

func TestTooManyRecipientsAreDeferred(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) { o.MaxRecipients = 2 })
	l := dial(t, d)
	l.envelope()
	l.expect("RCPT TO:<b@desk.example>", "250")
	l.expect("RCPT TO:<c@desk.example>", "452")
}

func TestOneClientCannotTakeAllConnections(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) { o.MaxPerClient = 2 })
	first := dial(t, d)
	first.expect("", "220")
	dial(t, d).expect("", "220")
	dial(t, d).expect("", "421 4.7.0")
	first.expect("QUIT", "221")
	if got := first.reply(); got != "closed" {
		t.Fatalf("after QUIT: %q", got)
	}
	for d.Connections() > 1 { // the server notices on its own
		time.Sleep(time.Millisecond)
	}
	dial(t, d).expect("", "220")
}

func TestAFrontOfOnesOwnMayBringEverybodysMail(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) { o.MaxConnections = 30 })
	for range 30 {
		dial(t, d).expect("", "220")
	}
	dial(t, d).expect("", "421 4.7.0")
}

func TestARecipientNamedTwiceGetsOneMail(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.envelope()
	l.expect("RCPT TO:<Help@Desk.Example>", "250")
	l.expect("RCPT TO:<info@desk.example>", "250")
	l.expect("DATA", "354")
	l.expect(hello+".", "250")
	if m := d.got()[0]; len(m.Recipients) != 2 {
		t.Errorf("%q", m.Recipients)
	}
}

func TestASlowClientIsCutOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*smtpd.Options)
		mail   bool
	}{
		{"in a command", func(o *smtpd.Options) { o.CommandTimeout = 50 * time.Millisecond }, false},
		{"in a mail", func(o *smtpd.Options) { o.MailTimeout = 50 * time.Millisecond }, true},
		{"in a session", func(o *smtpd.Options) { o.SessionTimeout = 50 * time.Millisecond }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := open(t, c.change)
			l := dial(t, d)
			if c.mail {
				l.envelope()
				l.expect("DATA", "354")
				l.write(hello)
			} else {
				l.expect("", "220")
			}
			// One byte at a time keeps no session open: the bound is on the whole, not on each read.
			stop := make(chan struct{})
			defer close(stop)
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
						if _, err := l.conn.Write([]byte("x")); err != nil {
							return
						}
					}
				}
			}()
			for l.reply() != "closed" { //nolint:revive // until it is cut off; the test's own deadline ends it otherwise
			}
			if n := len(d.got()); n != 0 {
				t.Errorf("%d mails were delivered", n)
			}
		})
	}
}

func TestAMailCutOffInTransferIsNotDelivered(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.envelope()
	l.expect("DATA", "354")
	l.write(hello + "half")
	if err := l.conn.Close(); err != nil {
		t.Fatal(err)
	}
	for d.Connections() > 0 {
		time.Sleep(time.Millisecond)
	}
	if n := len(d.got()); n != 0 {
		t.Errorf("%d mails were delivered", n)
	}
}

func TestMailInCirclesIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	l := dial(t, d)
	l.envelope()
	l.expect("DATA", "354")
	l.expect(strings.Repeat("Received: from a by b; Sun, 22 Nov 2026 10:00:00 +0000\r\n", 101)+hello+".", "554 5.4.6")
}

func TestSTARTTLSForgetsWhatWasSaidInTheClear(t *testing.T) {
	t.Parallel()
	d := open(t, func(o *smtpd.Options) { o.TLS = certificate(t) })
	l := dial(t, d)
	l.expect("", "220")
	l.expect("EHLO clear.example", "250")
	// A command injected behind STARTTLS must not be run inside (CVE-2011-0411).
	l.write("STARTTLS\r\nMAIL FROM:<ceo@desk.example>\r\n")
	l.expect("", "220")
	secure := tls.Client(l.conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own certificate
	l.text = textproto.NewConn(secure)
	say := func(s string) {
		t.Helper()
		if _, err := io.WriteString(secure, s+"\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	say("MAIL FROM:<maija@world.example>")
	if got := l.reply(); !strings.HasPrefix(got, "5") {
		t.Fatalf("MAIL before a second EHLO: %q", got)
	}
	for _, s := range []string{"EHLO tls.example", "MAIL FROM:<maija@world.example>", "RCPT TO:<help@desk.example>", "DATA", hello + "."} {
		say(s)
		if got := l.reply(); got[0] != '2' && got[0] != '3' {
			t.Fatalf("%q: %s", s, got)
		}
	}
	m := d.got()[0]
	if !m.TLS || m.Helo != "tls.example" || m.Sender != "maija@world.example" || !strings.Contains(string(m.Raw), "with ESMTPS id") {
		t.Errorf("mail %+v %q", m.Mail, m.Raw)
	}
}

func TestDrainingFinishesTheMailInTransferAndEndsTheRest(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	idle := dial(t, d)
	idle.expect("", "220")
	idle.expect("EHLO idle.example", "250")
	busy := dial(t, d)
	busy.envelope()
	busy.expect("DATA", "354")
	busy.write(hello)

	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		drained <- d.Shutdown(ctx)
	}()
	idle.expect("", "421")
	if _, err := net.Dial("tcp", d.Addr().String()); err == nil {
		t.Error("a new connection was taken while draining")
	}
	busy.expect(".", "250")
	busy.expect("", "421")
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if n := len(d.got()); n != 1 {
		t.Errorf("%d mails, want 1", n)
	}
}

func TestDrainingGivesUpWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	d := open(t, nil)
	busy := dial(t, d)
	busy.envelope()
	busy.expect("DATA", "354")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	for got := busy.reply(); got != "closed"; got = busy.reply() {
		if strings.HasPrefix(got, "2") {
			t.Errorf("half a mail was answered %q", got)
		}
	}
}

func certificate(t testing.TB) *tls.Config {
	t.Helper()
	config, err := smtpd.SelfSigned("desk.example", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestAListenerThatWasNeverServedGivesItsPortBack(t *testing.T) {
	t.Parallel()
	s, err := smtpd.New(smtpd.Options{Addr: "127.0.0.1:0", Domain: "desk.example", Now: time.Now,
		Recipients: func(context.Context, string) (bool, error) { return true, nil }, Deliver: func(context.Context, *smtpd.Mail) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", s.Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("the port is still open")
	}
}

func TestWhatMustBeSetIsAskedFor(t *testing.T) {
	t.Parallel()
	if _, err := smtpd.New(smtpd.Options{Addr: "127.0.0.1:0", Domain: "desk.example"}); err == nil {
		t.Error("a listener without Deliver was opened")
	}
	taken := open(t, nil)
	_, err := smtpd.New(smtpd.Options{Addr: taken.Addr().String(), Domain: "desk.example", Now: time.Now,
		Recipients: func(context.Context, string) (bool, error) { return true, nil }, Deliver: taken.deliver})
	if err == nil || !strings.Contains(err.Error(), "--smtp") {
		t.Errorf("a port that is taken: %v", err)
	}
}

// BenchmarkMail10KB is one mail of 10 KB per operation over kept connections, without disk and checks.
func BenchmarkMail10KB(b *testing.B) {
	d := open(b, nil)
	d.fail = func() error { d.mails = d.mails[:0]; return nil }
	body := "From: maija@world.example\r\nSubject: Hei\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 130) + ".\r\n"
	b.SetBytes(int64(len(body)))
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", d.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		r := bufio.NewReader(conn)
		read := func() {
			for {
				s, err := r.ReadString('\n')
				if err != nil || s[0] > '3' {
					b.Errorf("%q %v", s, err)
					return
				}
				if s[3] == ' ' {
					return
				}
			}
		}
		read()
		_, _ = io.WriteString(conn, "EHLO bench.example\r\n")
		read()
		for pb.Next() {
			_, _ = io.WriteString(conn, "MAIL FROM:<a@x.example>\r\nRCPT TO:<help@desk.example>\r\nDATA\r\n")
			read()
			read()
			read()
			_, _ = io.WriteString(conn, body)
			read()
		}
	})
}
