package dynamo

import (
	"bytes"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/table"
)

// entry is a WhatsApp message as the store keeps it, with its raw input.
func entry(text string) table.Item {
	body := `{"channel":"whatsapp","account":"main","scope":"1055","id":"wamid.HQQLMzU4NDAxMjAwMDA3RkkuOTAwMDAwMDAwNxUCMDAwMDAx","kind":"message",` +
		`"time":"2026-11-23T06:33:40.000Z","direction":"in","public":false,"from":{"kind":"whatsapp.phone","value":"358401200007","name":"Maija Meikäläinen",` +
		`"also":[{"kind":"whatsapp.user","value":"FI.9000000007"}]},"thread":"FI.9000000007","message":{"subject":"","text":"` + text + `"},` +
		`"entry":"dcn4kq2ws5x7a.001795334400000.k3jd83ks.a8s7d6f","case":"dcn4kq2ws5x7a.kj3h4k5j6h7k","customer":"dcn4kq2ws5x7a3jd83ks",` +
		`"sort":"2026-11-23T06:33:40.706Z","received_at":"2026-11-23T06:33:40.706Z","stored_at":"2026-11-23T06:33:40.706Z",` +
		`"changed_at":"2026-11-23T06:33:40.706Z","late":false,"state":"received","team":"support",` +
		`"raw":"dJFBb5tAEIX/ynbOyMIO1IVLZdWqUqmkSpWc2gqNYRyPgV3Ezhq7Fv+92sVqmkO5MLwd5r359gqkZbhA/uMK1QH1C9lQ75naGnLoyFr0YgQnbB1BfoXKaMFK5sZ+MHtug66xI8ihQD6iKoibny6OKWnnF2vSMEXgLA0l+9mfvyyy+PasIYIRZ/0u/ZDEy5U/WcP0K3oN4VPuB9NB/rYpCmr5/9HBb8SO68X94+PX4vdz8rDdnIvjZiy2m7vvTeO+PYXaf48P5+dPxTbUZ4hA6Cx+8Z2pL5DDPfE79cQtWtZKsGGtTsxNY5RlEdKR+ru7sqRMS+rEdMNwgzIz0Upc2zpZqIKtnbXwi/7oUQl3ZAW7HnJYrrM0WabvV7EPdOk96ZDrFRDrl7IfTO0qgRzGA4rFvgfPT7BGQb9DzbZv8VL2B6Op1K7b0TDjzJJVknroEMG/p/OlLOM0hWnybgHmKs6y4G12R3pjWO6cZU3WllhVxmmB6U8AAAD//w==",` +
		`"envelope":"01JD3K8ZJ5N2M7Q4W6X8Y0A1B2"}`
	return table.Item{Key: table.Key{PK: "C#dcn4kq2ws5x7a3jd83ks", SK: "E#001795334400000#k3jd83ks.a8s7d6f"}, Body: []byte(body)}
}

func TestBodyIsPackedWhereThatSavesAUnitAndComesBackWhole(t *testing.T) {
	t.Parallel()
	one := new(Table)
	for name, c := range map[string]struct {
		item   table.Item
		packed bool
		units  float64
	}{
		"a short message with its raw input": {entry("Missä se on?"), true, 1},
		"one that fits as it is":             {table.Item{Key: table.Key{PK: "X#1", SK: "A"}, Body: []byte(`{"channel":"whatsapp","account":"main"}`)}, false, 1},
		"a long message":                     {entry(strings.Repeat("Tilasin takin viikko sitten. ", 100)), true, 1},
		"what nothing makes smaller":         {table.Item{Key: table.Key{PK: "Z#1", SK: "A"}, Body: noise(1500)}, false, 2},
		"nothing":                            {table.Item{Key: table.Key{PK: "Z#2", SK: "A"}}, false, 1},
	} {
		for range 2 { // the second time with a writer that was used before
			m := one.encode(&c.item, 3, "token")
			if _, packed := m["z"].(*types.AttributeValueMemberB); packed != c.packed || packed == (m["b"] != nil) && len(c.item.Body) > 0 {
				t.Errorf("%s: packed is %v, want %v", name, packed, c.packed)
			}
			if units := writeUnits(sizeOf(m)); units != c.units {
				t.Errorf("%s: %.0f units of %d bytes, want %.0f", name, units, sizeOf(m), c.units)
			}
			back, err := decode(attributes(m))
			if err != nil || !bytes.Equal(back.Body, c.item.Body) || back.Key != c.item.Key || back.Rev != 3 {
				t.Errorf("%s: came back as %+v, %v", name, back, err)
			}
		}
	}
}

func TestBodyThatWasPackedOtherwiseIsDamagedAndNotMisread(t *testing.T) {
	t.Parallel()
	item := entry("Missä se on?")
	m := new(Table).encode(&item, 1, "token")
	z := m["z"].(*types.AttributeValueMemberB)
	for name, b := range map[string][]byte{"later": append([]byte{99}, z.Value[1:]...), "empty": {}, "cut": z.Value[:len(z.Value)/2]} {
		m["z"] = &types.AttributeValueMemberB{Value: b}
		if _, err := decode(attributes(m)); err == nil {
			t.Errorf("%s: it was read", name)
		}
	}
}

// noise is the same every time and has nothing in it that repeats.
func noise(n int) []byte {
	b, x := make([]byte, n), uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x >> 8)
	}
	return b
}

func FuzzUnpack(f *testing.F) {
	item := entry("Missä se on?")
	f.Add(new(Table).encode(&item, 1, "token")["z"].(*types.AttributeValueMemberB).Value)
	f.Add([]byte{packedBy1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if body, err := unpack(b); err == nil && len(body) > maxUnpacked {
			t.Errorf("unpacked to %d bytes", len(body))
		}
	})
}

func TestQuietWriteIsMarkedForTheEventSourcesFilter(t *testing.T) {
	t.Parallel()
	item := table.Item{Key: table.Key{PK: "X#1", SK: "A"}, Body: []byte("{}"), Quiet: true}
	marked := new(Table).encode(&item, 1, "token")
	if n, ok := marked["n"].(*types.AttributeValueMemberS); !ok || n.Value == "" {
		t.Errorf("n is %v", marked["n"])
	}
	if back, err := decode(attributes(marked)); err != nil || back.Quiet {
		t.Errorf("read back: %+v, %v", back, err)
	}
	item.Quiet = false
	if m := new(Table).encode(&item, 2, "token"); m["n"] != nil {
		t.Error("the next write is marked too")
	}
}
