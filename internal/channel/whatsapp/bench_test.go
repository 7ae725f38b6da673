package whatsapp_test

import (
	"fmt"
	"testing"

	"github.com/aikajana/aikajana/internal/channel/whatsapp"
	"github.com/aikajana/aikajana/internal/channel/whatsapp/fake"
)

// Parse is on the path of every message: per message it should cost little against the two commits of the store.
func BenchmarkParse(b *testing.B) {
	provider := fake.New(fake.Options{AppSecret: "app-secret"})
	for _, size := range []int{1, 100, 1000} {
		updates := make([]fake.Update, size)
		for i := range updates {
			updates[i] = provider.Text(fake.Person{Phone: fmt.Sprintf("35840%07d", i%50), UserID: fmt.Sprintf("FI.%d", i%50), Name: "Maija"}, "Hei, tilaus on yhä hukassa")
		}
		e := envelope(provider.Body(updates...))
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			b.SetBytes(int64(len(e.Body)))
			b.ReportAllocs()
			for b.Loop() {
				events, err := whatsapp.Adapter{}.Parse(e)
				if err != nil || len(events) != size {
					b.Fatal(len(events), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/message")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	provider := fake.New(fake.Options{AppSecret: "app-secret"})
	body := provider.Body(provider.Text(maija, "Hei, tilaus on yhä hukassa"))
	request := delivery(body, provider.Sign(body), "app-secret")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (whatsapp.Adapter{}).Verify(request); err != nil {
			b.Fatal(err)
		}
	}
}
