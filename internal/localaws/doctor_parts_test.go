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
	well := map[string]bool{}
	for _, f := range found {
		well[f.Check+" "+f.Subject] = f.State == doctor.OK
		switch f.State {
		case doctor.OK:
		case doctor.Problem:
			t.Errorf("%s %s: %s; %s", f.Check, f.Subject, f.Found, f.Do)
		default:
			t.Logf("%s: %s %s: %s", f.State, f.Check, f.Subject, f.Found)
		}
	}
	for _, what := range []string{
		"health /healthz", "route GET /api/v1/cases", "route POST /hooks/no-such-channel/main", "route GET /s/aaaaaaaaaaaaaaaaaaaaaaaaaa",
		"queue inbound", "queue mail", "queue media", "queue wake", "webhook whatsapp/main", "webhook form/contact", "mail: MX desk.example",
	} {
		if !well[what] {
			t.Errorf("%s was not found well among %v", what, found)
		}
	}
}
