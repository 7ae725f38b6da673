package email

import "strings"

// The words of bounces, in lower case. They decide only about mail whose sender is a machine, so they may be short.

var bounceSubjects = []string{
	"undeliver", "delivery fail", "delivery status", "delivery notification", "delivery report", "delivery error", "delivery problem", "failure notice", "failed delivery",
	"mail delivery", "returned mail", "returned to sender", "returning message", "returning to sender", "mail system error", "mail failure", "failed mail", "mail failed",
	"could not be delivered", "couldn't be delivered", "not delivered", "non-deliver", "nondeliver", "non remis", "unzustellbar", "nicht zugestellt", "unable to deliver",
	"error sending your mail", "message blocked", "rejected", "delayed mail", "delivery delayed", "delayed delivery", "warning: could not send", "postmaster notify", "bounce",
	"ei voitu toimittaa", "toimittaminen epäonnistui", "toimitusvirhe", "viestiä ei", "kunde inte levereras", "gick inte att leverera", "oleveransbar", "kan inte levereras", "leveransfel",
	"échec de la remise", "échec de remise", "échec d'envoi", "message non délivré", "non distribu", "no se puede entregar", "no entregado", "devuelto", "mancato recapito", "mancata consegna",
	"onbestelbaar", "niet bezorgd", "kunne ikke leveres", "nie można dostarczyć", "niedostarcz", "недостав", "не доставлено", "不達", "配信できま", "配送できま", "エラーメール", "退信", "系统退信", "投递失败", "無法投遞", "não entregue", "falha na entrega",
}

var bouncePhrases = []string{
	"could not be delivered", "couldn't be delivered", "cannot be delivered", "can not be delivered", "could not deliver", "couldn't deliver", "not delivered", "was not delivered",
	"wasn't able to deliver", "unable to deliver", "unable to be delivered", "undeliverable", "undelivered", "delivery failed", "delivery to the following", "delevery to the following",
	"delivery has failed", "failed to deliver", "failed permanently", "did not reach", "did not receive this message", "could not be reached", "error delivering", "error occurred while attempting to deliver",
	"trouble delivering", "problem delivering", "permanent error", "permanent failure", "permanent fatal", "fatal error", "had delivery errors", "delivery errors", "delivery problem", "non-delivered", "recipients were affected", "failure reasons", "not listed in", "unsuccessful", "your message was rejected", "was rejected",
	"message was not accepted", "returned to sender", "returned to you", "non-deliverable", "nondeliver", "could not be sent", "couldn't be sent", "not be sent", "not been delivered", "yet been delivered", "has been delayed", "delivery is delayed", "still being retried",
	"transcript of session", "transcript of the attempts", "unknown user", "user unknown", "no such user", "mailbox unavailable", "mailbox exceeds", "mailbox full", "over quota", "quota exceeded", "does not exist", "invalid address", "malformed address", "incorrectly constructed",
	"refused to accept your message", "message headers follow", "blocked by", "envelope expired", "message expired", "will be retried", "has been blocked", "unrouteable", "remote host said", "recipient rejected", "address rejected",
	"konnte nicht zugestellt", "nicht zugestellt werden", "unzustellbar", "ei voitu toimittaa", "ei voitu välittää", "kunde inte levereras", "n'a pas pu être", "n’a pas pu être", "no se pudo entregar", "no se ha podido entregar", "non è stato possibile", "impossibile recapitare",
	"kon niet worden", "nie mógł zostać", "nie może zostać", "не может быть доставлено", "не было доставлено", "не удалось доставить", "送信できませんでした", "配信できませんでした", "届けることができません", "送信に失敗", "无法送达", "無法傳送", "não pôde ser entregue", "não foi entregue",
}

// failureWords mark a sentence that names the recipient it is about.
var failureWords = []string{
	"deliver", "failed", "failure", "unknown", "reject", "refused", "exceed", "full", "quota", "unable", "cannot", "can't", "could not", "couldn't", "not found", "does not", "doesn't", "no such", "invalid", "malformed", "error", "undeliver",
	"disabled", "blocked", "expired", "reached", "rcpt to", "recipient", "addressed to", "zugestellt", "empfänger", "destinataire", "vastaanottaja", "mottagar", "gateway for",
}

var delaySubjects = []string{
	"(delay)", "delayed", "delay ", "warning: could not send", "warning: message", "still being retried", "verzögert", "retard", "viivästy", "försen", "mail deferred", "delivery status: delayed", "notification: delayed",
}

var delayPhrases = []string{
	"has been delayed", "delivery is delayed", "been delayed", "will be retried", "still being retried", "will continue to", "will keep trying", "keep trying to deliver", "warning message only", "this is a warning only", "do not need to resend", "don't need to resend", "not need to re-send",
	"not yet been delivered", "not been delivered yet", "has not yet", "no action is required", "further attempts will be made", "will retry", "next attempt", "will try again", "zustellversuche", "wird erneut versucht", "toimitus viivästyy", "yritetään uudelleen", "försök kommer att göras", "sera retenté", "se reintentará",
}

// returnedFields begin the header of a returned mail.
var returnedFields = wordSet("received", "return-path", "message-id", "from", "to", "subject", "date", "mime-version", "content-type", "x-mailer", "reply-to",
	"sender", "delivered-to", "envelope-to", "dkim-signature", "x-received", "x-originating-ip", "user-agent", "content-transfer-encoding", "cc", "references", "in-reply-to", "authentication-results", "domainkey-signature", "x-aikajana-entry")

// traceFields are those that stand in no summary meant for people.
var traceFields = wordSet("received", "return-path", "message-id", "mime-version", "content-type", "dkim-signature", "x-received", "delivered-to", "domainkey-signature")

// recipientLabel says that a label announces the recipient that failed.
func recipientLabel(label string) bool {
	if len(label) > 60 {
		return false
	}
	for _, end := range []string{"recipient", "recipients", "addressed to", "rcpt to", "address", "failed recipient", "empfänger", "destinataire", "vastaanottaja", "mottagare", "destinatario",
		"mailbox", "e-mail", "unknown user", "user unknown", "user", "宛先", "errors", "allowed size", "mail to", "delivered to", "message to", "rfc822"} {
		if strings.HasSuffix(label, end) {
			return true
		}
	}
	return label == "to"
}

// senderLabel says that a label names somebody else.
func senderLabel(label string) bool {
	for _, word := range []string{"from", "sender", "reply-to", "mail from", "contact", "envelope-from", "return-path", "help at", "message-id", "in-reply-to", "references"} {
		if strings.HasSuffix(label, word) {
			return true
		}
	}
	return false
}
