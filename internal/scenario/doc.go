// Package scenario plays stories about a desk, written as text that a person likes to read, through both shapes of the
// program: the local one, and the AWS one over stand-ins, driven through its Lambda handlers. Both must tell the same story
// in the same bytes.
//
// # Worlds
//
// There are three, by how much of them is the program's own wiring and how far the script can reach in.
//
//   - [NewLocal] puts the embedded backends together as package app/local does, over a file system in memory, and works them by
//     hand: each batch is handed to its worker, so that workers can be held, raced and killed. HTTP and mail go in as calls. Every
//     story is played in it, and the goldens are its.
//   - [NewServed] is what "aikajana serve" opens: package app/local whole, over a folder, with its own workers and listeners. Hooks,
//     forms, the API and sockets are spoken to over HTTP, mail comes over SMTP and is judged by the listener, accounts are entered
//     by the API. Its clock, the DNS and where mail goes are the story's, and so is what stands between it and its queues: "hold" keeps
//     its workers from them, a send may lose its answer, a batch may hold everything twice. It plays each story that is not
//     [Script.ByHand].
//   - [Parts.NewAWS] gives each Lambda the system of package app/aws that its main makes, with the API of httpapi, the pages of
//     front and the sockets of desk, over DynamoDB Local, ElasticMQ, moto and a strict WebSocket API of ours. They are called with
//     events in the JSON that API Gateway, SQS, SNS, SES, EventBridge and the table's stream send; queues and stream are polled
//     as Lambda does, but when the script says so. Delays and visibility are the script's, before SQS. Every story is played in
//     it, and a few that only AWS can tell (scripts/aws).
//
// A script has one statement a line; what is indented belongs to the line above. "#" begins a comment. Words in capitals
// below stand for something; the forms are the ones that [Parse] knows, see statements.go.
//
//	# Maija writes, Aino answers.
//	clock 2026-11-22T08:00:00Z
//	whatsapp main <- text from=358401234567 name=Maija id=w1 "Hei, se on rikki"
//	after 40s: agent aino answers Maija "Katson heti."
//	wait 10s
//	whatsapp main says delivered
//	expect timeline Maija
//	  08:00:00 in   whatsapp  Hei, se on rikki
//	  08:00:40 out  whatsapp  Katson heti.  delivered aino
//	expect ledger whatsapp stored=2
//
// # Time
//
// The clock stands still but for a millisecond at each statement that does something; "clock", "after" and "wait" move it. Whatever can be done
// is done after each statement: queues are emptied, changes followed up. "hold" lets queued work lie until "go". Delays and
// visibility time-outs go by the script's clock in both worlds.
//
// # People
//
// A customer is called by the name that they were introduced with (name=Maija). Staff are made when they are first named:
// "agent aino" and "lead liisa" of team support, "admin".
//
// # Faults
//
// "table …", "queue …", "blobs …" and "index …" statements put trouble between the program and what it stands on. In the AWS
// world the program's clients go to DynamoDB Local, ElasticMQ and moto through proxies (package proxy), which throttle, lose
// answers, deliver twice and take half of a batch as AWS does; in the local world wrappers around what is embedded come to the
// same. "worker …" and "react …" have a worker killed between two of its calls, inside the process. A story that asks for trouble
// that then meets nobody fails: it would not tell what it says.
package scenario
