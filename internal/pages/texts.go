package pages

// Texts are all words of the pages in one language. A test holds that no language lacks one, and that all use the same verbs.
type Texts struct {
	// Tag is the BCP 47 tag, Own the language's name for itself.
	Tag, Own string
	// TimeFormat is a layout for package time; Thousands stands between groups of digits.
	TimeFormat, Thousands string

	LanguageNav, ErrorPrefix, ErrorTitle, Optional string

	Title, Name, Email, EmailHelp, Phone, PhoneHelp, ContactHelp, Callback, Urgent, UrgentHelp, Subject string
	Message, MessageHelp, Files, FilesHelp, FilesAgain, Choose, Send, Privacy, Trap                     string
	PromiseMinutes, PromiseHours, PromiseWorkingHours                                                   string

	Required, Contact, EmailWrong, PhoneWrong, TooLong, Option, Date, Number, URL, Consent    string
	FileCount, FileSize, FileEmpty, NoFiles, TooMany                                          string
	TokenOld, TokenYoung, TokenWrong, TokenMissing, RateLimited, Busy, CrossSite, ContentType string

	ThanksTitle, ThanksText, ThanksStatus, ThanksKeep, ThanksMore string

	StatusTitle, StatusPlain, StateReceived, StateOpen, StateWaiting, StateSnoozed, StateSolved string
	AnswerBy, Steps, StepReceived, StepSeen, StepAnswered, StepAsked, StepSolved, StepReopened  string
	Messages, You, Us, AddMore, Expires                                                         string

	MissingTitle, MissingText, GoneTitle, GoneText, LargeTitle, LargeText, InternalTitle, InternalText string
	MethodTitle, MethodText, DeniedTitle, RateTitle, InvalidTitle                                      string

	SetupTitle, SetupIntro, SetupUser, Password, PasswordHelp, PasswordAgain, PasswordShort, PasswordLong string
	PasswordDiffers, PasswordRefused, Demo, DemoHelp, SetupSend, SetupDoneTitle, SetupDoneText, SetupOpen string
	SetupGoneTitle, SetupGoneText                                                                         string
}

// textsIn is the table. Languages are those of package form.
func textsIn(language string) *Texts {
	switch language {
	case "fi":
		return finnish()
	case "sv":
		return swedish()
	}
	return english()
}

func english() *Texts {
	return &Texts{ // #nosec G101 -- words for people, some of them about passwords
		Tag: "en", Own: "English", TimeFormat: "2 January 2006, 15:04", Thousands: ",",
		LanguageNav: "Language", ErrorPrefix: "Error: ", ErrorTitle: "Please check these", Optional: "(optional)",

		Title: "Contact us", Name: "Your name", Email: "Email address", EmailHelp: "We answer to this address.",
		Phone: "Telephone number", PhoneHelp: "With the country code if it is not Finnish.",
		ContactHelp: "Give an email address or a telephone number, so that we can answer.",
		Callback:    "Please call me", Urgent: "This is urgent", UrgentHelp: "We look at urgent matters first.", Subject: "Subject",
		Message: "Your message", MessageHelp: "At most %s characters.",
		Files: "Files", FilesHelp: "At most %d files, together %d MB. Any type: pictures, PDF, documents.",
		FilesAgain: "Please choose your files again.", Choose: "Choose", Send: "Send", Privacy: "What we do with your data",
		Trap:           "Leave this empty",
		PromiseMinutes: "We answer within %d minutes.", PromiseHours: "We answer within %d hours.", PromiseWorkingHours: "We answer within %d working hours.",

		Required: "%s: please fill this in", Contact: "Give an email address or a telephone number",
		EmailWrong: "Write the address like name@example.fi", PhoneWrong: "Write the number in digits, like +358 40 123 4567",
		TooLong: "%s: at most %s characters", Option: "%s: choose one of the options", Date: "%s: choose a date, like 2026-11-22",
		Number: "%s: write a number", URL: "%s: write a web address, like https://example.fi", Consent: "Please tick that you agree",
		FileCount: "At most %d files", FileSize: "The files are together larger than %d MB", FileEmpty: "A file is empty",
		NoFiles: "This form takes no files", TooMany: "At most %d fields",
		TokenOld:   "The page was open for a long time. Your text is still here: please check it and send it again.",
		TokenYoung: "That was very quick. Please send it again.", TokenWrong: "Something was wrong with the page. Your text is still here: please send it again.",
		TokenMissing: "Please check your text and send it from this page.",
		RateLimited:  "Many messages came from here in a short time. Your text is still here: please send it again in a few minutes.",
		Busy:         "We could not take your message just now. Your text is still here: please send it again in a moment.",
		CrossSite:    "This site may not send to this form.", ContentType: "Send the form as a web form or as JSON.",

		ThanksTitle: "Thank you, we have your message", ThanksText: "Your message has arrived safely. You need not send it again.",
		ThanksStatus: "See where your matter stands", ThanksKeep: "Keep this link: it is the only key to the page. Show it only to people whom you trust.",
		ThanksMore: "Write another message",

		StatusTitle: "Your matter %s", StatusPlain: "Your matter", StateReceived: "We have your message. It is being recorded.",
		StateOpen: "We have your message and are taking care of it.", StateWaiting: "We have answered and are waiting for you.",
		StateSnoozed: "We come back to your matter as soon as we know more.", StateSolved: "Your matter is solved.",
		AnswerBy: "You have our answer by %s at the latest.", Steps: "What has happened", StepReceived: "Your message arrived", StepSeen: "A person has read it",
		StepAnswered: "We answered", StepAsked: "We asked you something", StepSolved: "Solved", StepReopened: "Opened again",
		Messages: "What was written here", You: "You", Us: "Customer service", AddMore: "To add something, reply to the email we sent you.",
		Expires: "This page is here until %s.",

		MissingTitle: "There is nothing here", MissingText: "Check the address: perhaps a part of it is missing.",
		GoneTitle: "This page is no longer here", GoneText: "The link is wrong, or your matter was solved a long time ago. You can always write to us again.",
		LargeTitle: "That was too large", LargeText: "The files may be %d MB together. Go back and send smaller ones.",
		InternalTitle: "Something went wrong on our side", InternalText: "It is not your fault. Please try again in a few minutes.",
		MethodTitle: "That does not work here", MethodText: "Open the page in your browser and try again.",
		DeniedTitle: "That is not allowed", RateTitle: "Please wait a moment", InvalidTitle: "That could not be understood",

		SetupTitle: "Set up Aikajana", SetupIntro: "Choose the password of the first administrator.", SetupUser: "Sign in as",
		Password: "Password", PasswordHelp: "At least %d characters. Several words are easier to remember than one strange one.", PasswordAgain: "The same password again",
		PasswordShort: "The password needs at least %d characters", PasswordLong: "The password may have at most %d characters",
		PasswordDiffers: "The two passwords are not the same", PasswordRefused: "This password is not accepted: choose another one",
		Demo: "Add a demonstration account", DemoHelp: "A made-up customer writes to you and answers back. You can remove it at any time.",
		SetupSend: "Save", SetupDoneTitle: "Ready", SetupDoneText: "The password is saved, and the link that brought you here works no more.",
		SetupOpen: "Sign in", SetupGoneTitle: "This link works no more",
		SetupGoneText: "It has been used, or it is too old. If nobody has signed in yet, start \"aikajana serve\" again: it prints a new one.",
	}
}

func finnish() *Texts {
	return &Texts{ // #nosec G101 -- words for people, some of them about passwords
		Tag: "fi", Own: "Suomi", TimeFormat: "2.1.2006 klo 15.04", Thousands: "\u00A0",
		LanguageNav: "Kieli", ErrorPrefix: "Virhe: ", ErrorTitle: "Tarkista nämä kohdat", Optional: "(vapaaehtoinen)",

		Title: "Ota yhteyttä", Name: "Nimesi", Email: "Sähköpostiosoite", EmailHelp: "Vastaamme tähän osoitteeseen.",
		Phone: "Puhelinnumero", PhoneHelp: "Maatunnuksen kanssa, jos numero ei ole suomalainen.",
		ContactHelp: "Anna sähköpostiosoite tai puhelinnumero, jotta voimme vastata.",
		Callback:    "Soittakaa minulle", Urgent: "Asia on kiireellinen", UrgentHelp: "Katsomme kiireelliset asiat ensin.", Subject: "Aihe",
		Message: "Viestisi", MessageHelp: "Enintään %s merkkiä.",
		Files: "Liitteet", FilesHelp: "Enintään %d tiedostoa, yhteensä %d Mt. Mikä tahansa tyyppi: kuvia, PDF, asiakirjoja.",
		FilesAgain: "Valitse liitteet uudelleen.", Choose: "Valitse", Send: "Lähetä", Privacy: "Mitä teemme tiedoillasi",
		Trap:           "Jätä tämä tyhjäksi",
		PromiseMinutes: "Vastaamme %d minuutin kuluessa.", PromiseHours: "Vastaamme %d tunnin kuluessa.", PromiseWorkingHours: "Vastaamme %d työtunnin kuluessa.",

		Required: "%s: täytä tämä kohta", Contact: "Anna sähköpostiosoite tai puhelinnumero",
		EmailWrong: "Kirjoita osoite muodossa nimi@esimerkki.fi", PhoneWrong: "Kirjoita numero numeroin, esimerkiksi +358 40 123 4567",
		TooLong: "%s: enintään %s merkkiä", Option: "%s: valitse jokin vaihtoehdoista", Date: "%s: valitse päivä, esimerkiksi 2026-11-22",
		Number: "%s: kirjoita luku", URL: "%s: kirjoita verkko-osoite, esimerkiksi https://esimerkki.fi", Consent: "Rastita suostumuksesi",
		FileCount: "Enintään %d tiedostoa", FileSize: "Liitteet ovat yhteensä yli %d Mt", FileEmpty: "Tiedosto on tyhjä",
		NoFiles: "Tähän lomakkeeseen ei voi liittää tiedostoja", TooMany: "Enintään %d kenttää",
		TokenOld:   "Sivu oli auki pitkään. Tekstisi on tallella: tarkista se ja lähetä uudelleen.",
		TokenYoung: "Se kävi hyvin nopeasti. Lähetä viesti uudelleen.", TokenWrong: "Sivussa oli jotain vialla. Tekstisi on tallella: lähetä se uudelleen.",
		TokenMissing: "Tarkista tekstisi ja lähetä se tältä sivulta.",
		RateLimited:  "Täältä tuli lyhyessä ajassa monta viestiä. Tekstisi on tallella: lähetä se uudelleen muutaman minuutin kuluttua.",
		Busy:         "Emme voineet juuri nyt ottaa viestiäsi vastaan. Tekstisi on tallella: lähetä se hetken kuluttua uudelleen.",
		CrossSite:    "Tältä sivustolta ei voi lähettää tähän lomakkeeseen.", ContentType: "Lähetä lomake verkkolomakkeena tai JSON-muodossa.",

		ThanksTitle: "Kiitos, viestisi on perillä", ThanksText: "Viestisi on tallessa. Sitä ei tarvitse lähettää uudelleen.",
		ThanksStatus: "Katso, missä asiasi on menossa", ThanksKeep: "Säilytä tämä linkki: se on ainoa avain sivulle. Näytä se vain niille, joihin luotat.",
		ThanksMore: "Kirjoita uusi viesti",

		StatusTitle: "Asiasi %s", StatusPlain: "Asiasi", StateReceived: "Viestisi on perillä. Sitä kirjataan parhaillaan.",
		StateOpen: "Viestisi on perillä, ja hoidamme asiaasi.", StateWaiting: "Olemme vastanneet ja odotamme sinua.",
		StateSnoozed: "Palaamme asiaasi heti, kun tiedämme lisää.", StateSolved: "Asiasi on ratkaistu.",
		AnswerBy: "Saat vastauksemme viimeistään %s.", Steps: "Mitä on tapahtunut", StepReceived: "Viestisi saapui", StepSeen: "Asiakaspalvelija on lukenut sen",
		StepAnswered: "Vastasimme", StepAsked: "Kysyimme sinulta jotain", StepSolved: "Ratkaistu", StepReopened: "Avattu uudelleen",
		Messages: "Mitä tänne on kirjoitettu", You: "Sinä", Us: "Asiakaspalvelu", AddMore: "Jos haluat lisätä jotain, vastaa sähköpostiimme.",
		Expires: "Sivu on täällä %s asti.",

		MissingTitle: "Täällä ei ole mitään", MissingText: "Tarkista osoite: ehkä siitä puuttuu osa.",
		GoneTitle: "Tätä sivua ei enää ole", GoneText: "Linkki on väärä, tai asiasi ratkaistiin kauan sitten. Voit aina kirjoittaa meille uudelleen.",
		LargeTitle: "Lähetys oli liian suuri", LargeText: "Liitteet saavat olla yhteensä %d Mt. Palaa takaisin ja lähetä pienempiä.",
		InternalTitle: "Meillä meni jotain vikaan", InternalText: "Vika ei ole sinun. Yritä muutaman minuutin kuluttua uudelleen.",
		MethodTitle: "Se ei toimi täällä", MethodText: "Avaa sivu selaimella ja yritä uudelleen.",
		DeniedTitle: "Se ei ole sallittua", RateTitle: "Odota hetki", InvalidTitle: "Sitä ei voitu ymmärtää",

		SetupTitle: "Ota Aikajana käyttöön", SetupIntro: "Valitse ensimmäisen pääkäyttäjän salasana.", SetupUser: "Kirjautumisnimi",
		Password: "Salasana", PasswordHelp: "Vähintään %d merkkiä. Useampi sana on helpompi muistaa kuin yksi outo.", PasswordAgain: "Sama salasana uudelleen",
		PasswordShort: "Salasanassa on oltava vähintään %d merkkiä", PasswordLong: "Salasanassa saa olla enintään %d merkkiä",
		PasswordDiffers: "Salasanat eivät ole samat", PasswordRefused: "Tämä salasana ei kelpaa: valitse toinen",
		Demo: "Lisää esittelytili", DemoHelp: "Keksitty asiakas kirjoittaa sinulle ja vastaa takaisin. Voit poistaa tilin milloin vain.",
		SetupSend: "Tallenna", SetupDoneTitle: "Valmista", SetupDoneText: "Salasana on tallennettu, eikä tänne tuonut linkki enää toimi.",
		SetupOpen: "Kirjaudu sisään", SetupGoneTitle: "Tämä linkki ei enää toimi",
		SetupGoneText: "Se on käytetty tai liian vanha. Jos kukaan ei ole vielä kirjautunut, käynnistä \"aikajana serve\" uudelleen: se tulostaa uuden.",
	}
}

func swedish() *Texts {
	return &Texts{ // #nosec G101 -- words for people, some of them about passwords
		Tag: "sv", Own: "Svenska", TimeFormat: "2.1.2006 kl. 15.04", Thousands: "\u00A0",
		LanguageNav: "Språk", ErrorPrefix: "Fel: ", ErrorTitle: "Kontrollera följande", Optional: "(frivilligt)",

		Title: "Kontakta oss", Name: "Ditt namn", Email: "E-postadress", EmailHelp: "Vi svarar till den här adressen.",
		Phone: "Telefonnummer", PhoneHelp: "Med landsnummer om numret inte är finländskt.",
		ContactHelp: "Ange en e-postadress eller ett telefonnummer så att vi kan svara.",
		Callback:    "Ring mig", Urgent: "Ärendet är brådskande", UrgentHelp: "Vi tar brådskande ärenden först.", Subject: "Ämne",
		Message: "Ditt meddelande", MessageHelp: "Högst %s tecken.",
		Files: "Bilagor", FilesHelp: "Högst %d filer, tillsammans %d MB. Alla typer: bilder, PDF, dokument.",
		FilesAgain: "Välj bilagorna på nytt.", Choose: "Välj", Send: "Skicka", Privacy: "Vad vi gör med dina uppgifter",
		Trap:           "Lämna det här tomt",
		PromiseMinutes: "Vi svarar inom %d minuter.", PromiseHours: "Vi svarar inom %d timmar.", PromiseWorkingHours: "Vi svarar inom %d arbetstimmar.",

		Required: "%s: fyll i det här", Contact: "Ange en e-postadress eller ett telefonnummer",
		EmailWrong: "Skriv adressen så här: namn@exempel.fi", PhoneWrong: "Skriv numret med siffror, till exempel +358 40 123 4567",
		TooLong: "%s: högst %s tecken", Option: "%s: välj ett av alternativen", Date: "%s: välj ett datum, till exempel 2026-11-22",
		Number: "%s: skriv ett tal", URL: "%s: skriv en webbadress, till exempel https://exempel.fi", Consent: "Kryssa för att du samtycker",
		FileCount: "Högst %d filer", FileSize: "Bilagorna är tillsammans större än %d MB", FileEmpty: "En fil är tom",
		NoFiles: "Det här formuläret tar inte emot filer", TooMany: "Högst %d fält",
		TokenOld:   "Sidan var öppen länge. Din text finns kvar: kontrollera den och skicka på nytt.",
		TokenYoung: "Det gick mycket fort. Skicka på nytt.", TokenWrong: "Något var fel med sidan. Din text finns kvar: skicka på nytt.",
		TokenMissing: "Kontrollera din text och skicka den från den här sidan.",
		RateLimited:  "Många meddelanden kom härifrån på kort tid. Din text finns kvar: skicka på nytt om några minuter.",
		Busy:         "Vi kunde inte ta emot ditt meddelande just nu. Din text finns kvar: skicka på nytt om en stund.",
		CrossSite:    "Den här webbplatsen får inte skicka till det här formuläret.", ContentType: "Skicka formuläret som webbformulär eller som JSON.",

		ThanksTitle: "Tack, vi har fått ditt meddelande", ThanksText: "Ditt meddelande har kommit fram. Du behöver inte skicka det på nytt.",
		ThanksStatus: "Se hur det går med ditt ärende", ThanksKeep: "Spara den här länken: den är den enda nyckeln till sidan. Visa den bara för dem du litar på.",
		ThanksMore: "Skriv ett nytt meddelande",

		StatusTitle: "Ditt ärende %s", StatusPlain: "Ditt ärende", StateReceived: "Vi har fått ditt meddelande. Det registreras just nu.",
		StateOpen: "Vi har fått ditt meddelande och tar hand om ärendet.", StateWaiting: "Vi har svarat och väntar på dig.",
		StateSnoozed: "Vi återkommer så snart vi vet mer.", StateSolved: "Ditt ärende är löst.",
		AnswerBy: "Du får vårt svar senast %s.", Steps: "Vad som har hänt", StepReceived: "Ditt meddelande kom fram", StepSeen: "En kundrådgivare har läst det",
		StepAnswered: "Vi svarade", StepAsked: "Vi frågade dig något", StepSolved: "Löst", StepReopened: "Öppnat på nytt",
		Messages: "Vad som har skrivits här", You: "Du", Us: "Kundtjänst", AddMore: "Om du vill tillägga något, svara på vårt e-postmeddelande.",
		Expires: "Sidan finns kvar till %s.",

		MissingTitle: "Här finns ingenting", MissingText: "Kontrollera adressen: kanske saknas en del av den.",
		GoneTitle: "Den här sidan finns inte längre", GoneText: "Länken är fel, eller så löstes ärendet för länge sedan. Du kan alltid skriva till oss på nytt.",
		LargeTitle: "Det var för stort", LargeText: "Bilagorna får tillsammans vara %d MB. Gå tillbaka och skicka mindre filer.",
		InternalTitle: "Något gick fel hos oss", InternalText: "Det är inte ditt fel. Försök på nytt om några minuter.",
		MethodTitle: "Det fungerar inte här", MethodText: "Öppna sidan i webbläsaren och försök på nytt.",
		DeniedTitle: "Det är inte tillåtet", RateTitle: "Vänta en stund", InvalidTitle: "Det gick inte att förstå",

		SetupTitle: "Ta Aikajana i bruk", SetupIntro: "Välj lösenord för den första administratören.", SetupUser: "Inloggningsnamn",
		Password: "Lösenord", PasswordHelp: "Minst %d tecken. Flera ord är lättare att minnas än ett konstigt.", PasswordAgain: "Samma lösenord på nytt",
		PasswordShort: "Lösenordet måste ha minst %d tecken", PasswordLong: "Lösenordet får ha högst %d tecken",
		PasswordDiffers: "Lösenorden är inte lika", PasswordRefused: "Det här lösenordet godkänns inte: välj ett annat",
		Demo: "Lägg till ett demokonto", DemoHelp: "En påhittad kund skriver till dig och svarar. Du kan ta bort kontot när som helst.",
		SetupSend: "Spara", SetupDoneTitle: "Klart", SetupDoneText: "Lösenordet är sparat, och länken som förde dig hit fungerar inte längre.",
		SetupOpen: "Logga in", SetupGoneTitle: "Den här länken fungerar inte längre",
		SetupGoneText: "Den är använd eller för gammal. Om ingen har loggat in ännu, starta \"aikajana serve\" på nytt: det skriver ut en ny.",
	}
}
