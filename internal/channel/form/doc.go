// Package form is the web form: what a customer writes on a page of ours, or a site of the operator's posts as JSON.
//
// There is no provider. The rules are our own and these:
//
//  1. The address that somebody types proves nothing. It becomes an identity of kind "email.unverified": a customer of its own,
//     who is never joined to the mail customer of the same address without an agent (docs/design.md, "Who is who, and which
//     case"). A telephone number alone becomes "phone.unverified"; neither, "form.anonymous".
//  2. Each submission is a conversation of its own. A number or name in the subject joins nothing (FAULTS 1).
//  3. The same form sent twice is one message: the form's one-time token and the content together make the ID. Who reuses a
//     token with other words is not swallowed as a duplicate, because the content differs.
//  4. The time in a submission is the sender's claim. It is shown; the time of receipt decides the order.
//  5. The answer goes by mail.
//  6. What a robot seems to have sent is not thrown away: it is marked, and Parse rejects it with cause spam, so that it lies
//     in quarantine, where a person can look and replay it.
//  7. Files travel inside the submission, so that one durable write holds all of it. Together they are at most [MaxFilesSize],
//     because the smaller of the two shapes of Aikajana takes requests of 6 MB (AWS Lambda quotas, 2026-11), base64 included.
//
// Package pages shows the form and accepts posts; this package owns what a submission is, on the wire and in the envelope.
package form
