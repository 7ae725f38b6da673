//go:build parts

package sesmail_test

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/sesmail"
	"github.com/aikajana/aikajana/internal/standin"
)

func TestTheStandInTakesMailFromAVerifiedAddressOnly(t *testing.T) {
	c := client(standin.Moto(t), "eu-west-1")
	m := sesmail.New(c, "eu-west-1", "")
	stranger := strings.ReplaceAll(mail, "help@desk.example", "stranger@elsewhere.example")
	if _, err := m.SendMail(context.Background(), "", []string{"maija@world.example"}, []byte(stranger), "7f3a"); fault.Of(err) != fault.Permanent {
		t.Errorf("an address that is not verified: %v", err)
	}
	if _, err := c.CreateEmailIdentity(context.Background(), &sesv2.CreateEmailIdentityInput{EmailIdentity: aws.String("help@desk.example")}); err != nil {
		t.Fatal(err)
	}
	id, err := m.SendMail(context.Background(), "", []string{"maija@world.example"}, []byte(mail), "7f3a")
	if err != nil || !strings.HasSuffix(id, "@eu-west-1.amazonses.com") {
		t.Errorf("%q %v", id, err)
	}
}
