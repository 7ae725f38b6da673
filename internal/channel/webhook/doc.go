// Package webhook is the channel for everything that has no channel of its own: any program that can sign a POST.
//
// What it follows, with the date on which it was read:
//
//  1. Signature: Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md, 2026-11-23).
//     HMAC-SHA256 over "<webhook-id>.<webhook-timestamp>.<raw body>", in base64 behind "v1,"; several signatures are separated by
//     spaces while a secret rotates; the timestamp is in Unix seconds and at most 5 minutes off. Secrets written "whsec_<base64>"
//     are decoded, others are used as they stand. An ID with a full stop is refused: it would blur what was signed.
//  2. CloudEvents 1.0.2, HTTP binding sections 3.1 to 3.3 and the JSON format (github.com/cloudevents/spec, 2026-11-23): structured,
//     binary and batched. id, source, specversion and type are required; (source, id) names an event for ever; data and
//     data_base64 exclude one another; a null attribute is an absent one.
//  3. In binary mode the attributes travel in headers, which the signature of Standard Webhooks does not cover. TLS does;
//     structured mode is the better choice all the same, and the documentation says so.
//  4. Any other JSON: the account's setting "mapping" says where in it to look (JSON Pointer, RFC 6901); see [Rule].
//  5. What no rule knows becomes a signal with all of its data. Nothing that was signed is dropped.
//  6. The sender's system is believed about what it says, not about who people are: an address it names is "email.unverified"
//     or "phone.unverified" until the account says trust_addresses=yes. Its own user IDs are unique within the account.
//  7. The webhook-id is stable across retries. Where the payload has no ID of its own it is the event's ID, so that a retry
//     changes nothing (FAULTS 20).
package webhook
