package smtprelay_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2195
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aikajana/aikajana/internal/channel/email/fake"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/smtprelay"
)

const (
	kill = "kill" // close the connection in place of an answer
	hang = "hang" // answer nothing
)

// relay is a scripted SMTP server. Its script maps a step (greet, EHLO, AUTH, MAIL, RCPT, DATA, RSET, dot) to its answers,
// one after another, the last one for ever; what is not in the script is answered as it should be.
type relay struct {
	addr     string
	tls      *tls.Config
	implicit bool // TLS from the first byte
	ext      []string

	mu     sync.Mutex
	script map[string][]string
	log    []string
	mails  []string
	conns  int
}

func start(t *testing.T, script map[string][]string, change func(*relay)) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), script: script, ext: []string{"8BITMIME", "SIZE 1000000"}}
	if change != nil {
		change(r)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns++
			r.mu.Unlock()
			all.Go(func() { r.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return r
}

func (r *relay) answer(step, otherwise string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, step)
	answers := r.script[step]
	if len(answers) == 0 {
		return otherwise
	}
	if len(answers) > 1 {
		r.script[step] = answers[1:]
	}
	if answers[0] == "" {
		return otherwise
	}
	return answers[0]
}

func (r *relay) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if r.implicit {
		conn = tls.Server(conn, r.tls)
	}
	in := bufio.NewReader(conn)
	say := func(step, otherwise string) bool {
		a := r.answer(step, otherwise)
		switch a {
		case kill:
			return false
		case hang:
			_, _ = io.Copy(io.Discard, in) // until the client gives up
			return false
		}
		_, err := io.WriteString(conn, a+"\r\n")
		return err == nil && !strings.HasPrefix(a, "421")
	}
	if !say("greet", "220 relay.example ESMTP") {
		return
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		var ok bool
		switch verb {
		case "EHLO":
			ok = say("EHLO", "250-relay.example\r\n250-"+strings.Join(r.ext, "\r\n250-")+"\r\n250 HELP")
		case "STARTTLS":
			if ok = say("STARTTLS", "220 go"); ok {
				secure := tls.Server(conn, r.tls)
				conn, in = secure, bufio.NewReader(secure)
			}
		case "AUTH":
			ok = r.auth(line, in, conn, say)
		case "DATA":
			a := r.answer("DATA", "354 go")
			if a == kill {
				return
			}
			if _, err := io.WriteString(conn, a+"\r\n"); err != nil {
				return
			}
			if !strings.HasPrefix(a, "354") {
				continue
			}
			var mail strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				mail.WriteString(line)
			}
			r.mu.Lock()
			r.mails = append(r.mails, mail.String())
			r.mu.Unlock()
			ok = say("dot", "250 2.0.0 Ok")
		case "QUIT":
			_ = say("QUIT", "221 bye")
			return
		default:
			r.mu.Lock()
			r.log = append(r.log, line)
			r.mu.Unlock()
			ok = say(verb, "250 ok")
		}
		if !ok {
			return
		}
	}
}

func (r *relay) auth(line string, in *bufio.Reader, conn net.Conn, say func(step, otherwise string) bool) bool {
	if !strings.Contains(line, "CRAM-MD5") {
		return say("AUTH", "235 ok")
	}
	challenge := "<1.2@relay.example>"
	if _, err := io.WriteString(conn, "334 "+base64.StdEncoding.EncodeToString([]byte(challenge))+"\r\n"); err != nil {
		return false
	}
	answer, err := in.ReadString('\n')
	if err != nil {
		return false
	}
	mac := hmac.New(md5.New, []byte("secret"))
	mac.Write([]byte(challenge))
	want := base64.StdEncoding.EncodeToString([]byte("desk " + hex.EncodeToString(mac.Sum(nil))))
	if strings.TrimSpace(answer) != want {
		return say("AUTH", "535 5.7.8 wrong")
	}
	return say("AUTH", "235 ok")
}

// handedOver is how many mails came in whole.
func (r *relay) handedOver() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.mails)
}

func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

func (r *relay) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.log, "\n")
}

func mailer(t *testing.T, o smtprelay.Options) *smtprelay.Relay {
	t.Helper()
	m, err := smtprelay.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

const mail = "From: help@desk.example\r\nMessage-ID:\r\n <r1@desk.example>\r\nSubject: Re: Hei\r\n\r\nKatson heti.\r\n.\r\n"

func send(m *smtprelay.Relay) (string, error) {
	return m.SendMail(context.Background(), "help@desk.example", []string{"maija@world.example"}, []byte(mail), "7f3a")
}

func TestAMailIsHandedOverUnderItsOwnMessageID(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	id, err := send(mailer(t, smtprelay.Options{Addr: r.addr}))
	if err != nil || id != "r1@desk.example" {
		t.Fatalf("%q, %v", id, err)
	}
	if r.mails[0] != strings.Replace(mail, "\r\n.\r\n", "\r\n..\r\n", 1) {
		t.Errorf("mail: %q", r.mails[0])
	}
}

func TestEveryStepSaysWhetherTheMailMayHaveGoneOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step, answer string
		want         fault.Kind
		code         string
	}{
		{"greet", kill, fault.Retry, "connection"}, {"greet", "554 go away", fault.Retry, "554"}, {"greet", "421 busy", fault.Retry, "421"},
		{"EHLO", kill, fault.Retry, "connection"}, {"EHLO", "421 busy", fault.Retry, "421"},
		{"MAIL", kill, fault.Retry, "connection"}, {"MAIL", "451 4.3.0 later", fault.Retry, "451"}, {"MAIL", "553 5.1.8 bad sender", fault.Permanent, "553"},
		{"MAIL", "530 5.7.0 sign in first", fault.Retry, "auth"},
		{"RCPT", kill, fault.Retry, "connection"}, {"RCPT", "450 4.2.0 greylisted", fault.Retry, "450"}, {"RCPT", "550 5.1.1 nobody", fault.Permanent, "550"},
		{"DATA", kill, fault.Retry, "connection"}, {"DATA", "452 4.3.1 full", fault.Retry, "452"}, {"DATA", "554 5.0.0 no", fault.Permanent, "554"},
		{"dot", kill, fault.Uncertain, "no_answer"}, {"dot", "451 4.3.0 later", fault.Retry, "451"}, {"dot", "554 5.6.0 spam", fault.Permanent, "554"},
		{"dot", "421 4.3.2 going down", fault.Retry, "421"}, {"dot", "what?", fault.Uncertain, "no_answer"}, {"dot", "354 more", fault.Uncertain, "no_answer"},
		{"dot", hang, fault.Uncertain, "no_answer"}, {"MAIL", hang, fault.Retry, "connection"}, {"greet", hang, fault.Retry, "connection"},
	} {
		t.Run(c.step+" "+c.answer, func(t *testing.T) {
			t.Parallel()
			r := start(t, map[string][]string{c.step: {c.answer}}, nil)
			o := smtprelay.Options{Addr: r.addr}
			if c.answer == hang {
				o.DialTimeout, o.CommandTimeout, o.AnswerTimeout = 200*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
			}
			_, err := send(mailer(t, o))
			if fault.Of(err) != c.want || fault.Code(err) != c.code {
				t.Errorf("%v %q: %v; want %v %q", fault.Of(err), fault.Code(err), err, c.want, c.code)
			}
			if c.want == fault.Retry && c.step != "dot" && r.handedOver() != 0 {
				t.Error("a mail that may be sent again was handed over")
			}
		})
	}
}

func TestAnyYesBehindTheDotIsAYes(t *testing.T) {
	t.Parallel()
	r := start(t, map[string][]string{"dot": {"251 queued elsewhere"}}, nil)
	if _, err := send(mailer(t, smtprelay.Options{Addr: r.addr})); err != nil {
		t.Error(err)
	}
}

func TestARefusalNamesCodeAndReasonButNobody(t *testing.T) {
	t.Parallel()
	r := start(t, map[string][]string{"RCPT": {"550-5.1.1 <maija@world.example>: unknown\r\n550 5.1.1 " + strings.Repeat("see our page ", 50)}}, nil)
	_, err := send(mailer(t, smtprelay.Options{Addr: r.addr}))
	text := err.Error()
	if !strings.Contains(text, "550 5.1.1") || !strings.Contains(text, "unknown") || strings.Contains(text, "maija") || len(text) > 400 || strings.ContainsAny(text, "\r\n") {
		t.Errorf("%q", text)
	}
}

func TestAllRecipientsOrNone(t *testing.T) {
	t.Parallel()
	r := start(t, map[string][]string{"RCPT": {"", "550 5.1.1 nobody"}}, nil)
	m := mailer(t, smtprelay.Options{Addr: r.addr})
	_, err := m.SendMail(context.Background(), "", []string{"a@world.example", "b@world.example"}, []byte(mail), "")
	if fault.Of(err) != fault.Permanent || r.handedOver() != 0 {
		t.Errorf("%v, %d mails handed over", err, r.handedOver())
	}
}

func TestConnectionsAreUsedAgainAfterAReset(t *testing.T) {
	t.Parallel()
	r := start(t, map[string][]string{"RCPT": {"", "550 5.1.1 nobody", ""}}, nil)
	m := mailer(t, smtprelay.Options{Addr: r.addr})
	for i, want := range []fault.Kind{fault.Internal, fault.Permanent, fault.Internal} {
		if _, err := send(m); fault.Of(err) != want {
			t.Fatalf("mail %d: %v", i, err)
		}
	}
	if r.connections() != 1 || r.handedOver() != 2 || strings.Count(r.said(), "RSET") != 4 { // each is logged twice: line and step
		t.Errorf("%d connections, %d mails, %s", r.connections(), r.handedOver(), r.said())
	}
}

func TestAStaleConnectionIsReplacedAndNothingIsUncertain(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"RSET", "MAIL", "RCPT", "DATA"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			script := map[string][]string{step: {"", kill, ""}}
			if step == "RSET" {
				script = map[string][]string{"RSET": {kill}}
			}
			r := start(t, script, nil)
			m := mailer(t, smtprelay.Options{Addr: r.addr})
			for range 2 {
				if _, err := send(m); err != nil {
					t.Fatal(err)
				}
			}
			if r.handedOver() != 2 || r.connections() != 2 {
				t.Errorf("%d mails over %d connections, want 2 over 2", r.handedOver(), r.connections())
			}
		})
	}
}

func TestAReusedConnectionThatIsLostBehindTheDotStaysUncertain(t *testing.T) {
	t.Parallel()
	r := start(t, map[string][]string{"dot": {"", kill, ""}}, nil)
	m := mailer(t, smtprelay.Options{Addr: r.addr})
	if _, err := send(m); err != nil {
		t.Fatal(err)
	}
	if _, err := send(m); fault.Of(err) != fault.Uncertain {
		t.Errorf("%v", err)
	}
	if r.handedOver() != 2 {
		t.Errorf("%d mails were handed over, want 2: one accepted, one unknown", r.handedOver())
	}
}

func TestCancellingIsCertainBeforeTheDotAndUncertainAfterIt(t *testing.T) {
	t.Parallel()
	for step, want := range map[string]fault.Kind{"RCPT": fault.Retry, "dot": fault.Uncertain} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			r := start(t, map[string][]string{step: {hang}}, nil)
			m := mailer(t, smtprelay.Options{Addr: r.addr})
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := m.SendMail(ctx, "a@desk.example", []string{"b@world.example"}, []byte(mail), "")
				failed <- err
			}()
			for !strings.Contains(r.said(), step) {
				time.Sleep(time.Millisecond)
			}
			cancel()
			if err := <-failed; fault.Of(err) != want {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSTARTTLSIsAskedForUnlessTheRelayIsOnThisMachine(t *testing.T) {
	t.Parallel()
	config, roots := certificate(t)
	secure := func(r *relay) { r.tls, r.ext = config, append(r.ext, "STARTTLS", "AUTH PLAIN") }
	dial := func(r *relay) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, r.addr)
		}
	}
	t.Run("offered", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil, secure)
		m := mailer(t, smtprelay.Options{Addr: "relay.example:587", Dial: dial(r), TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Username: "desk", Password: "secret"})
		if _, err := send(m); err != nil {
			t.Fatal(err)
		}
		if said := r.said(); strings.Index(said, "STARTTLS") > strings.Index(said, "AUTH") {
			t.Errorf("signed in before TLS: %s", said)
		}
	})
	t.Run("not offered", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil, nil)
		_, err := send(mailer(t, smtprelay.Options{Addr: "relay.example:587", Dial: dial(r)}))
		if fault.Of(err) != fault.Retry || fault.Code(err) != "starttls" || r.handedOver() != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("wrong certificate", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil, secure)
		_, err := send(mailer(t, smtprelay.Options{Addr: "other.example:587", Dial: dial(r), TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}))
		if fault.Of(err) != fault.Retry || r.handedOver() != 0 {
			t.Errorf("%v", err)
		}
	})
	t.Run("from the first byte", func(t *testing.T) {
		t.Parallel()
		r := start(t, nil, func(r *relay) { secure(r); r.implicit = true })
		m := mailer(t, smtprelay.Options{Addr: "relay.example:465", Dial: dial(r), TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Username: "desk", Password: "secret"})
		if _, err := send(m); err != nil || strings.Contains(r.said(), "STARTTLS") {
			t.Errorf("%v %s", err, r.said())
		}
	})
	for _, step := range []string{"greet", "EHLO", "STARTTLS"} {
		t.Run("hangs at "+step, func(t *testing.T) {
			t.Parallel()
			r := start(t, map[string][]string{step: {hang}}, secure)
			m := mailer(t, smtprelay.Options{Addr: "relay.example:587", Dial: dial(r), DialTimeout: 200 * time.Millisecond})
			if _, err := send(m); fault.Of(err) != fault.Retry || fault.Code(err) != "connection" {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("password in the clear", func(t *testing.T) {
		t.Parallel()
		_, err := smtprelay.New(smtprelay.Options{Addr: "relay.example:25", Security: smtprelay.None, Username: "desk"})
		if fault.Of(err) != fault.Invalid {
			t.Errorf("%v", err)
		}
	})
}

func TestSigningIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, offer, answer, password string
		want                          fault.Kind
	}{
		{"plain", "AUTH PLAIN LOGIN", "", "secret", fault.Internal},
		{"challenge", "AUTH CRAM-MD5", "", "secret", fault.Internal},
		{"wrong answer to the challenge", "AUTH CRAM-MD5", "", "wrong", fault.Retry},
		{"wrong password", "AUTH PLAIN", "535 5.7.8 no", "secret", fault.Retry},
		{"nothing we know", "AUTH GSSAPI", "", "secret", fault.Retry},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, map[string][]string{"AUTH": {c.answer}}, func(r *relay) { r.ext = append(r.ext, c.offer) })
			_, err := send(mailer(t, smtprelay.Options{Addr: r.addr, Username: "desk", Password: c.password}))
			if fault.Of(err) != c.want || (err == nil) != (r.handedOver() == 1) {
				t.Errorf("%v", err)
			}
			if err != nil && (fault.Code(err) != "auth" || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestWhatTheRelayCannotTakeIsRefusedBeforeItIsOffered(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	m := mailer(t, smtprelay.Options{Addr: r.addr})
	for _, c := range []struct{ name, to, raw, code string }{
		{"an address outside ASCII", "häkki@world.example", mail, "smtputf8"},
		{"a header outside ASCII", "a@world.example", "Subject: ä\r\n\r\nx\r\n", "smtputf8"},
		{"too large", "a@world.example", strings.Repeat("x", 1_000_001), "552"},
		{"a line break in an address", "a@world.example>\r\nRCPT TO:<b@world.example", mail, "address"},
		{"no address", "", mail, "address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := m.SendMail(context.Background(), "help@desk.example", []string{c.to}, []byte(c.raw), "")
			if fault.Of(err) != fault.Permanent || fault.Code(err) != c.code || r.handedOver() != 0 {
				t.Errorf("%q %v", fault.Code(err), err)
			}
		})
	}
}

func TestTheTagTravelsAsEnvelopeID(t *testing.T) {
	t.Parallel()
	world, err := fake.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = world.Close() })
	if _, err := send(mailer(t, smtprelay.Options{Addr: world.Addr()})); err != nil {
		t.Fatal(err)
	}
	if got := world.Received()[0]; got.EnvelopeID != "7f3a" || got.Sender != "help@desk.example" {
		t.Errorf("%+v", got)
	}
}

func TestAnIdleConnectionIsNotKeptForEver(t *testing.T) {
	t.Parallel()
	r := start(t, nil, nil)
	m := mailer(t, smtprelay.Options{Addr: r.addr, IdleTimeout: time.Millisecond})
	for range 2 {
		if _, err := send(m); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // the time-out is the machine's clock
	}
	if r.handedOver() != 2 || r.connections() != 2 {
		t.Errorf("%d mails over %d connections", r.handedOver(), r.connections())
	}
}

func certificate(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"relay.example"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots
}
