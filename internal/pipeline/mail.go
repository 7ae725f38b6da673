package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
	"github.com/aikajana/aikajana/internal/table"
)

// mailChannel is the channel that mail belongs to: the one whose account settings name addresses.
const mailChannel = "email"

// MailAccount is the account that receives mail to the address, or nil. What stands behind a "+" in the local part does not
// matter: that is where reply tokens are.
func (p *Pipeline) MailAccount(ctx context.Context, address string) (*channel.Account, error) {
	want := bareAddress(address)
	return p.accounts.find(ctx, func(account *channel.Account) bool {
		addresses := strings.FieldsFunc(account.Settings["address"], func(r rune) bool { return r == ',' || r == ' ' || r == ';' })
		return account.Channel == mailChannel && slices.ContainsFunc(addresses, func(one string) bool { return bareAddress(one) == want })
	})
}

// MailAddress is an address of the desk's own to write from: that of the first mail account by name, "" when there is none.
func (p *Pipeline) MailAddress(ctx context.Context) (string, error) {
	all, err := p.accounts.list(ctx, false)
	if err != nil {
		return "", err
	}
	first, address := "", ""
	for name, account := range all {
		if account.Channel == mailChannel && (first == "" || name < first) {
			first = name
			address, _, _ = strings.Cut(account.Settings["address"], ",")
		}
	}
	return strings.TrimSpace(address), nil
}

func bareAddress(a string) string {
	local, domain, _ := strings.Cut(strings.ToLower(strings.Trim(strings.TrimSpace(a), "<>")), "@")
	local, _, _ = strings.Cut(local, "+")
	return local + "@" + domain
}

// AcceptMail takes responsibility for a mail that our own listener received, once for each account that it is for. Facts
// name recipients that the listener has checked with MailAccount.
func (p *Pipeline) AcceptMail(ctx context.Context, raw []byte, facts channel.Mail) error {
	done := map[string]bool{}
	for _, recipient := range facts.Recipients {
		account, err := p.MailAccount(ctx, recipient)
		if err != nil {
			return err
		}
		if account == nil || done[account.ID] {
			continue
		}
		done[account.ID] = true
		e := &channel.Envelope{
			ID: p.NewID(), Channel: account.Channel, Account: account.ID, ReceivedAt: p.Now(), Body: raw, Mail: &facts,
		}
		if err := p.Accept(ctx, e, p.Mails); err != nil {
			return err
		}
	}
	return nil
}

// Mail works mails into timelines: those that our own listener accepted, and those that a mail provider put into a blob and
// told of. One at a time, because one mail may be 40 MB.
func (p *Pipeline) Mail(ctx context.Context, batch []queue.Message) (failed []string) {
	ctx = table.Redoable(ctx)
	for i := range batch {
		work := &batchWork{p: p, failed: map[string]error{}}
		m := &batch[i]
		if err := p.takeMail(ctx, work, m); err != nil {
			work.fail(m.ID, err)
		}
		work.record(ctx)
		work.note(ctx)
		if err := work.failed[m.ID]; err != nil && !p.putOff(ctx, p.Mails, m, err) {
			failed = append(failed, m.ID)
			p.Log.ErrorContext(ctx, "mail not processed", "message", m.ID, "attempt", m.Attempt, "err", err)
		}
	}
	return failed
}

// mailAccounts are the accounts that a message in the Mails queue is for.
func (p *Pipeline) mailAccounts(ctx context.Context, body []byte) ([]store.AccountKey, error) {
	if e, err := decode(body); err == nil {
		return []store.AccountKey{store.AccountOf(e.Channel, e.Account)}, nil
	}
	if p.Notice == nil {
		return nil, nil
	}
	notice, err := p.Notice(body)
	if err != nil || notice == nil {
		return nil, nil //nolint:nilerr // no mail: nobody's
	}
	var all []store.AccountKey
	add := func(account *channel.Account) {
		if account == nil {
			return
		}
		if k := store.AccountOf(account.Channel, account.ID); !slices.Contains(all, k) {
			all = append(all, k)
		}
	}
	for i := range notice.Receipts {
		account, err := p.sentBy(ctx, &notice.Receipts[i])
		if err != nil {
			return nil, err
		}
		add(account)
	}
	for _, recipient := range notice.Mail.Recipients {
		account, err := p.MailAccount(ctx, recipient)
		if err != nil {
			return nil, err
		}
		add(account)
	}
	return all, nil
}

// queuedFor is the longest that a notice can lie in queues: four days, and fourteen more as a dead letter (template.yaml).
const queuedFor = 18 * 24 * time.Hour

// takenAt is when the provider took responsibility for the mail, by its own word where that can be. What the queue says is later
// for a notice that was put off or brought back from the dead letters: those are new messages to it.
func (n *MailNotice) takenAt(sent msg.Time) msg.Time {
	if n.At.IsZero() || n.At > sent || sent.Sub(n.At) > queuedFor {
		return sent
	}
	return n.At
}

func (p *Pipeline) takeMail(ctx context.Context, work *batchWork, m *queue.Message) error {
	if p.Notice == nil {
		return work.take(ctx, m)
	}
	notice, err := p.Notice(m.Body)
	if err != nil || notice == nil {
		return work.take(ctx, m) // not a notice: an envelope, or something for quarantine
	}
	if notice.Setup {
		return nil
	}
	if len(notice.Receipts) > 0 {
		return p.takeReceipts(ctx, work, m, notice.Receipts)
	}
	came := channel.Envelope{ID: "mail-" + notice.Mail.ProviderID, Channel: mailChannel, ReceivedAt: notice.takenAt(m.SentAt), Blob: notice.Key, Mail: &notice.Mail}
	if notice.Recipients != nil {
		if err := p.open(ctx, &came); err != nil {
			return err // not readable yet: it comes again
		}
		notice.Mail.Recipients = notice.Recipients(came.Body)
	}
	done := map[string]bool{}
	for _, recipient := range notice.Mail.Recipients {
		account, err := p.MailAccount(ctx, recipient)
		if err != nil {
			return err
		}
		if account == nil || done[account.ID] {
			continue
		}
		done[account.ID] = true
		e := came
		e.Account = account.ID
		if err := p.open(ctx, &e); err != nil {
			return err // not readable yet: it comes again
		}
		if err := work.takeEnvelope(ctx, m.ID, &e); err != nil {
			return err
		}
		work.unnumbered(m.ID, store.AccountOf(account.Channel, account.ID), notice.Key)
	}
	if len(done) == 0 {
		work.unnumbered(m.ID, store.AccountOf(mailChannel, ""), notice.Key)
		came.Body = nil // it stays where it is
		return p.quarantine(ctx, &came, channel.CauseUnknownAccount, fmt.Sprintf("none of its %d recipients is an address of an account", len(notice.Mail.Recipients)), 0, false)
	}
	return nil
}
