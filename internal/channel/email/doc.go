// Package email is the mail channel: what customers write, what their files are, what became of our answers, and the
// answers themselves.
//
// [Adapter.Parse] reads one raw mail. It is written for the mail of the whole world, which keeps to few of the rules: no mail
// is an error, and at worst it becomes a card that says what could not be read, with the raw mail behind it.
//
// # What mail promises, and what of it surprises
//
// RFCs were read in November 2026; programs are named with the years in which they were seen.
//
//  1. From may name several people, none, or anybody (RFC 5322 section 3.6.2). It is an identity only when the receiving side
//     authenticated it: DMARC passed, or the domain has no policy and an aligned DKIM signature or SPF passed (RFC 7489
//     sections 3.1, 6.6). Everybody else is of kind email.unverified. Reply-To and Sender identify nobody (FAULTS 9).
//  2. The local part of an address may be case-sensitive (RFC 5321 section 2.4). No large host makes it so: addresses are
//     compared in lower case, domains as A-labels (RFC 5891).
//  3. Message-ID may be missing, used twice or chosen by a stranger. The mail's ID is a hash over whether it is authenticated,
//     From, Message-ID, Date and body; relays that add headers or change line ends do not change it.
//  4. Date is what the sender's clock says, in any of the ways of RFC 5322 section 4.3 and worse. It is shown, never sorted by.
//  5. A multipart may lack its closing boundary, its boundary parameter, or any part (RFC 2046 section 5.1). Each level is cut at
//     its own boundary before anything below it is read, twelve levels and 500 parts deep: the time is linear in the size
//     whatever the nesting (FAULTS 37). This is why the parser is our own: the library that was measured (enmime 2.3.0,
//     2026-11-22) takes exponential time there and several times as long elsewhere; the other refuses broken headers.
//  6. A charset is a claim. UTF-8 called Latin-1 is read as UTF-8; Latin-1 called UTF-8, ASCII or nothing as windows-1252; GB2312
//     as GB 18030; ISO-2022-JP is known by its escapes (RFC 1468). UTF-7 (RFC 2152) is read only where it is named.
//  7. Encoded words (RFC 2047) come unpadded, unclosed, split inside a character, with line breaks inside, and in file names,
//     where RFC 2231 belongs. Headers also come as plain UTF-8 (RFC 6532) or plain Latin-1.
//  8. Of multipart/alternative the plain text is read, because it is cheap and mostly right. The HTML is read instead where it
//     alone shows what was quoted, where it shows pictures of the mail, or where the plain text is an excuse for having none.
//  9. HTML is read as a stream, without a tree: net/html refuses more than 512 nested elements, mail does not (FAULTS 42). Nothing
//     is fetched (FAULTS 31).
//  10. How programs mark a quotation is in htmlmarks.go and replywords.go. Gmail puts answers between the quoted lines inside the
//     box of the quotation (2025); in Japanese, Russian and Hebrew its heading has no verb (2024). "On … wrote:" without a date
//     or an address counts only with a quotation below it. "From: Helsinki, To: Turku" is a journey.
//  11. A signature after "-- " (RFC 3676 section 4.3) at the end is left out of the text, and so is "Sent from my iPhone" in the languages
//     of deviceLines; both stay in the full text. What somebody forwards is no quotation: nobody at the desk has seen it.
//  12. Outlook sends its own format in winmail.dat (MS-OXTNEF): text and files are taken out. S/MIME and OpenPGP stay files, and
//     the text says so. A picture is marked where it stood.
//  13. A bounce is told by structure: multipart/report (RFC 6522) or a delivery-status part (RFC 3464). Old servers, appliances and
//     large providers send words only (qmail, Exim, Exchange 5.5, Domino, Yahoo, mobile networks): these are read when the
//     sender is a machine and its words are those of a failure. A customer who writes "delivery failed" wrote a message.
//  14. Action may be missing, Final-Recipient repeated without a blank line, the original recipient known only as the address it was
//     forwarded to. "failed" with a 4.x.x status is a failure: the server has given up (RFC 3464 section 2.3.3).
//  15. Which mail a report is about is told by our tag in the returned header (TagHeader), the returned Message-ID, the report's
//     own In-Reply-To (Exchange, 2015-2026) or the envelope ID (RFC 3461 section 4.4). Some reports tell nothing: the receipt
//     then has the report's own ID as its target, so that two of them stay apart.
//  16. A read receipt is RFC 8098, and only "displayed" means read. A feedback report (RFC 5965) says that the mail arrived and
//     was not wanted: a receipt of delivery with the code "complaint". A report about authentication (RFC 6591) is kept as an
//     automatic message.
//  17. Automatic mail is told by RFC 3834 section 5, by Precedence and by what vacation programs set instead (automatic.go). Microsoft's
//     X-Auto-Response-Suppress counts only with All: its other values stand on people's mail too.
//
// What Amazon SES adds is in ses.go.
package email
