package pages

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/aikajana/aikajana/internal/msg"
)

// proof is what a form's signed token turned out to be.
type proof int

const (
	proofGood proof = iota
	proofMissing
	proofWrong
	proofYoung
	proofOld
)

// sign makes the one-time token of a form: when it was shown, the ID of the submission it will become, and a MAC over both
// and the account. Nothing is stored for it.
func sign(key []byte, account, id string, shown msg.Time) string {
	at := strconv.FormatInt(int64(shown), 36)
	return at + "." + id + "." + macOf(key, account, at, id)
}

func macOf(key []byte, account, at, id string) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("aikajana form token 1\x00" + account + "\x00" + at + "\x00" + id))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

var tokenID = regexp.MustCompile(`^[A-Za-z0-9_-]{8,80}$`)

// check reads a token. The ID is set for one that was made here, even when it is too young or too old.
func check(key []byte, account, token string, now msg.Time, least, most time.Duration) (id string, p proof) {
	if token == "" {
		return "", proofMissing
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 || !tokenID.MatchString(parts[1]) {
		return "", proofWrong
	}
	if !hmac.Equal([]byte(parts[2]), []byte(macOf(key, account, parts[0], parts[1]))) {
		return "", proofWrong
	}
	shown, err := strconv.ParseInt(parts[0], 36, 64)
	if err != nil {
		return "", proofWrong
	}
	switch age := now.Sub(msg.Time(shown)); {
	case age < least:
		return parts[1], proofYoung
	case age > most:
		return parts[1], proofOld
	}
	return parts[1], proofGood
}
