package notify

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/aikajana/aikajana/internal/timeline"
)

// words are what a notification says, in the person's language. The customer's name and channel are shown; what they wrote is
// not, nor the subject that they chose.
func words(language, why string, c *timeline.Case, channelName string) (subject, text string) {
	texts, ok := said[language]
	if !ok {
		texts = said["en"]
	}
	line, ok := texts[why]
	if !ok {
		line = texts["message"]
	}
	name := shown(c.CustomerName)
	if name == "" {
		name = texts["nameless"]
	}
	text = fmt.Sprintf("%s %s\n\n%s: %s\n", line, c.Reference, texts["customer"], name)
	if channelName != "" {
		text += texts["channel"] + ": " + channelName + "\n"
	}
	return line + " " + c.Reference, text
}

// longestName is how much of a name is shown: whoever writes chooses theirs.
const longestName = 80

// shown is a name on one line that says nothing else than it seems to: no control characters, no turned direction of writing.
func shown(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, name)
	clean = strings.Join(strings.Fields(clean), " ")
	if runes := []rune(clean); len(runes) > longestName {
		clean = string(runes[:longestName]) + "…"
	}
	return clean
}

var said = map[string]map[string]string{
	"en": {
		"new_case": "New case", "message": "New message in case", "failed": "An answer failed in case", "uncertain": "Nobody knows whether an answer went out in case",
		"unseen": "Nobody has opened case", "assigned": "You were given case", "customer": "Customer", "channel": "Channel", "nameless": "no name",
	},
	"fi": {
		"new_case": "Uusi asia", "message": "Uusi viesti asiassa", "failed": "Vastaus ei mennyt perille asiassa", "uncertain": "Ei tiedetä, lähtikö vastaus asiassa",
		"unseen": "Kukaan ei ole avannut asiaa", "assigned": "Sinulle annettiin asia", "customer": "Asiakas", "channel": "Kanava", "nameless": "ei nimeä",
	},
	"sv": {
		"new_case": "Nytt ärende", "message": "Nytt meddelande i ärende", "failed": "Ett svar gick inte fram i ärende", "uncertain": "Det är oklart om ett svar gick iväg i ärende",
		"unseen": "Ingen har öppnat ärende", "assigned": "Du har fått ärende", "customer": "Kund", "channel": "Kanal", "nameless": "inget namn",
	},
}
