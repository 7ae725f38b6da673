package awsfilter

import (
	"strings"
	"testing"
)

func TestRecordPassesWhenEveryFieldOfOnePatternHolds(t *testing.T) {
	t.Parallel()
	f, err := New([]string{
		`{"dynamodb":{"Keys":{"p":{"S":[{"prefix":"C#"}]},"s":{"S":[{"prefix":"E#"},{"prefix":"K#"}]}}}}`,
		`{"dynamodb":{"Keys":{"p":{"S":[{"prefix":"X#"}]}},"NewImage":{"n":{"S":[{"exists":false}]}}}}`,
		`{"eventName":["REMOVE"],"dynamodb":{"OldImage":{"n":{"S":[{"exists":true}]}}}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	record := func(p, s string, image map[string]any) map[string]any {
		return map[string]any{"eventName": "INSERT", "dynamodb": map[string]any{
			"Keys": map[string]any{"p": map[string]string{"S": p}, "s": map[string]string{"S": s}}, "NewImage": image,
		}}
	}
	for _, c := range []struct {
		name   string
		record map[string]any
		passes bool
	}{
		{"an entry", record("C#c1", "E#1#e1", nil), true},
		{"a case", record("C#c1", "K#k1", nil), true},
		{"a profile", record("C#c1", "A", nil), false},
		{"a key that only holds the prefix", record("xC#c1", "E#1", nil), false},
		{"what is marked", record("X#x1", "A", map[string]any{"n": map[string]string{"S": "1"}}), false},
		{"what is not", record("X#x1", "A", map[string]any{"b": map[string]string{"B": "e30="}}), true},
		{"what has no new image", record("X#x1", "A", nil), true},
		{"a text that has to be equal", map[string]any{"eventName": "REMOVED", "dynamodb": map[string]any{"OldImage": map[string]any{"n": map[string]any{"S": "1"}}}}, false},
		{"and is", map[string]any{"eventName": "REMOVE", "dynamodb": map[string]any{"OldImage": map[string]any{"n": map[string]any{"S": "1"}}}}, true},
		{"a field that is missing", map[string]any{"eventName": "REMOVE", "dynamodb": map[string]any{}}, false},
	} {
		if f.Passes(c.record) != c.passes {
			t.Errorf("%s passes: %v, want %v", c.name, !c.passes, c.passes)
		}
	}
}

func TestRuleThatIsNotPlayedIsRefused(t *testing.T) {
	t.Parallel()
	for _, patterns := range [][]string{
		nil,
		{"{}", "{}", "{}", "{}", "{}", "{}"},
		{`{"a":[{"anything-but":["b"]}]}`},
		{`{"a":[{"numeric":[">",1]}]}`},
		{`{"a":[{"prefix":"x","exists":true}]}`},
		{`{"a":[1]}`},
		{`{"a":"x"}`},
		{`{"a":`},
	} {
		if _, err := New(patterns); err == nil {
			t.Errorf("%v was taken", patterns)
		}
	}
}

func TestFilterThatTheTemplateDoesNotHaveIsNamed(t *testing.T) {
	t.Parallel()
	if _, err := OfTemplate("../../template.yaml", "ReactFunction", "Changes"); err != nil {
		t.Error(err)
	}
	if _, err := OfTemplate("../../template.yaml", "TickFunction", "EveryMinute"); err == nil || !strings.Contains(err.Error(), "FilterCriteria") {
		t.Errorf("got %v", err)
	}
}
