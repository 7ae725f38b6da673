//go:build parts

package localaws

import (
	"context"
	"net"
	"testing"

	"github.com/aikajana/aikajana/internal/doctor"
)

// zone is the DNS of a domain that receives and sends by SES.
type zone struct{}

func (zone) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if name != "desk.example" {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return []*net.MX{{Host: "inbound-smtp.eu-north-1.amazonaws.com.", Pref: 10}}, nil
}

func (zone) LookupTXT(_ context.Context, name string) ([]string, error) {
	text := map[string]string{
		"desk.example": "v=spf1 include:amazonses.com -all", "s1._domainkey.desk.example": "v=DKIM1; k=rsa; p=MIGf", "_dmarc.desk.example": "v=DMARC1; p=quarantine",
	}[name]
	if text == "" {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return []string{text}, nil
}

func TestTheDoctorFindsTheDeployedShapeWell(t *testing.T) {
	d := open(t)
	d.settle(t)
	found, err := doctor.Run(t.Context(), doctor.Options{Server: d.BaseURL, Token: d.token, Selectors: []string{"s1"}, Resolver: zone{}})
	if err != nil {
		t.Fatal(err)
	}
	well := map[string]int{}
	for _, f := range found {
		switch f.State {
		case doctor.OK:
			well[f.Check+" "+f.Subject]++
			well[f.Subject]++
		case doctor.Problem:
			t.Errorf("%s %s: %s; %s", f.Check, f.Subject, f.Found, f.Do)
		default:
			t.Logf("%s: %s %s: %s", f.State, f.Check, f.Subject, f.Found)
		}
	}
	for what, least := range map[string]int{
		"health /healthz": 1, "route GET /api/v1/cases": 1, "route POST /hooks/no-such-channel/main": 1, "route GET /s/aaaaaaaaaaaaaaaaaaaaaaaaaa": 1,
		"queue inbound": 1, "queue mail": 1, "queue media": 1, "queue wake": 1, "mail: MX desk.example": 1,
		"whatsapp/main": 3, "form/contact": 2, // its ledger, and what refuses a stranger or shows
	} {
		if well[what] < least {
			t.Errorf("%s was found well %d times among %v", what, well[what], found)
		}
	}
}
