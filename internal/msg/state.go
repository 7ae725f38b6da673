package msg

// State says how far an answer has come on its way to the customer. It only moves forward; see [State.Next].
type State string

// The delivery states, in the order of [State.Rank]. Received is the state of what a customer sent.
const (
	Received  State = "received"
	Pending   State = "pending"
	Sending   State = "sending"
	Uncertain State = "uncertain"
	Accepted  State = "accepted"
	Sent      State = "sent"
	Delayed   State = "delayed"
	Delivered State = "delivered"
	Read      State = "read"
	Failed    State = "failed"
)

// Rank orders the delivery states; -1 for one that is not a delivery state.
func (s State) Rank() int {
	switch s {
	case Pending:
		return 0
	case Sending:
		return 1
	case Uncertain:
		return 2
	case Accepted:
		return 3
	case Sent:
		return 4
	case Delayed:
		return 5
	case Delivered:
		return 6
	case Read:
		return 7
	case Failed:
		return 8
	}
	return -1
}

// Next is the state after a receipt that reports r, and whether that changes anything (invariant I7).
//
// States only rise. Failed replaces everything below read, because mail may bounce after delivery; only a later delivered
// or read replaces failed.
func (s State) Next(r State) (State, bool) {
	switch {
	case r.Rank() < 0 || s.Rank() < 0 || s == r:
		return s, false
	case s == Failed:
		return pick(r == Delivered || r == Read, r, s)
	case r == Failed:
		return pick(s != Read, r, s)
	}
	return pick(r.Rank() > s.Rank(), r, s)
}

func pick(take bool, yes, no State) (State, bool) {
	if take {
		return yes, true
	}
	return no, false
}

// Settled says that nothing more needs to be done to get the answer out: it was accepted, or it failed for good.
func (s State) Settled() bool { return s.Rank() >= Accepted.Rank() }
