// Package scenario plays stories about a desk, written as text that a person likes to read, through both shapes of the
// program: the local one, and the AWS one over stand-ins, driven through its Lambda handlers. Both must tell the same story
// in the same bytes.
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
// is done after each statement: queues are emptied, changes followed up. "hold" lets work lie until "go". Delays and
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
