package email

import (
	"strings"
	"testing"
)

// split is what separate makes of plain text.
func split(text string) written { return separate(plainLines(text)) }

func TestHeadingsOfQuotationsAreKnownInManyLanguages(t *testing.T) {
	t.Parallel()
	for _, heading := range []string{
		"On Sun, 22 Nov 2026 at 09:30, Desk <help@desk.example> wrote:", "On 22/11/2026 09:30, Desk wrote:", "On Nov 22, 2026, at 09:30, Desk <help@desk.example> wrote:",
		"Desk wrote on 22/11/26 09:30:", "Desk <help@desk.example> wrote on Sun 22 Nov 2026:",
		"su 22. marrask. 2026 klo 9.30 Desk (help@desk.example) kirjoitti:", "Desk kirjoitti 22.11.2026 klo 9.30:", "22.11.2026, 9.30, Desk kirjoitti:",
		"Den sön 22 nov. 2026 kl 09:30 skrev Desk <help@desk.example>:", "22 nov. 2026 kl. 09:30 skrev Desk <help@desk.example>:", "Den man. 22. nov. 2026 kl. 09.30 skrev Desk <help@desk.example>:",
		"Am So., 22. Nov. 2026 um 09:30 Uhr schrieb Desk <help@desk.example>:", "Am 22.11.2026 um 09:30 schrieb Desk:", "Desk schrieb am 22.11.26 um 09:30:",
		"Le dim. 22 nov. 2026 à 09:30, Desk <help@desk.example> a écrit :", "Le 22/11/2026 à 09:30, Desk a écrit\u00a0:",
		"El dom, 22 nov 2026 a las 9:30, Desk (<help@desk.example>) escribió:", "Il giorno dom 22 nov 2026 alle ore 09:30 Desk <help@desk.example> ha scritto:",
		"Em dom., 22 de nov. de 2026 às 09:30, Desk <help@desk.example> escreveu:", "Op zo 22 nov 2026 om 09:30 schreef Desk <help@desk.example>:",
		"niedz., 22 lis 2026 o 09:30 Desk <help@desk.example> napisał(a):", "ne 22. 11. 2026 v 9:30 odesílatel Desk <help@desk.example> napsal:",
		"Desk <help@desk.example> ezt írta (időpont: 2026. nov. 22., V, 9:30):", "вс, 22 нояб. 2026 г. в 09:30, Desk <help@desk.example>:", "22.11.2026 09:30, Desk пишет:",
		"Desk <help@desk.example>, 22 Kas 2026 Paz, 09:30 tarihinde şunu yazdı:", "2026年11月22日(日) 9:30 Desk <help@desk.example>:", "Desk <help@desk.example> 于2026年11月22日周日 09:30写道：",
		"2026년 11월 22일 (일) 오전 9:30, Desk <help@desk.example>님이 작성:", "Kuupäev P, 22. november 2026 kell 09:30 kirjutas Desk <help@desk.example>:",
		"---- On Sun, 22 Nov 2026 09:30:00 +0200 Desk <help@desk.example> wrote ----", "-----Desk <help@desk.example> wrote: -----",
		"-----Original Message-----", "-------- Alkuperäinen viesti --------", "-------- Ursprüngliche Nachricht --------", "-----Message d'origine-----", "-------- Original message --------",
	} {
		w := split("Oma teksti.\n\n" + heading + "\n\nVanha teksti.\nKaksi riviä.\n")
		if w.own != "Oma teksti." || !strings.Contains(w.quoted, "Vanha teksti.") || !w.found {
			t.Errorf("%s: own %q, quoted %q", heading, w.own, w.quoted)
		}
		if w := split("Oma teksti.\n\n" + heading + "\n> Vanha teksti.\n\nVastaus alla."); w.own != "Oma teksti.\n\nVastaus alla." && !strings.HasPrefix(heading, "-----") && !strings.HasPrefix(heading, "---") {
			t.Errorf("%s, answered below: own %q", heading, w.own)
		}
	}
}

func TestOldHeadersAreKnownInManyLanguages(t *testing.T) {
	t.Parallel()
	for _, block := range []string{
		"From: Desk\nSent: Sunday, November 22, 2026 9:30\nTo: Maija\nSubject: Paketti", "*From:* Desk <help@desk.example>\n*Sent:* 22.11.2026\n*To:* Maija\n*Subject:* x",
		"Lähettäjä: Desk\nLähetetty: sunnuntai 22. marraskuuta 2026 9.30\nVastaanottaja: Maija\nAihe: Paketti", "Från: Desk\nSkickat: den 22 november 2026 09:30\nTill: Maija\nÄmne: Paket",
		"Von: Desk\nGesendet: Sonntag, 22. November 2026 09:30\nAn: Maija\nBetreff: Paket", "De : Desk\nEnvoyé : dimanche 22 novembre 2026 09:30\nÀ : Maija\nObjet : Colis",
		"________________________________\nSendandi: Desk <help@desk.example>\nSent: sun 22. nóv. 2026\nViðtakandi: Maija\nEfni: Pakki", "________________________________\nFoo: Desk\nBar: 22.11. 2026\nBaz: Maija <maija@world.example>\nQux: pakki",
		"发件人: Desk\n发送时间: 2026年11月22日 9:30\n收件人: Maija\n主题: 包裹",
	} {
		if w := split("Oma teksti.\n\n" + block + "\n\nVanha teksti."); w.own != "Oma teksti." {
			t.Errorf("%q: own %q", block, w.own)
		}
	}
}

func TestWhatOnlyLooksQuotedStays(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"From: Helsinki\nTo: Turku\nDate: 5.12.2026\n\nKaksi aikuista.", "Maija wrote:\nI have no idea.", "On Monday he wrote:\nno.", "Hello.\n\nMaija wrote:\nI have no idea.", "Aihe: lasku\n\nLasku on väärin.",
		"I wrote to you on Monday and on Tuesday: nothing came.", "Hei,\n\n- yksi\n- kaksi\n---\nkolme", "Tilasin 5.5. klo 10:00, kuten kirjoitin. Siis:\n\ntuoli ja pöytä",
		"Sent from Tampere yesterday, still not here.", "Lähetetty tavara puuttuu", "Name: Maija\nStreet: Hämeenkatu 1\nPhone: 040 123", "x --\ny",
	} {
		if w := split(text); w.own != text || w.quoted != "" {
			t.Errorf("%q: own %q, quoted %q", text, w.own, w.quoted)
		}
	}
}

func TestAQuotationBelowSettlesWhatAHeadingIs(t *testing.T) {
	t.Parallel()
	if w := split("Ok.\n\nMaija wrote:\n> I have no idea.\n"); w.own != "Ok." || !strings.HasPrefix(w.quoted, "Maija wrote:") {
		t.Errorf("own %q, quoted %q", w.own, w.quoted)
	}
}

func TestSignaturesLeaveTheTextButNotTheMail(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Hei\n\n-- \nMaija\n040 123":                           "Hei",
		"Hei\n--\nMaija":                                       "Hei",
		"Hei\n\nSent from my iPhone":                           "Hei",
		"Hei\n\nLähetetty iPhonesta":                           "Hei",
		"Hej\n\nSkickat från min iPhone":                       "Hej",
		"Hallo\n\nVon meinem iPhone gesendet":                  "Hallo",
		"Bonjour\n\nEnvoyé de mon iPhone":                      "Bonjour",
		"Hei\n\nHanki Outlook for iOS <https://aka.ms/o0ukef>": "Hei",
		"Hei\n\n____________________________\nkäyttäjät mailing list\nkayttajat@lists.example": "Hei",
		"-- \nMaija": "-- \nMaija",
		"Hei\n-- \nMaija\n\nOn 22.11.2026 09:30, Desk wrote:\n> x": "Hei\n--\nMaija",
	} {
		w := split(text)
		if strings.ReplaceAll(w.own, "-- \n", "--\n") != strings.ReplaceAll(want, "-- \n", "--\n") {
			t.Errorf("%q: own %q, want %q", text, w.own, want)
		}
		for l := range strings.SplitSeq(text, "\n") {
			if !strings.Contains(w.full, strings.TrimSpace(l)) {
				t.Errorf("%q: %q is not in the full text", text, l)
			}
		}
	}
}

func TestAnAnswerThatIsAFileQuotesTheRest(t *testing.T) {
	t.Parallel()
	e := parse(t, "In-Reply-To: <r1@desk.example>\n"+top+"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nOn 22.11.2026 09:30, Desk wrote:\n> Please send the bill.\n--b\nContent-Type: application/pdf; name=a.pdf\n\nx\n--b--\n", nil)
	if e.Message.Text != "" || !strings.Contains(e.Message.Quoted, "Please send") || len(e.Message.Parts) != 1 {
		t.Errorf("%+v", e.Message)
	}
}

func TestWordsInsideASignatureBlockAreNotLost(t *testing.T) {
	t.Parallel()
	page := `<div id="ms-outlook-mobile-signature">Kiitos, sain sen.<br>Get <a href="https://aka.ms/x">Outlook for Android</a></div><hr><div id="divRplyFwdMsg">From: x</div><div>Vanha</div>`
	if w := separate(htmlText(page, nil)); !strings.Contains(w.own, "Kiitos, sain sen.") || strings.Contains(w.own, "Vanha") {
		t.Errorf("own %q, quoted %q", w.own, w.quoted)
	}
}

func TestWhatIsForwardedIsWhatWasWritten(t *testing.T) {
	t.Parallel()
	for _, heading := range []string{
		"---------- Forwarded message ---------", "Begin forwarded message:", "-------- Forwarded Message --------", "---------- Välitetty viesti ----------", "-------- Vidarebefordrat meddelande --------",
		"-------- Weitergeleitete Nachricht --------", "Anfang der weitergeleiteten Nachricht:", "-------- Message transféré --------", "Début du message transféré :",
	} {
		forward := heading + "\n\nFrom: Kauppa <kauppa@shop.example>\nSubject: Lasku\n\nLaskunne.\n\n--\nKauppa"
		for _, text := range []string{forward, "Mikä tämä on?\n\n" + forward} {
			if w := split(text); w.own != text || w.quoted != "" {
				t.Errorf("%s: own %q, quoted %q", heading, w.own, w.quoted)
			}
		}
		if w := split("Mikä tämä on?\n\nSent from my iPhone\n\n" + forward); w.own != "Mikä tämä on?\n\n"+forward {
			t.Errorf("%s: own %q", heading, w.own)
		}
		answer := "Maksettu.\n\nOn 22.11.2026 09:30, Desk wrote:\n> " + strings.ReplaceAll(forward, "\n", "\n> ")
		if w := split(answer); w.own != "Maksettu." {
			t.Errorf("%s, quoted: own %q", heading, w.own)
		}
	}
	const outlook = "Kuuluuko tämä teille?\n\nFrom: Kauppa <kauppa@shop.example>\nSent: Sunday, November 22, 2026\nTo: Maija\nSubject: Lasku\n\nLaskunne.\n"
	for subject, want := range map[string]bool{"FW: Lasku": true, "VL: Lasku": true, "WG: Rechnung": true, "Re: FW: Lasku": false, "VS: Lasku": false, "Lasku": false} {
		e := parse(t, strings.Replace(top, "Subject: Hei", "Subject: "+subject, 1)+"\n"+outlook, nil)
		if got := strings.Contains(e.Message.Text, "Laskunne."); got != want {
			t.Errorf("%s: text %q", subject, e.Message.Text)
		}
	}
}
