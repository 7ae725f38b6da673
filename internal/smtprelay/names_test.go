package smtprelay

import "testing"

func TestAmazonsSMTPEndpointNamesTheMessageIDItPutInPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ host, status, want string }{
		{"email-smtp.eu-west-1.amazonaws.com", "Ok 0102018f3c5e6a7b-11112222-3333-4444-5555-666677778888-000000", "0102018f3c5e6a7b-11112222-3333-4444-5555-666677778888-000000@eu-west-1.amazonses.com"},
		{"email-smtp.us-east-1.amazonaws.com", "Ok 0100018f3c5e6a7b-11112222-3333-4444-5555-666677778888-000000", "0100018f3c5e6a7b-11112222-3333-4444-5555-666677778888-000000@email.amazonses.com"},
		{"email-smtp.eu-west-1.amazonaws.com", "Ok: queued", ""},
		{"relay.example", "Ok 0102018f3c5e6a7b-11112222-3333-4444-5555-666677778888-000000", ""},
	} {
		if got, ok := sesMessageID(c.host, c.status); got != c.want || ok != (c.want != "") {
			t.Errorf("%s %q: %q", c.host, c.status, got)
		}
	}
}
