// Package simulation runs the pipeline as a deterministic simulation: one handler at a time, with a fault before or after any
// single call that it makes of a table, a queue, a blob store or a provider, and checks the invariants I1-I10 of the design
// after each run. It holds tests only.
//
// The table and the queues are the embedded ones over a file system in memory; the provider is a channel of its own. A crash
// ends the handler's goroutine where it stands, as the end of a process does: what was written stays, the messages in hand
// are neither acknowledged nor released and come back when their visibility runs out. What a power cut does to unsynced
// writes is tested with the engine and the local binary instead.
package simulation
