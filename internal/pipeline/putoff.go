package pipeline

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
)

// putOffMost is how often a message is put off: about a week of nothing but throttling. The count is our own end of the loop,
// because on AWS Lambda's is switched off for the functions that send to the queue that calls them: it would end after 16
// rounds, a few hours (template.yaml).
const putOffMost = 600

// offMark stands first in the JSON object that every queue message begins with, where nobody else reads it.
var offMark = regexp.MustCompile(`^\{"put_off":([0-9]{1,6}),`)

// countedOff is the body with its count of rounds raised by one, and the count. A body that is no JSON object with fields cannot
// carry one: it counts as put off too often, because nothing here wrote it.
func countedOff(body []byte) ([]byte, int) {
	times, rest := 0, body
	if m := offMark.FindSubmatch(body); m != nil {
		times, _ = strconv.Atoi(string(m[1])) // at most six digits
		rest = append([]byte("{"), body[len(m[0]):]...)
	}
	inside, ok := bytes.CutPrefix(rest, []byte("{"))
	if !ok || !bytes.HasPrefix(bytes.TrimLeft(inside, " \t\r\n"), []byte(`"`)) {
		return body, putOffMost + 1
	}
	return append(fmt.Appendf(nil, `{"put_off":%d,`, times+1), inside...), times + 1
}
