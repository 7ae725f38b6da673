package pipeline

import (
	"context"
	"slices"
	"strings"

	"github.com/aikajana/aikajana/internal/channel"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/timeline"
)

// Route is a way to reach the customer of a case.
type Route struct {
	Channel, Account string
	To               msg.Address
	// MessageID is the Message-ID for a mail that goes this way, empty elsewhere.
	MessageID string
	Info      channel.Info
}

// Route finds the way for an answer: by the channel and account asked for, else by those that the customer last wrote on,
// else by the first of the channel's fallbacks on which the customer has an address. The last entry may be nil.
//
// The error is Invalid and names the field when what was asked for cannot be.
func (p *Pipeline) Route(ctx context.Context, c *timeline.Case, last *timeline.Entry, channelID, accountID string) (*Route, error) {
	from := channelID
	if from == "" {
		from = c.Channel
		if last != nil {
			from = last.Channel
		}
	}
	info, ok := p.Channels.Info(from)
	if !ok {
		return nil, fault.Field("channel", "there is no channel %q", from)
	}
	candidates := []string{from}
	if channelID == "" {
		candidates = append(candidates, info.AnswerBy...)
	}
	people, err := p.Store.Person(ctx, c.Customer)
	if err != nil {
		return nil, err
	}
	for _, candidate := range candidates {
		way, err := p.routeBy(ctx, c, last, people, candidate, accountID)
		if err != nil || way != nil {
			return way, err
		}
	}
	if channelID != "" {
		return nil, fault.Field("channel", "the customer has no address on %s, or no %s account is connected", info.Name, info.Name)
	}
	return nil, fault.Newf(fault.Invalid, "no_route", "there is no way to answer: %s carries no answers and the customer has no address on %v", info.Name, info.AnswerBy)
}

func (p *Pipeline) routeBy(ctx context.Context, c *timeline.Case, last *timeline.Entry, people []*timeline.Customer, channelID, accountID string) (*Route, error) {
	adapter, ok := p.Channels.Get(channelID)
	if !ok {
		return nil, nil
	}
	if _, ok := adapter.(channel.Sender); !ok {
		return nil, nil
	}
	info := adapter.Info()
	account, err := p.answerAccount(ctx, c, last, channelID, accountID)
	if err != nil || account == nil {
		return nil, err
	}
	to, ok := addressOn(&info, last, people)
	if !ok {
		return nil, nil
	}
	way := &Route{Channel: channelID, Account: account.ID, To: to, Info: info}
	if info.Threading == channel.ByReferences {
		address := account.Setting(&info, "address")
		_, domain, _ := strings.Cut(address, "@")
		way.MessageID = p.NewID() + "@" + domain
	}
	return way, nil
}

// answerAccount is the account to answer through: the one asked for, else the one the customer wrote to, else the case's,
// else the channel's first.
func (p *Pipeline) answerAccount(ctx context.Context, c *timeline.Case, last *timeline.Entry, channelID, accountID string) (*channel.Account, error) {
	all, err := p.accounts.list(ctx, false)
	if err != nil {
		return nil, err
	}
	if accountID != "" {
		account := all[channelID+"/"+accountID]
		if account == nil {
			return nil, fault.Field("account", "there is no account %s/%s", channelID, accountID)
		}
		return account, nil
	}
	if last != nil && last.Channel == channelID && all[channelID+"/"+last.Account] != nil {
		return all[channelID+"/"+last.Account], nil
	}
	if c.Channel == channelID && all[channelID+"/"+c.Account] != nil {
		return all[channelID+"/"+c.Account], nil
	}
	var names []string
	for name, account := range all {
		if account.Channel == channelID {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	return all[names[0]], nil
}

// addressOn is the customer's address on a channel: the one last written from, else the first kind that the channel
// prefers.
func addressOn(info *channel.Info, last *timeline.Entry, people []*timeline.Customer) (msg.Address, bool) {
	if last != nil && last.Direction == msg.In && slices.Contains(info.Identities, last.From.Kind) {
		return last.From, true
	}
	for _, kind := range info.Identities {
		for _, person := range people {
			for _, a := range person.Identities {
				if a.Kind == kind {
					return a, true
				}
			}
		}
	}
	return msg.Address{}, false
}
