package smtpd_test

import (
	"bytes"
	"net"
	"regexp"
	"testing"

	"github.com/aikajana/aikajana/internal/smtpd"
)

// oddities are two places where go-smtp's reader keeps or drops a byte that RFC 5321 would not; neither ends a mail.
var oddities = regexp.MustCompile(`\r\r|(?:^|\n)\.\r[^\n]|(?:^|\n)\.\r$`)

// FuzzWhereAMailEnds compares the listener with RFC 5321 section 4.5.2 in its own words: a mail ends at the first
// <CRLF>.<CRLF>, and one dot in front of a line goes. Whatever follows the end is a command and never a part of the mail.
func FuzzWhereAMailEnds(f *testing.F) {
	for _, mark := range []string{"", "\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n..\r\n", ".\r\n", "..", "\r\n.\r\nMAIL FROM:<x@y>\r\n", "\x00\r\n.x\r\n"} {
		f.Add([]byte("Subject: x\r\n\r\na" + mark + "b"))
		f.Add([]byte(mark))
	}
	d := open(f, func(o *smtpd.Options) { o.MaxRefusals, o.MaxPerClient = 1000, 1000 })
	f.Fuzz(func(t *testing.T, body []byte) {
		if oddities.Match(body) || len(body) > 100_000 {
			return
		}
		d.mu.Lock()
		d.mails = nil
		d.mu.Unlock()
		l := dial(t, d)
		l.envelope()
		l.expect("DATA", "354")
		l.write(string(body) + "\r\n.\r\nQUIT\r\n")
		l.expect("", "250")
		// What follows was only there to be mistaken for something. Without lingering, thousands of runs leave no ports behind.
		if tcp, ok := l.conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = l.conn.Close()

		whole := append([]byte("\r\n"), body...)
		whole = append(whole, "\r\n.\r\n"...)
		want := whole[2 : bytes.Index(whole, []byte("\r\n.\r\n"))+2]
		want = bytes.ReplaceAll(append([]byte("\r\n"), want...), []byte("\r\n."), []byte("\r\n"))[2:]
		if got := content(d.got()[0]); got != string(want) {
			t.Errorf("sent %q, took %q, want %q", body, got, want)
		}
	})
}
