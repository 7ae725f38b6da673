package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
)

// Customers is how many people write.
const Customers = 1000

// Load is messages made and signed beforehand, so that the client beside the program costs as little as possible: it only
// writes bytes and reads a status line.
type Load struct {
	name     string
	messages int
	each     int
	posts    [][]byte
	// sent is when each post went out (or was due to), as nanoseconds since begun; acked when its answer came.
	begun time.Time
	sent  []int64
	acked []int64
}

// NewLoad makes messages, each to a POST, of a name that no other load of the same store has.
func NewLoad(name string, messages, each int) *Load {
	provider := fake.New(fake.Options{PhoneNumberID: "1055", AppSecret: appSecret, VerifyToken: "verify", AccessToken: "token"})
	l := &Load{name: name, messages: messages, each: each}
	for first := 0; first < messages; first += each {
		updates := make([]fake.Update, 0, each)
		for n := first; n < min(first+each, messages); n++ {
			who := n * 7919 % Customers
			person := fake.Person{Phone: fmt.Sprintf("35840%07d", who), Name: "Asiakas " + strconv.Itoa(who)}
			text := "Hei, tilaukseni numero " + strconv.Itoa(100000+n) + " ei ole vielä saapunut. Milloin se tulee?"
			updates = append(updates, provider.Text(person, text).ID(l.id(n)))
		}
		body := provider.Body(updates...)
		var b bytes.Buffer
		_, _ = fmt.Fprintf(&b, "POST /hooks/whatsapp/main HTTP/1.1\r\nHost: desk.example\r\nContent-Type: application/json\r\n"+
			"User-Agent: facebookexternalua\r\nX-Hub-Signature-256: %s\r\nContent-Length: %d\r\n\r\n", provider.Sign(body), len(body))
		b.Write(body)
		l.posts = append(l.posts, b.Bytes())
	}
	l.sent, l.acked = make([]int64, len(l.posts)), make([]int64, len(l.posts))
	return l
}

const idPrefix = "wamid.bench-"

func (l *Load) id(n int) string { return idPrefix + l.name + "-" + strconv.Itoa(n) }

// Run posts everything over so many connections and returns how long it took until all were accepted. With a rate, in
// messages a second, each post has its time and is late when the program holds its connection up: waiting counts.
func (l *Load) Run(ctx context.Context, addr string, clients int, rate float64) (time.Duration, error) {
	var next atomic.Int64
	var group sync.WaitGroup
	errs := make(chan error, clients)
	l.begun = time.Now()
	for range clients {
		group.Go(func() {
			if err := l.client(ctx, addr, &next, rate); err != nil {
				errs <- err
			}
		})
	}
	group.Wait()
	took := time.Since(l.begun)
	close(errs)
	return took, <-errs
}

func (l *Load) client(ctx context.Context, addr string, next *atomic.Int64, rate float64) error {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("connect to the program: %w", err)
	}
	defer func() { _ = conn.Close() }() // everything was answered
	answers := bufio.NewReaderSize(conn, 4<<10)
	for {
		n := int(next.Add(1)) - 1
		if n >= len(l.posts) {
			return nil
		}
		due := time.Since(l.begun)
		if rate > 0 {
			due = time.Duration(float64(n*l.each) / rate * float64(time.Second))
			if wait := due - time.Since(l.begun); wait > 0 {
				time.Sleep(wait)
			}
		}
		atomic.StoreInt64(&l.sent[n], int64(due))
		if err := post(conn, answers, l.posts[n]); err != nil {
			return fmt.Errorf("post %d: %w", n, err)
		}
		l.acked[n] = int64(time.Since(l.begun))
	}
}

// post writes a request and reads its answer, which must be 200.
func post(conn net.Conn, answers *bufio.Reader, request []byte) error {
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	status, err := answers.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return errors.New("answered " + strings.TrimSpace(string(status)))
	}
	length := 0
	for {
		line, err := answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	_, err = io.CopyN(io.Discard, answers, int64(length))
	return err
}

// Acknowledged is how long the answers took, sorted.
func (l *Load) Acknowledged() []time.Duration {
	all := make([]time.Duration, len(l.posts))
	for n := range l.posts {
		all[n] = time.Duration(l.acked[n] - l.sent[n])
	}
	slices.Sort(all)
	return all
}

// Quantile is the q-th part of sorted durations.
func Quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
