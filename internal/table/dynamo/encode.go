package dynamo

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Attribute maps are made by hand: reflection costs more than the rest of a write.

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func keyOf(k table.Key) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"p": text(k.PK), "s": text(k.SK)}
}

func indexAttributes(i table.Index) (pk, sk string) {
	if i == table.WorkList {
		return "wp", "ws"
	}
	return "dp", "ds"
}

var indexes = [...]table.Index{table.WorkList, table.Due}

func (t *Table) encode(i *table.Item, rev int64, token string) map[string]types.AttributeValue {
	m := make(map[string]types.AttributeValue, 10)
	m["p"], m["s"], m["r"], m["w"] = text(i.PK), text(i.SK), number(rev), text(token)
	if len(i.Body) > 0 {
		m["b"] = &types.AttributeValueMemberB{Value: i.Body}
	}
	if i.Expires > 0 {
		m["x"] = number((int64(i.Expires) + 999) / 1000) // rounded up: nothing expires early
	}
	if i.Quiet { // the event source's filter in template.yaml holds it back
		m["n"] = text("1")
	}
	for index, place := range i.Index {
		pk, sk := indexAttributes(index)
		m[pk], m[sk] = text(place.PK), text(place.SK)
	}
	t.packer.pack(m)
	return m
}

// Value is an attribute's value, whoever's type it came in: one of the fields is set, by the attribute's type in DynamoDB.
type Value struct {
	S, N string
	B    []byte
}

// attributes looks values up in a map of the SDK's.
func attributes(m map[string]types.AttributeValue) func(string) (Value, bool) {
	return func(name string) (Value, bool) {
		switch v := m[name].(type) {
		case *types.AttributeValueMemberS:
			return Value{S: v.Value}, true
		case *types.AttributeValueMemberN:
			return Value{N: v.Value}, true
		case *types.AttributeValueMemberB:
			return Value{B: v.Value}, true
		}
		return Value{}, false
	}
}

// decode reads an item from its attributes. Those of an index entry are an item without body and revision.
func decode(get func(string) (Value, bool)) (i table.Item, err error) {
	p, _ := get("p")
	s, _ := get("s")
	i.Key = table.Key{PK: p.S, SK: s.S}
	if i.PK == "" || i.SK == "" {
		return i, fmt.Errorf("item %s has no key of text: %w", i.Key, errAttribute)
	}
	if r, ok := get("r"); ok {
		if i.Rev, err = strconv.ParseInt(r.N, 10, 64); err != nil {
			return i, fmt.Errorf("item %s: r is %q: %w", i.Key, r.N, errAttribute)
		}
	}
	if x, ok := get("x"); ok {
		seconds, err := strconv.ParseInt(x.N, 10, 64)
		if err != nil {
			return i, fmt.Errorf("item %s: x is %q: %w", i.Key, x.N, errAttribute)
		}
		i.Expires = msg.Time(seconds * 1000)
	}
	if b, ok := get("b"); ok {
		i.Body = b.B
	} else if z, ok := get("z"); ok {
		if i.Body, err = unpack(z.B); err != nil {
			return i, fmt.Errorf("item %s: %w", i.Key, err)
		}
	}
	for _, index := range indexes {
		pk, sk := indexAttributes(index)
		p, inside := get(pk)
		if !inside {
			continue
		}
		s, _ := get(sk)
		if i.Index == nil {
			i.Index = make(map[table.Index]table.Key, len(indexes))
		}
		i.Index[index] = table.Key{PK: p.S, SK: s.S}
	}
	return i, nil
}

// found is the revision that counts for a precondition, 0 for no item or an expired one, and the token of who wrote it.
func found(m map[string]types.AttributeValue, now msg.Time) (rev int64, token string) {
	if len(m) == 0 {
		return 0, ""
	}
	get := attributes(m)
	w, _ := get("w")
	i, err := decode(get)
	if err != nil || expired(i.Expires, now) {
		return 0, w.S
	}
	return i.Rev, w.S
}
