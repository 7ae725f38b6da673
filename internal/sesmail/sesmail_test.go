package sesmail_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/sesmail"
)

const mail = "From: help@desk.example\r\nTo: maija@world.example\r\nSubject: Re: Hei\r\n\r\nKatson heti.\r\n"

func client(endpoint, region string) *sesv2.Client {
	return sesv2.New(sesv2.Options{
		Region: region, BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
}

// ses answers SendEmail with what the test says and counts the calls.
func ses(t *testing.T, handle http.HandlerFunc) (endpoint string, calls *atomic.Int32) {
	t.Helper()
	calls = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, calls
}

func send(m *sesmail.Mailer) (string, error) {
	return m.SendMail(context.Background(), "", []string{"maija@world.example"}, []byte(mail), "7f3a")
}

func TestAMailGoesOutWithItsTagAndComesBackUnderSESsMessageID(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{"eu-west-1": "0102-x@eu-west-1.amazonses.com", "us-east-1": "0102-x@email.amazonses.com"} {
		endpoint, _ := ses(t, func(w http.ResponseWriter, r *http.Request) {
			var in struct {
				Content struct {
					Raw struct{ Data string }
				}
				Destination          struct{ ToAddresses []string }
				EmailTags            []struct{ Name, Value string }
				ConfigurationSetName string
				FromEmailAddress     *string
			}
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				t.Error(err)
			}
			raw, err := base64.StdEncoding.DecodeString(in.Content.Raw.Data)
			if err != nil || string(raw) != mail || r.URL.Path != "/v2/email/outbound-emails" ||
				len(in.EmailTags) != 1 || in.EmailTags[0].Name != "entry" || in.EmailTags[0].Value != "7f3a" ||
				in.ConfigurationSetName != "desk" || in.FromEmailAddress != nil || in.Destination.ToAddresses[0] != "maija@world.example" {
				t.Errorf("%s %+v %q %v", r.URL.Path, in, raw, err)
			}
			_, _ = io.WriteString(w, `{"MessageId":"0102-x"}`)
		})
		id, err := send(sesmail.New(client(endpoint, region), region, "desk"))
		if err != nil || id != want {
			t.Errorf("%q %v", id, err)
		}
	}
}

func TestEachAnswerHasItsDispositionAndIsAskedForOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status int
		code   string
		body   string
		want   fault.Kind
	}{
		{"rejected", 400, "MessageRejected", `{"message":"Email address is not verified. The following identities failed: maija@world.example"}`, fault.Permanent},
		{"bad request", 400, "BadRequestException", `{"message":"x"}`, fault.Permanent},
		{"unknown refusal", 400, "SomethingNew", `{"message":"x"}`, fault.Permanent},
		{"throttled", 429, "TooManyRequestsException", `{"message":"Maximum sending rate exceeded."}`, fault.Retry},
		{"quota", 400, "LimitExceededException", `{"message":"x"}`, fault.Retry},
		{"paused", 400, "SendingPausedException", `{"message":"x"}`, fault.Retry},
		{"suspended", 400, "AccountSuspendedException", `{"message":"x"}`, fault.Retry},
		{"not verified", 400, "MailFromDomainNotVerifiedException", `{"message":"x"}`, fault.Retry},
		{"no such set", 404, "NotFoundException", `{"message":"Configuration set desk does not exist."}`, fault.Retry},
		{"no permission", 403, "AccessDeniedException", `{"message":"x"}`, fault.Retry},
		{"unavailable", 503, "", ``, fault.Retry},
		{"internal", 500, "InternalServiceErrorException", `{"message":"x"}`, fault.Uncertain},
		{"gateway", 504, "", `<html>`, fault.Uncertain},
		{"unreadable", 200, "", `<html>`, fault.Uncertain},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			endpoint, calls := ses(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.code != "" {
					w.Header().Set("X-Amzn-ErrorType", c.code)
				}
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			_, err := send(sesmail.New(client(endpoint, "eu-west-1"), "eu-west-1", "desk"))
			if fault.Of(err) != c.want || err == nil || strings.Contains(err.Error(), "maija") {
				t.Errorf("%v: %v, want %v", fault.Of(err), err, c.want)
			}
			if calls.Load() != 1 {
				t.Errorf("asked %d times", calls.Load())
			}
		})
	}
}

func TestALostAnswerIsUncertainAndNoConnectionIsNot(t *testing.T) {
	t.Parallel()
	endpoint, calls := ses(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	if _, err := send(sesmail.New(client(endpoint, "eu-west-1"), "eu-west-1", "")); fault.Of(err) != fault.Uncertain || calls.Load() != 1 {
		t.Errorf("cut: %v after %d calls", err, calls.Load())
	}
	asked := make(chan struct{})
	release := make(chan struct{})
	slow, _ := ses(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		close(asked)
		<-release
	})
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-asked; cancel() }()
	_, err := sesmail.New(client(slow, "eu-west-1"), "eu-west-1", "").SendMail(ctx, "", []string{"a@world.example"}, []byte(mail), "")
	close(release)
	if fault.Of(err) != fault.Uncertain {
		t.Errorf("cancelled: %v", err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	if _, err := send(sesmail.New(client(gone.URL, "eu-west-1"), "eu-west-1", "")); fault.Of(err) != fault.Retry {
		t.Errorf("nobody listens: %v", err)
	}
	noKeys := sesv2.New(sesv2.Options{Region: "eu-west-1", BaseEndpoint: aws.String(endpoint), Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no role")
	})})
	if _, err := send(sesmail.New(noKeys, "eu-west-1", "")); fault.Of(err) != fault.Retry || fault.After(err) < time.Second {
		t.Errorf("no credentials: %v", err)
	}
}

func TestWhatSESCannotTakeIsNotOffered(t *testing.T) {
	t.Parallel()
	endpoint, calls := ses(t, func(http.ResponseWriter, *http.Request) {})
	m := sesmail.New(client(endpoint, "eu-west-1"), "eu-west-1", "")
	for code, to := range map[string][]string{"smtputf8": {"häkki@world.example"}, "address": nil} {
		if _, err := m.SendMail(context.Background(), "", to, []byte(mail), ""); fault.Of(err) != fault.Permanent || fault.Code(err) != code {
			t.Errorf("%v", err)
		}
	}
	if _, err := m.SendMail(context.Background(), "", []string{"a@world.example"}, make([]byte, 40<<20+1), ""); fault.Code(err) != "too_large" || calls.Load() != 0 {
		t.Errorf("%v after %d calls", err, calls.Load())
	}
}
