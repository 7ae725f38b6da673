package email

import (
	"testing"

	"github.com/aikajana/aikajana/internal/channel/channeltest"
	"github.com/aikajana/aikajana/internal/msg"
)

func options() channeltest.Options {
	return channeltest.Options{
		Settings: map[string]string{"address": "help@desk.example, info@desk.example"},
		Send: &channeltest.Send{
			Mail: true,
			Of:   "r7f3a@desk.example",
			Outbound: msg.Outbound{
				To:   msg.Address{Kind: KindEmail, Value: "maija@world.example"},
				Text: "Hei Maija", Subject: "Se on rikki", MessageID: "r7f3a@desk.example",
			},
		},
	}
}

func TestChannel(t *testing.T) { channeltest.Run(t, Adapter{}, options()) }

func FuzzParse(f *testing.F) { channeltest.Fuzz(f, Adapter{}, options()) }

func fixtures(t testing.TB) []channeltest.Fixture {
	t.Helper()
	all, err := channeltest.Fixtures(Adapter{}.Info(), options())
	if err != nil {
		t.Fatal(err)
	}
	return all
}
