package email

// Words by which mail programs show what they quote. The languages of the product first, then those whose mail reaches a
// European desk often. All in lower case.

// writingVerbs stand in "On … Maija wrote:".
var writingVerbs = []string{
	"wrote", "writes", "schrieb", "schreibt", "kirjoitti", "kirjoittaa", "skrev", "skriver", "a écrit", "a ecrit", "écrit",
	"escribió", "escribio", "ha scritto", "scrive", "schreef", "napisał(a)", "napisał", "napisała", "napisal(a)", "napisal", "pisze",
	"escreveu", "napsal(a)", "napsal", "írta", "ezt írta", "kirjutas", "rakstīja", "rašė", "написал(а)", "написал", "написала",
	"пишет", "написав", "пише", "yazdı", "şunu yazdı", "έγραψε", "a scris", "napísal(a)", "napísal", "je napisao", "je napisal", "napisao/la",
	"skrifaði", "va escriure", "đã viết", "menulis", "写道", "寫道", "のメッセージ", "は書きました", "님이 작성", "작성", "כתב", "كتب",
	"เขียนว่า", "napisala", "napisao je", "написа", "је написао", "je písal", "schrieb folgendes", "kirjoitti seuraavaa", "a répondu",
}

// attributionOpeners begin such a heading.
var attributionOpeners = wordSet(
	"on", "am", "le", "el", "il", "em", "op", "den", "på", "w", "dnia", "dne", "dňa", "på", "at", "in", "em", "a", "la", "vào", "pada", "в", "на", "at",
	// weekdays, short and long
	"mon", "tue", "wed", "thu", "fri", "sat", "sun", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday",
	"ma", "ti", "ke", "to", "pe", "la", "su", "maanantai", "maanantaina", "tiistai", "tiistaina", "keskiviikko", "keskiviikkona", "torstai", "torstaina",
	"perjantai", "perjantaina", "lauantai", "lauantaina", "sunnuntai", "sunnuntaina",
	"mån", "tis", "ons", "tors", "fre", "lör", "sön", "man", "tir", "tor", "lør", "søn", "måndag", "tisdag", "onsdag", "torsdag", "fredag", "lördag", "söndag",
	"mo", "di", "mi", "do", "fr", "sa", "so", "montag", "dienstag", "mittwoch", "donnerstag", "freitag", "samstag", "sonntag",
	"lun", "mar", "mer", "jeu", "ven", "sam", "dim", "lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche",
	"mié", "jue", "vie", "sáb", "dom", "gio", "pn", "wt", "śr", "czw", "pt", "sob", "niedz", "пн", "вт", "ср", "чт", "пт", "сб", "вс",
	"viestissä", "lähettäjä", "pon", "po", "út", "čt", "pá", "so", "ne", "în", "kuupäev", "pada", "στις", "dátum", "бтв", "seg", "ter", "qua", "qui", "sex",
	"בתאריך", "في", "ons", "tirs", "tors", "ti", "ezt",
)

// originalMessage is what stands between dashes above a quoted mail, forwardedMessage above one that is handed on.
var originalMessage = []string{
	"original message", "original mail", "original e-mail", "reply message", "replied message",
	"alkuperäinen viesti", "alkuperäinen sanoma", "lähetetty viesti",
	"ursprungligt meddelande", "originalmeddelande", "ursprungligt mail", "ursprungsmeddelande",
	"ursprüngliche nachricht", "original-nachricht", "originalnachricht", "originaltext", "urspr. nachricht", "ursprüngliche mitteilung",

	"message d'origine", "message d’origine", "message original", "message initial", "courriel original",
	"mensaje original", "messaggio originale", "messaggio originale",
	"oorspronkelijk bericht", "origineel bericht",
	"mensagem original", "oprindelig meddelelse", "original besked", "opprinnelig melding",
	"wiadomość oryginalna", "oryginalna wiadomość", "treść oryginalnej wiadomości", "původní zpráva", "pôvodná správa", "eredeti üzenet",
	"исходное сообщение", "оригинальное сообщение",
	"orijinal mesaj", "özgün ileti", "mesaj original", "algne kiri", "originaalkiri",
	"αρχικό μήνυμα", "izvorna poruka", "izvirno sporočilo", "upprunaleg skilaboð", "原始邮件", "原邮件", "原始郵件", "元のメッセージ", "원본 메시지",
}

var forwardedMessage = []string{
	"forwarded message", "begin forwarded message", "forwarded mail", "välitetty viesti", "edelleenlähetetty viesti", "välitetyn viestin alku",
	"vidarebefordrat meddelande", "vidarebefordrat brev", "vidarebefordrat", "weitergeleitete nachricht", "anfang der weitergeleiteten nachricht", "anfang der weitergeleiteten e-mail",
	"weitergeleitete mail", "message transféré", "début du message transféré", "début du message réexpédié", "mensaje reenviado", "inicio del mensaje reenviado",
	"messaggio inoltrato", "inizio messaggio inoltrato", "doorgestuurd bericht", "begin doorgestuurd bericht", "mensagem encaminhada", "videresendt besked",
	"videresendt melding", "przekazana wiadomość", "přeposlaná zpráva", "továbbított üzenet", "пересылаемое сообщение", "пересланное сообщение",
	"начало переадресованного сообщения", "iletilen mesaj", "mesaj redirecționat", "edastatud kiri", "转发邮件", "转发的邮件",
	"轉寄郵件", "転送されたメッセージ",
}

// forwardPrefixes begin the subject of a mail that is handed on. "VS" is left out: it forwards in Danish and answers in Finnish.
var forwardPrefixes = wordSet("fw", "fwd", "vl", "vb", "wg", "tr", "rv", "i", "enc", "pd", "doorst", "ilt", "转发", "轉寄")

// headerNames maps the names of an older mail's header to the English ones. "date" includes "sent".
var headerNames = func() map[string]string {
	names := make(map[string]string)
	for english, words := range map[string][]string{
		"from":    {"from", "lähettäjä", "från", "fra", "von", "de", "da", "van", "od", "feladó", "от", "от кого", "kimden", "gönderen", "kust", "saatja", "expéditeur", "remitente", "mittente", "afzender", "absender", "avsändare", "από", "发件人", "寄件者", "差出人", "送信者", "보낸 사람", "expeditor", "odesílatel", "remetente", "sender", "de la", "frá", "no", "nuo"},
		"date":    {"date", "sent", "sent at", "sent on", "date sent", "lähetetty", "päivämäärä", "pvm", "päiväys", "aika", "skickat", "skickades", "datum", "sendt", "dato", "gesendet", "gesendet am", "envoyé", "envoyé le", "date d'envoi", "enviado", "enviado el", "enviado em", "enviada em", "enviada", "fecha", "data", "inviato", "data invio", "verzonden", "wysłano", "data wysłania", "odesláno", "datum odeslání", "küldve", "dátum", "отправлено", "дата", "gönderildi", "tarih", "saadetud", "kuupäev", "στάλθηκε", "ημερομηνία", "发送时间", "日期", "送信日時", "日時", "보낸 날짜", "날짜", "trimis", "poslano", "sūtīts", "išsiųsta"},
		"to":      {"to", "vastaanottaja", "kenelle", "till", "til", "an", "empfänger", "à", "a", "pour", "para", "per", "aan", "do", "komu", "címzett", "кому", "kime", "alıcı", "kellele", "saaja", "προς", "收件人", "收件者", "宛先", "받는 사람", "către", "destinataire", "destinatario", "destinatário", "mottagare", "modtager", "kam", "kam:", "kas", "za"},
		"cc":      {"cc", "kopio", "kopia", "kopie", "copie", "copia", "cópia", "kopi", "másolat", "копия", "bilgi", "koopia", "κοιν.", "抄送", "副本", "参照", "参考", "cc.", "dw", "ud", "kopī", "bcc", "reply-to", "reply to", "vastausosoite", "antwort an", "répondre à", "svara till"},
		"subject": {"subject", "aihe", "otsikko", "ämne", "emne", "betreff", "objet", "sujet", "asunto", "assunto", "oggetto", "onderwerp", "temat", "předmět", "predmet", "tárgy", "тема", "konu", "teema", "pealkiri", "θέμα", "主题", "主旨", "件名", "제목", "subiect", "zadeva", "betr.", "efni", "tēma", "tema", "re"},
	} {
		for _, word := range words {
			if _, taken := names[word]; !taken {
				names[word] = english
			}
		}
	}
	delete(names, "re")
	return names
}()

// deviceLines begin the line that a telephone or program puts under a mail.
var deviceLines = []string{
	"sent from my ", "sent from ", "sent with ", "sent via ", "get outlook for ", "get bluemail for", "sent using ",
	"hanki outlook", "hae outlook", "skickat från ", "skickades från ", "skickat med ", "hämta outlook", "skickat via ",
	"sendt fra ", "sendt med ", "hent outlook", "gesendet von ", "gesendet mit ", "gesendet über ", "gesendet aus ", "outlook für ios", "outlook für android", "holen sie sich outlook",
	"envoyé de ", "envoyé depuis ", "envoyé à partir ", "envoyé avec ", "envoyé par ", "obtenez outlook", "télécharger outlook",
	"enviado desde ", "enviado do ", "enviado de ", "enviado via ", "obtener outlook", "obter o outlook", "obter outlook", "inviato da ", "inviato con ", "scarica outlook", "ottieni outlook",
	"verstuurd vanaf ", "verzonden vanaf ", "verstuurd met ", "verzonden met ", "outlook voor ", "wysłane z ", "wysłano z ", "pobierz outlook", "odesláno z", "отправлено с ", "отправлено из ", "отправлено от ",
	"saadetud minu", "iphone'umdan gönderildi", "从我的", "发自我的", "iphoneから送信", "나의 iphone에서", "trimis de pe ", "yahoo mail: ",
	"download outlook",
}

// wordSet holds words for looking up.
func wordSet(words ...string) map[string]bool {
	set := make(map[string]bool, len(words))
	for _, word := range words {
		set[word] = true
	}
	return set
}
