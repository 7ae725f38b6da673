package email

import (
	"strings"
	"testing"
)

// How programs put a quotation into HTML, reduced to what marks it (seen in mail of 2010-2026).
func TestQuotationsAreToldFromTheMarksOfMailPrograms(t *testing.T) {
	t.Parallel()
	const old = "<div>Vanha teksti</div>"
	for name, page := range map[string]string{
		"Gmail":                 `<div dir="ltr">Oma teksti</div><br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">On … wrote:<br></div><blockquote class="gmail_quote" style="border-left:1px #ccc solid">` + old + `</blockquote></div>`,
		"Outlook on the web":    `<div>Oma teksti</div><div id="appendonsend"></div><hr style="width:98%" tabindex="-1"><div id="divRplyFwdMsg"><b>X:</b> Desk</div>` + old,
		"Outlook, quoted again": `<div>Oma teksti</div><div id="x_divRplyFwdMsg"><b>X:</b> Desk</div>` + old,
		"Outlook for Windows":   `<div class=WordSection1><p class=MsoNormal>Oma teksti</p><div><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in'><p class=MsoNormal><b>From:</b> Desk &lt;help@desk.example&gt; <br><b>Sent:</b> Sunday, November 22, 2026 9:30 AM<br><b>To:</b> Maija<br><b>Subject:</b> x</p></div></div>` + old + `</div>`,
		"new Outlook":           `<div>Oma teksti</div><div id="mail-editor-reference-message-container">` + old + `</div>`,
		"Outlook for phones":    `<div>Oma teksti</div><div class="ms-outlook-mobile-reference-message skipProofing">` + old + `</div>`,
		"Outlook for Mac 2011":  `<div>Oma teksti</div><span id="OLK_SRC_BODY_SECTION"><div style="border-top: #b5c4df 1pt solid">` + old + `</div></span>`,
		"Hotmail":               `<div>Oma teksti<br><hr id="stopSpelling">Date: x<br>` + old + `</div>`,
		"Apple Mail":            `<div>Oma teksti</div><div><br><blockquote type="cite"><div>On … wrote:</div>` + old + `</blockquote></div>`,
		"Thunderbird":           `<p>Oma teksti</p><div class="moz-cite-prefix">On …, Desk wrote:<br></div><blockquote type="cite" cite="mid:x">` + old + `</blockquote>`,
		"Thunderbird, forward":  `<p>Oma teksti</p><div class="moz-forward-container">-------- x --------<table class="moz-email-headers-table"></table>` + old + `</div>`,
		"Yahoo":                 `<div>Oma teksti</div><div id="ydp1yahoo_quoted_2" class="ydp1yahoo_quoted"><div>On … wrote:</div>` + old + `</div>`,
		"Proton Mail":           `<div>Oma teksti</div><div class="protonmail_quote">On … wrote:<br><blockquote class="protonmail_quote" type="cite">` + old + `</blockquote></div>`,
		"Tuta":                  `<div>Oma teksti</div><blockquote class="tutanota_quote">` + old + `</blockquote>`,
		"Zimbra":                `<div>Oma teksti</div><hr id="zwchr" data-marker="__DIVIDER__"><div data-marker="__HEADERS__"><b>From: </b>x</div>` + old,
		"Zoho":                  `<div>Oma teksti</div><div class="zmail_extra">---- On … wrote ----<br><blockquote style="border-left: 1px solid">` + old + `</blockquote></div>`,
		"Spark":                 `<div name="messageBodySection">Oma teksti</div><div name="messageReplySection">On … wrote:<blockquote class="spark_quote">` + old + `</blockquote></div>`,
		"Mail.ru":               `<div>Oma teksti</div><blockquote style="border-left:1px solid #0857A6;margin:10px;padding:0 0 0 10px;">Вс … :<br>` + old + `</blockquote>`,
		"GMX":                   `<div>Oma teksti<div name="quote" style="border-left: 2px solid">` + old + `</div></div>`,
		"Roundcube":             `<p>Oma teksti</p><p id="reply-intro">On 2026-11-22 09:30, Desk wrote:</p><blockquote type="cite">` + old + `</blockquote>`,
		"a plain blockquote":    `<p>Oma teksti</p><p>On 22.11.2026 09:30, Desk wrote:</p><blockquote>` + old + `</blockquote>`,
		"a line and a header":   `<div>Oma teksti</div><hr><b>Desde:</b> Desk &lt;help@desk.example&gt;<br><b>Fecha:</b> 22 nov 2026<br><b>Para:</b> Maija<br><b>Asunto:</b> x<br>` + old,
		"Windows Mail":          `<div>Oma teksti</div><div style="border-top-color: rgb(229, 229, 229); border-top-width: 1px; border-top-style: solid;"><b>From:</b> Desk<br><b>Sent:</b> 22.11.2026<br><b>To:</b> x@y.example<br><b>Subject:</b> x</div>` + old,
	} {
		w := separate(htmlText("<html><body>"+page+"</body></html>", nil))
		if w.own != "Oma teksti" || !strings.Contains(w.quoted, "Vanha teksti") || !strings.Contains(w.full, "Vanha teksti") {
			t.Errorf("%s: own %q, quoted %q", name, w.own, w.quoted)
		}
		if !marksQuotes(page) {
			t.Errorf("%s: not seen at a glance", name)
		}
	}
}

func TestHTMLBecomesTextThatReadsWell(t *testing.T) {
	t.Parallel()
	for page, want := range map[string]string{
		"<p>a</p><p>b</p>":         "a\n\nb",
		"<div>a</div><div>b</div>": "a\nb",
		"a<br>b<br/>c":             "a\nb\nc",
		"<ul><li>a<li>b</ul><ol><li>c</li><li>d</li></ol>":                "- a\n- b\n1. c\n2. d",
		"<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>": "a  b\nc",
		"<b>a</b><i>b</i> c":                                                "ab c",
		"a&nbsp;&nbsp;b &amp; &lt;c&gt; &auml;":                             "a  b & <c> ä",
		"<pre>a  b\n c</pre>":                                               "a  b\n c",
		`<a href="https://x.example/y">y</a>`:                               "y <https://x.example/y>",
		`<a href="https://x.example/">x.example</a>`:                        "x.example",
		`<a href="mailto:a@x.example?subject=z">kirjoita</a>`:               "kirjoita <a@x.example>",
		`<a href="javascript:alert(1)">y</a>`:                               "y",
		"<style>p{}</style><script>x</script><p>a</p>":                      "a",
		`<img alt="😀" src="https://x.example/e.png">`:                       "😀",
		"<p>a</p></div></b></p><p>b":                                        "a\n\nb",
		"<div style='display:none'>x</div>a<!-- b -->":                      "a",
		"<blockquote style='margin:0 0 0 40px;border:none'>a</blockquote>b": "a\nb",
		"a\u200bb\u00adc":                                                   "abc",
	} {
		if w := separate(htmlText(page, nil)); w.own != want {
			t.Errorf("%s: %q, want %q", page, w.own, want)
		}
	}
}
