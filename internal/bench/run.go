package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// Options of a run.
type Options struct {
	// Binary is the program; Dir an existing folder on the disk to be measured.
	Binary, Dir string
	// Messages is how many each line of the table takes, Clients the lines.
	Messages int
	Clients  []int
	// Entries and Cases are the sizes of the large store; without Cases the pages are not measured.
	Entries, Cases int
	Out            io.Writer
}

// Run measures and prints. It needs some minutes; seeding a million cases takes most of them.
func Run(ctx context.Context, o Options) error {
	r := &run{Options: o}
	r.say("%d processors, %s, %s/%s\n", runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	for _, step := range []func(context.Context) error{r.idle, r.throughput, r.mails, r.pages} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

type run struct {
	Options
	sizes Sizes
	best  float64
}

func (r *run) say(format string, args ...any) { _, _ = fmt.Fprintf(r.Out, format, args...) }

const mb = 1 << 20

// idle measures start and memory on an empty store.
func (r *run) idle(ctx context.Context) error {
	data := filepath.Join(r.Dir, "idle")
	var first, again []time.Duration
	var memory int64
	for n := range 5 {
		p, err := Start(ctx, r.Binary, data)
		if err != nil {
			return err
		}
		if n == 0 {
			first = append(first, p.Started)
			time.Sleep(5 * time.Second) // whatever it does at first is done
			if memory, _, err = p.Memory(); err != nil {
				return errors.Join(err, p.Stop())
			}
		} else {
			again = append(again, p.Started)
		}
		if err := p.Stop(); err != nil {
			return err
		}
	}
	slices.Sort(again)
	r.say("\n## Start and memory, empty store\nfirst start (makes folder, keys, token)  %4d ms\nlater starts, median of %d                %4d ms (%d to %d)\nmemory after 5 s idle                    %4d MB\n",
		first[0].Milliseconds(), len(again), again[len(again)/2].Milliseconds(), again[0].Milliseconds(), again[len(again)-1].Milliseconds(), memory/mb)
	return os.RemoveAll(data)
}

// throughput measures messages a second, delays at half of the best, and memory after it.
func (r *run) throughput(ctx context.Context) error {
	data := filepath.Join(r.Dir, "load")
	p, err := Start(ctx, r.Binary, data)
	if err != nil {
		return err
	}
	lines, err := r.lines(ctx, p)
	if err == nil {
		err = r.delays(ctx, p)
	}
	now, most, merr := p.Memory()
	cpu, cerr := p.CPU()
	if err = errors.Join(err, merr, cerr, p.Stop()); err != nil {
		return fmt.Errorf("%w; the program said: %s", err, p.Said())
	}
	r.say("memory after the load %d MB, at most %d MB; processor time %.0f s; %d MB on disk\n", now/mb, most/mb, cpu.Seconds(), DiskBytes(data)/mb)
	if p.Said() != "" {
		r.say("the program logged errors: %.2000s\n", p.Said())
	}
	if r.sizes, err = Sample(ctx, data); err != nil {
		return err
	}
	return errors.Join(r.bare(ctx, lines), os.RemoveAll(data))
}

// line is one line of the throughput table.
type line struct {
	clients, messages, each    int
	accepted, stored, notified float64
	server, client             time.Duration // processor time of one message
	missing                    int
	refetches                  int64
	envelope                   int
}

func (r *run) lines(ctx context.Context, p *Program) ([]line, error) {
	warm := NewLoad("warm", 4*Customers, 1) // so that everybody is known and has a case
	if err := r.one(ctx, p, warm, 16, nil); err != nil {
		return nil, err
	}
	var lines []line
	for _, each := range []int{1, 100} {
		for _, clients := range r.Clients {
			messages := r.Messages
			if clients == 1 && each == 1 {
				messages /= 5
			}
			l := line{clients: clients, messages: messages, each: each}
			if err := r.one(ctx, p, NewLoad("c"+strconv.Itoa(clients)+"e"+strconv.Itoa(each), messages, each), clients, &l); err != nil {
				return nil, err
			}
			lines = append(lines, l)
			if each == 1 {
				r.best = max(r.best, l.notified)
			}
		}
	}
	return lines, nil
}

// one runs a load to its end.
func (r *run) one(ctx context.Context, p *Program, load *Load, clients int, l *line) error {
	a, err := Connect(ctx, p)
	if err != nil {
		return err
	}
	defer a.Close()
	a.Expect(load)
	server, err := p.CPU()
	if err != nil {
		return err
	}
	own := OwnCPU()
	accepted, err := load.Run(ctx, p.Addr, clients, 0)
	if err != nil {
		return err
	}
	var stored time.Duration
	for {
		queued, err := p.Queued(ctx)
		if err != nil {
			return err
		}
		if stored = time.Since(load.begun); queued == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	missing, notified := a.Wait(ctx, 2*time.Second)
	after, err := p.CPU()
	if err != nil || l == nil {
		return err
	}
	n := float64(load.messages)
	l.accepted, l.stored, l.notified = n/accepted.Seconds(), n/stored.Seconds(), (n-float64(missing))/notified.Seconds()
	l.server, l.client = (after-server)/time.Duration(load.messages), (OwnCPU()-own)/time.Duration(load.messages)
	l.missing, l.refetches, l.envelope = missing, a.Refetches.Load(), len(load.posts[0])
	return nil
}

// aimed is half of what the program should sustain.
const aimed = 1500

// delays measures how long acknowledgement and notification take at half of the best sustained rate, and at half of the aim.
func (r *run) delays(ctx context.Context, p *Program) error {
	r.say("\n## Delays (10 s, one a POST, 32 clients; waiting for a free client counts)\n")
	rates := []float64{r.best / 2}
	if r.best/2 > aimed {
		rates = append(rates, aimed)
	}
	for n, rate := range rates {
		if err := r.delaysAt(ctx, p, "half"+strconv.Itoa(n), rate); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) delaysAt(ctx context.Context, p *Program, name string, rate float64) error {
	load := NewLoad(name, int(rate*10), 1)
	a, err := Connect(ctx, p)
	if err != nil {
		return err
	}
	defer a.Close()
	a.Expect(load)
	if _, err := load.Run(ctx, p.Addr, 32, rate); err != nil {
		return err
	}
	missing, _ := a.Wait(ctx, 2*time.Second)
	acks, told := load.Acknowledged(), a.Notified()
	r.say("at %4.0f messages/s   acknowledged   p50 %6.1f ms   p99 %6.1f ms\n", rate, ms(Quantile(acks, 0.5)), ms(Quantile(acks, 0.99)))
	r.say("                     agent notified p50 %6.1f ms   p99 %6.1f ms   (%d of %d told)\n",
		ms(Quantile(told, 0.5)), ms(Quantile(told, 0.99)), load.messages-missing, load.messages)
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// bare runs the same writes on the bare store and prints both next to each other.
func (r *run) bare(ctx context.Context, lines []line) error {
	r.say("\n## Messages per second, %d customers, signature checked, fsync before the answer; the load client is beside it\n", Customers)
	r.say("%7s %8s | %8s %8s %8s | %8s %5s | %9s %9s %9s | %s\n", "clients", "per POST", "accepted", "stored", "notified", "bare", "ratio", "cpu/msg", "client", "bare cpu", "told by socket")
	for n, l := range lines {
		s := r.sizes
		s.Envelope = l.envelope
		dir := filepath.Join(r.Dir, "bare"+strconv.Itoa(n))
		took, cpu, err := Bare(ctx, dir, l.clients, l.messages, l.each, s)
		if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
			return fmt.Errorf("bare store: %w", err)
		}
		bare := float64(l.messages) / took.Seconds()
		told := "all"
		if l.missing > 0 {
			told = fmt.Sprintf("%d of %d, %d refetch", l.messages-l.missing, l.messages, l.refetches)
		}
		r.say("%7d %8d | %8.0f %8.0f %8.0f | %8.0f %4.0f%% | %6d us %6d us %6d us | %s\n", l.clients, l.each, l.accepted, l.stored, l.notified,
			bare, 100*min(l.stored, l.notified)/bare, l.server.Microseconds(), l.client.Microseconds(), (cpu / time.Duration(l.messages)).Microseconds(), told)
	}
	r.say("items in bytes: external ID %d, entry %d, case %d, notification %d\n", r.sizes.External, r.sizes.Entry, r.sizes.Case, r.sizes.Notification)
	return nil
}
