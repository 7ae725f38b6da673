//go:build parts

package ssm_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsssm "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/secret"
	"github.com/aikajana/aikajana/internal/secret/secrettest"
	"github.com/aikajana/aikajana/internal/secret/ssm"
	"github.com/aikajana/aikajana/internal/standin"
)

var paths atomic.Int64

func open(t *testing.T, endpoint string) *ssm.Store {
	t.Helper()
	client := awsssm.NewFromConfig(standin.Config(endpoint), func(o *awsssm.Options) { o.Retryer = aws.NopRetryer{} })
	s, err := ssm.New(client, fmt.Sprintf("/aikajana/test-%d", paths.Add(1)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSystemsManagerIsASecretStore(t *testing.T) {
	t.Parallel()
	endpoint := standin.Moto(t)
	secrettest.Run(t, func(t *testing.T) secret.Store { return open(t, endpoint) })
}

// TestSecretIsEncryptedUnderAWSsOwnKey: a key of our own, or Secrets Manager, would cost by the month.
func TestSecretIsEncryptedUnderAWSsOwnKey(t *testing.T) {
	t.Parallel()
	client := awsssm.NewFromConfig(standin.Config(standin.Moto(t)))
	s, err := ssm.New(client, "/aikajana/encrypted")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "accounts/whatsapp/main/app_secret", []string{"a"}); err != nil {
		t.Fatal(err)
	}
	found, err := client.DescribeParameters(t.Context(), &awsssm.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{{
		Key: aws.String("Path"), Option: aws.String("Recursive"), Values: []string{"/aikajana/encrypted"},
	}}})
	if err != nil || len(found.Parameters) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	if p := found.Parameters[0]; p.Type != types.ParameterTypeSecureString || p.Tier != types.ParameterTierStandard || aws.ToString(p.KeyId) != "alias/aws/ssm" {
		t.Errorf("type %s, tier %s, key %q", p.Type, p.Tier, aws.ToString(p.KeyId))
	}
}

// AWS quotes a refused value in its message; ours must not.
func TestFault56_ErrorsOfAWSAreNotQuoted(t *testing.T) {
	t.Parallel()
	for code, kind := range map[string]fault.Kind{
		"ValidationException": fault.Internal, "AccessDeniedException": fault.Denied, "ThrottlingException": fault.Retry,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amzn-Errortype", code)
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"__type":%q,"message":"Value 'canary' failed to satisfy constraint"}`, code)
		}))
		t.Cleanup(server.Close)
		err := open(t, server.URL).Put(t.Context(), "a", []string{"canary"})
		if fault.Of(err) != kind || strings.Contains(fmt.Sprintf("%v %+v", err, err), "canary") || err == nil {
			t.Errorf("%s: %v (%s), want %s without the value", code, err, fault.Of(err), kind)
		}
	}
}

func TestPathThatAWSRefusesIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "aikajana", "/aikajana/", "/", "/aws/x", "/SSM-x"} {
		if _, err := ssm.New(nil, path); err == nil {
			t.Errorf("%q was accepted", path)
		}
	}
}
