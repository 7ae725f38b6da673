package pipeline

import (
	"context"
	"slices"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/store"
)

// takeReceipts works in what a mail provider says became of mails of ours. What is about no answer (mail to staff, say) is
// passed over: nobody waits for it, and it names people.
func (p *Pipeline) takeReceipts(ctx context.Context, work *batchWork, m *queue.Message, receipts []msg.Event) error {
	adapter, ok := p.Channels.Get(mailChannel)
	if !ok {
		return fault.Newf(fault.Permanent, "no_channel", "this version knows no channel %s", mailChannel)
	}
	info := adapter.Info()
	for i := range receipts {
		account, err := p.sentBy(ctx, &receipts[i])
		if err != nil {
			return err
		}
		if account == nil {
			p.Log.InfoContext(ctx, "receipt of no answer passed over", "message", m.ID, "state", receipts[i].Receipt.State)
			continue
		}
		in := store.Incoming{
			Event: receipts[i], Scope: scope(&info, account), ReceivedAt: m.SentAt, Envelope: "receipt-" + m.ID, Place: i, Rules: p.rules(&info, account),
		}
		in.Event.Account = account.ID
		work.add(item{message: m.ID, in: in})
		work.unnumbered(m.ID, store.AccountOf(account.Channel, account.ID))
	}
	return nil
}

// sentBy is the account that sent what the receipt is about, nil when no answer is meant. The tag of the send names the answer
// and so the account, also one that is not connected any more. Without a tag, and where the answer was erased, it is the
// account by which the provider's ID of the mail is known.
func (p *Pipeline) sentBy(ctx context.Context, receipt *msg.Event) (*channel.Account, error) {
	if receipt.Tag != "" {
		e, err := p.Store.Entry(ctx, receipt.Tag)
		if err != nil && fault.Of(err) != fault.Missing {
			return nil, err
		}
		if err == nil && e.Channel == mailChannel {
			account, err := p.accounts.sure(ctx, e.Channel, e.Account)
			if account == nil && err == nil {
				account = &channel.Account{Channel: e.Channel, ID: e.Account}
			}
			return account, err
		}
	}
	all, err := p.accounts.list(ctx, false)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, account := range all {
		if account.Channel == mailChannel {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	adapter, _ := p.Channels.Get(mailChannel)
	info := adapter.Info()
	for _, name := range names {
		known, err := p.Store.Knows(ctx, mailChannel, scope(&info, all[name]), receipt.Receipt.Of)
		if err != nil || known {
			return all[name], err
		}
	}
	return nil, nil
}
