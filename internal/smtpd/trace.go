package smtpd

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// trace writes Return-Path and Received (RFC 5321 section 4.4). The recipient is named only when there is one: a list
// would tell each about the others. The protocol's name follows RFC 3848 and RFC 6531 section 4.3.
func (s *Server) trace(m *Mail, utf8 bool, now time.Time) []byte {
	with := "ESMTP"
	if utf8 {
		with = "UTF8SMTP"
	}
	if m.TLS {
		with += "S"
	}
	ip := "unknown"
	if m.RemoteIP != nil {
		ip = m.RemoteIP.String()
		if m.RemoteIP.To4() == nil {
			ip = "IPv6:" + ip
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "Return-Path: <%s>\r\n", clean(m.Sender))
	fmt.Fprintf(&b, "Received: from %s ([%s])\r\n\tby %s with %s", clean(m.Helo), ip, s.o.Domain, with)
	if s.o.NewID != nil {
		fmt.Fprintf(&b, " id %s", clean(s.o.NewID()))
	}
	if len(m.Recipients) == 1 {
		fmt.Fprintf(&b, "\r\n\tfor <%s>", clean(m.Recipients[0]))
	}
	fmt.Fprintf(&b, ";\r\n\t%s\r\n", now.UTC().Format(time.RFC1123Z))
	return b.Bytes()
}

// clean keeps what a client said from leaving its place in a header field.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// hops counts the Received fields of the header.
func hops(content []byte) int {
	n := 0
	for field := range fields(content) {
		if strings.EqualFold(field.name, "received") {
			n++
		}
	}
	return n
}

// format writes a refusal as the library would.
func format(e *smtp.SMTPError) string {
	c := e.EnhancedCode
	return fmt.Sprintf("%d %d.%d.%d %s\r\n", e.Code, c[0], c[1], c[2], e.Message)
}
