package store

import (
	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// own notes the external ID of a message of ours and works in what came for it before: receipts, and the echo of it.
func (u *unit) own(e *entryRecord, scope, externalID string) error {
	k := u.s.externalKey(e.Channel, scope, externalID)
	x, err := load[external](u, k)
	if err != nil {
		return err
	}
	if x == nil {
		x = &external{Channel: e.Channel, Account: e.Account}
	}
	folded := false
	if x.Entry != "" && x.Entry != e.Entry.Entry {
		if folded, err = u.fold(e, x); err != nil || !folded {
			return err
		}
	}
	x.Entry, x.Own = e.Entry.Entry, x.Own || !folded // the event of an echo that was stored stays counted as stored
	waiting := x.Waiting
	x.Waiting, x.Since = nil, 0
	u.save(k, x)
	e.ID, e.Scope = externalID, scope
	for i := range waiting {
		e.Apply(&waiting[i], u.s.now())
	}
	return nil
}

// detach gives up the object that an earlier attempt made at the provider: a new attempt makes another, and what is still said
// of the old one is counted and changes nothing.
func (u *unit) detach(e *entryRecord) error {
	if e.ID == "" {
		return nil
	}
	k := u.s.externalKey(e.Channel, e.Scope, e.ID)
	x, err := load[external](u, k)
	if err != nil {
		return err
	}
	if x != nil && x.Entry == e.Entry.Entry {
		x.Entry, x.Erased = "", true
		u.save(k, x)
	}
	e.ID, e.Recipients = "", nil
	return nil
}

// fold makes one entry of an answer and of the echo of it that was stored before anybody knew that the two are one message
// (I2): the answer stays and takes over what the echo knew, and what the echo did to its case is taken back. False when what
// bears the external ID is no echo: then both stay.
func (u *unit) fold(e *entryRecord, x *external) (bool, error) {
	k, echo, err := u.entry(x.Entry)
	if err != nil || echo == nil || echo.Direction != msg.Out || echo.Kind != msg.KindMessage || echo.Delivery != nil {
		return false, err
	}
	if echo.Message != nil {
		for i := range echo.Message.Parts { // its files lie under its own name and go with it: the answer gets its own
			if m := echo.Message.Parts[i].Media; m != nil {
				m.State, m.Key, m.Thumbnail, m.Error = msg.MediaWaiting, "", "", ""
			}
		}
		if id := echo.Message.MessageID; id != "" {
			hk := table.Key{PK: u.s.messageIDKey(id), SK: echo.Entry.Entry}
			if t, err := load[threaded](u, hk); err != nil {
				return false, err
			} else if t != nil {
				u.remove(hk)
			}
		}
	}
	e.Absorb(&echo.Entry, u.s.now())
	u.remove(k)
	return true, u.untold(e, echo)
}

// untold takes an echo out of its case. A case that the echo had opened, and in which nothing else happened, goes with it.
func (u *unit) untold(e, echo *entryRecord) error {
	k, c, err := u.header(echo.Entry.Case)
	if err != nil || c == nil {
		return err
	}
	if !echo.Automatic {
		c.Out--
	}
	if !echo.Opens || echo.Entry.Case == e.Entry.Case || c.In+c.Out > 0 || c.LastEntry != echo.Sort || !c.Acted.IsZero() {
		c.Changed = u.s.now()
		u.save(k, c)
		return nil
	}
	reference := referenceKey(c.Reference)
	if p, err := load[pointer](u, reference); err != nil {
		return err
	} else if p != nil {
		u.remove(reference)
	}
	u.remove(k)
	return nil
}
