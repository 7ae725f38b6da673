package email

import "strings"

// How mail programs mark in HTML what is quoted. Seen in mail of 2005-2026; Outlook on the web prefixes the names in what it
// quotes with "x_", Hotmail did with "ecx", so names are looked for anywhere in the attribute.

// isQuote says that the element holds quoted text and nothing else.
func isQuote(tag string, a attributes) bool {
	if tag == "blockquote" {
		return a.kind == "cite" || strings.Contains(a.class, "quote") || strings.Contains(a.class, "cite") ||
			strings.Contains(a.style, "border-left:") && !strings.Contains(a.style, "border-left:none") && !strings.Contains(a.style, "border-left:0") ||
			strings.Contains(a.style, "border-left-style:solid") || strings.Contains(a.style, "border-color") && strings.Contains(a.style, "border-left") ||
			a.id != "" && strings.Contains(a.id, "quote")
	}
	switch {
	case containsAny(a.class, "moz-cite-prefix", "gmail_attr", "yahoo_quoted", "tutanota_quote", "freshdesk_quote",
		"ms-outlook-mobile-reference-message", "zmail_extra", "front-blockquote", "moz-forward-container", "quoted_text",
		"moz-email-headers-table", "apple-mail-attribution"):
		return true
	case containsAny(a.id, "olk_src_body_section", "mail-editor-reference-message-container", "yahoo_quoted", "reply-intro",
		"replybody", "_originalcontent", "_persistentheader", "isforwardcontent", "isreplycontent", "replyforwardmsg"):
		return true
	case a.name == "messagereplysection", a.name == "quote", a.marker == "__quoted_text__":
		return true
	}
	return false
}

// isSoftQuote says that the element holds a quotation with its heading, and perhaps answers between its lines.
func isSoftQuote(a attributes) bool {
	return a.class != "" && containsAny(a.class, "gmail_quote", "protonmail_quote") || a.id != "" && strings.Contains(a.id, "gmail_quote")
}

// isCut says that everything from the element on is what the mail answers or forwards.
func isCut(a attributes) bool {
	return a.id != "" && containsAny(a.id, "divrplyfwdmsg", "appendonsend", "stopspelling", "zwchr", "ms-outlook-mobile-body-separator-line") ||
		a.marker == "__divider__" || a.name == "__divider__"
}

// isSignature says that the element is the sender's signature block.
func isSignature(a attributes) bool {
	return a.class != "" && containsAny(a.class, "gmail_signature", "moz-signature", "protonmail_signature_block", "tutanota_signature",
		"mb_sig", "spark_signature") ||
		a.id != "" && containsAny(a.id, "applemailsignature", "ms-outlook-mobile-signature", "yahoo_signature") ||
		a.name == "messagesignaturesection" || a.id == "signature" || a.id == "x_signature" || a.marker == "__sig_pre__" || a.marker == "__sig_post__"
}

// marksQuotes says cheaply whether it is worth reading the HTML of a mail for its marks.
func marksQuotes(source string) bool {
	return containsAny(source, "type=\"cite", "type=cite", "type=3D\"cite", "gmail_quote", "divRplyFwdMsg", "moz-cite", "moz-forward", "yahoo_quoted",
		"protonmail_quote", "tutanota_quote", "appendonsend", "stopSpelling", "border-top:solid", "border-top: ", "border-left:", "border-left: ",
		"OLK_SRC_BODY", "reference-message", "zwchr", "<blockquote", "<BLOCKQUOTE", "messageReplySection", "_originalContent", "<hr", "<HR",
		"__QUOTED_TEXT__", "quoted_text", "border-top-style", "reply-intro", "replybody")
}

func containsAny(s string, words ...string) bool {
	if s == "" {
		return false
	}
	for _, one := range words {
		if strings.Contains(s, one) {
			return true
		}
	}
	return false
}
