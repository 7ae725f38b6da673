// Package whatsapp is the channel of the WhatsApp Business Platform, Cloud API: what customers write, change, take back and
// react to; how far answers have come; text answers; and the files that customers send.
//
// Below, "docs" is developers.facebook.com/documentation/business-messaging/whatsapp. What Meta sends and promises, and what
// of it surprises:
//
//  1. A phone number is no safe key. Since April 2026 every webhook carries a business-scoped user ID (user_id, from_user_id,
//     recipient_user_id: a country, a dot, up to 128 letters and digits); the phone number is left out for people who adopt a
//     username, unless number and business were in touch within 30 days. The user ID is made anew when the number changes.
//     So the user ID decides, then the parent's, then the number: a number may be handed to another person later, a user ID
//     is not. The number is shown first, because people know it. (docs/business-scoped-user-ids, docs/changelog of
//     2026-08-11, read 2026-11-23)
//  2. The user ID has been seen where the phone number belongs: in "from" and in "wa_id". Every value is therefore sorted by
//     its form, not by its field. A value of neither form identifies nobody. (nyaruka/courier, fixtures hello_bsuid_in_from
//     and hello_invalid_user_id, read 2026-11-23)
//  3. The signature is HMAC-SHA256 with the app secret over the body as it is sent, in which everything outside ASCII is
//     escaped as \uXXXX. Nothing may decode the body before it is checked. (docs/webhooks/create-webhook-endpoint, 2026-11-22)
//  4. One delivery holds up to 1,000 updates, of several numbers. Anything but 200 is repeated for 7 days and may arrive
//     twice; nothing is said about order, there is no history to ask for, and "delivered" is left out when a message is read
//     at once. (docs/webhooks/overview and reference/messages/status, 2026-11-22)
//  5. Timestamps are seconds, as a string; milliseconds have been seen. From 100,000,000,000 on they are taken for
//     milliseconds. (nyaruka/courier, parseTimestamp, 2026-11-22)
//  6. A number that changed comes as a message of type system, without a contact: user_changed_number has the old number in
//     "from" and the new one in system.wa_id, and since 2026-08-11 the old and new user IDs; user_changed_user_id has user IDs
//     only and no "from". Both become an identity event. Other system messages are nobody's writing and are rejected as
//     unsupported. (docs/webhooks/reference/messages/system of 2026-05-21, docs/changelog of 2026-08-11, read 2026-11-23)
//  7. A reaction is taken back by one without an emoji; an empty emoji has been seen too. (docs/webhooks/reference/messages/
//     reaction, 2026-11-22; david-lev/pywa, fixtures unreaction_no_emoji and unreaction_empty, read 2026-11-23)
//  8. The answers to a form (Flow) are JSON inside a string and need not be an object. A message of type interactive may come
//     without its object, an error of the provider beside it. (nyaruka/courier, nfm_reply_non_object; david-lev/pywa,
//     interactive_message_with_err; read 2026-11-23)
//  9. What is written in the WhatsApp Business app on the same number arrives as smb_message_echoes, edits and revocations
//     included; "to" is the customer and to_user_id may be missing. Edits and revocations by customers are sent only for
//     numbers that are used in the app as well ("Coexistence"): within 15 minutes and two days. (docs/webhooks/reference/
//     smb_message_echoes, messages/edit, messages/revoke; May to July 2026, read 2026-11-23)
//  10. A voice message that was listened to has the status "played": read. "deleted", of the API before the Cloud API, is no
//     delivery state and is rejected as unsupported; so is any status not known. In a group each participant reports apart.
//     (docs/webhooks/reference/messages/status, 2026-11-22)
//  11. In some countries wa_id and "from" are two spellings of one number (a 9 or a 1 more). The spelling in "from" is kept;
//     the contact's user ID still counts as the same person's when contact and message are alone in the delivery.
//     (docs/business-phone-numbers/phone-numbers, 2026-11-22)
//  12. AWS End User Messaging Social hands on one entry ({id, changes}, not {object, entry}), as JSON inside a string inside
//     JSON, usually inside an SNS notification. There the signature is SNS's. (docs.aws.amazon.com/social-messaging, 2026-11-22)
//  13. Deliveries hold other fields as well, by the app's subscription: templates, quality, history, app state, preferences,
//     groups, standby. They are kept as rejected (unsupported) and can be replayed once something reads them. Of calls, the
//     end is read: it tells who, when, how it ended and how long it took.
//  14. A file comes as an ID, good for 7 days, and (since 2025-11-12, gradually) a URL, good for minutes. GET /{media-id}
//     gives a fresh URL for 5 minutes, on lookaside.fbsbx.com; it needs the access token too. (docs/reference/media/media-api,
//     read 2026-11-23)
//  15. Free text may be sent for 24 hours after the customer's last message; afterwards templates only (131047). One number
//     may send a customer one message in 6 seconds, 45 in a burst (131056); a number 80 a second (130429). Since 2026-10-01
//     free answers are billed one by one, so statuses carry "pricing", which is kept. (docs/support/error-codes of 2026-05-15,
//     read 2026-11-23; docs/throughput, 2026-11-22; the price change from resellers only, 2026-11-22)
//  16. biz_opaque_callback_data comes back in every status of a message. It carries our entry ID, so that an answer whose
//     acceptance was never heard of is settled by its receipt. (docs/webhooks/reference/messages/status, 2026-11-22)
//  17. Limits of files: pictures 5 MB (JPEG, PNG), sound and films 16 MB, documents 100 MB (text, PDF, Office), stickers 100 KB,
//     animated ones 500 KB (WebP). What customers send may be larger in kind, never in size. (docs/media of 2025-12-11, from a
//     copy, read 2026-11-23)
//  18. Meta's older pages show places and contacts without a type. What is there then tells what it is.
//
// # What becomes of an answer when the account is out of order
//
// An expired token, a missing permission or an unpaid bill (190, 0, 3, 10, 200-299, 131042, …) means that nothing was
// accepted and that an operator can mend it. The answer is not failed: it is tried again every 15 minutes, with the reason
// shown, and goes out by itself once the account is in order. When that comes too late, the closed window fails it for good.
package whatsapp
