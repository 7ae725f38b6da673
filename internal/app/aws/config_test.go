package aws

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/smithy-go/logging"
)

// lambda sets the environment that Lambda gives a function, and nothing else of AWS.
func lambda(t *testing.T, more map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // so that it is put back
			if err := os.Unsetenv(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	for name, value := range map[string]string{
		"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-north-1", "AWS_ACCESS_KEY_ID": "ASIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example",
		"AWS_SESSION_TOKEN": "token", "AWS_LAMBDA_FUNCTION_NAME": "react", "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
	} {
		t.Setenv(name, value)
	}
	for name, value := range more {
		t.Setenv(name, value)
	}
}

// clients are the options that every client comes to, without what can only be compared by calling it.
func clients(c aws.Config) map[string]any {
	all := ClientsOf(c)
	d, q, b, m, s := all.SQS.Options(), all.S3.Options(), all.SES.Options(), all.SSM.Options(), apigatewaymanagementapi.NewFromConfig(c).Options()
	out := map[string]any{
		"sqs": []any{d.Region, d.BaseEndpoint, d.RetryMode, d.Retryer.MaxAttempts(), reflect.TypeOf(d.Retryer), d.EndpointOptions.ResolvedRegion},
		"s3":  []any{q.Region, q.BaseEndpoint, q.RetryMode, q.Retryer.MaxAttempts(), q.RequestChecksumCalculation, q.ResponseChecksumValidation, q.UsePathStyle},
		"ses": []any{b.Region, b.BaseEndpoint, b.RetryMode, b.Retryer.MaxAttempts()},
		"ssm": []any{m.Region, m.BaseEndpoint, m.RetryMode, m.Retryer.MaxAttempts()},
		"api": []any{s.Region, s.BaseEndpoint, s.RetryMode, s.Retryer.MaxAttempts()},
	}
	return out
}

// signs is what a configuration signs with, and where that came from.
func signs(t *testing.T, c aws.Config) []any {
	t.Helper()
	who, err := c.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	from, ok := c.Credentials.(aws.CredentialProviderSource)
	if !ok {
		t.Fatalf("%T says no source", c.Credentials)
	}
	return []any{who, from.ProviderSources(), reflect.TypeOf(c.Credentials)}
}

func TestConfigurationOfALambdaIsWhatTheSDKMakesOfItsEnvironment(t *testing.T) {
	for name, more := range map[string]map[string]string{
		"as Lambda sets it":    nil,
		"retries":              {"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "7"},
		"one endpoint for all": {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
		"endpoints":            {"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:2", "AWS_ENDPOINT_URL_SESV2": "http://127.0.0.1:3", "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:4"},
		"an account":           {"AWS_ACCOUNT_ID": "123456789012"},
	} {
		t.Run(name, func(t *testing.T) {
			lambda(t, more)
			want, err := config.LoadDefaultConfig(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got, err := configOf(os.Getenv, logging.NewStandardLogger(os.Stderr))
			if err != nil {
				t.Fatal(err)
			}
			if g, w := clients(got), clients(want); !reflect.DeepEqual(g, w) {
				t.Errorf("clients:\ngot  %v\nwant %v", g, w)
			}
			g, w := reflect.ValueOf(got), reflect.ValueOf(want)
			for i := range w.NumField() {
				field := w.Type().Field(i).Name
				switch field {
				case "ConfigSources": // where the clients looked
				case "Credentials":
					if g, w := signs(t, got), signs(t, want); !reflect.DeepEqual(g, w) {
						t.Errorf("%s: got %+v, want %+v", field, g, w)
					}
				case "Logger":
					if g.Field(i).Elem().Type() != w.Field(i).Elem().Type() {
						t.Errorf("%s: got %s, want %s", field, g.Field(i).Elem().Type(), w.Field(i).Elem().Type())
					}
				case "Interceptors": // none is as good as nil
					if g, w := fmt.Sprint(got.Interceptors), fmt.Sprint(want.Interceptors); g != w {
						t.Errorf("%s: got %s, want %s", field, g, w)
					}
				default:
					if !reflect.DeepEqual(g.Field(i).Interface(), w.Field(i).Interface()) {
						t.Errorf("%s: got %+v, want %+v", field, g.Field(i), w.Field(i))
					}
				}
			}
		})
	}
}

func TestEnvironmentThatIsNoLambdasIsRefused(t *testing.T) {
	for _, missing := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		lambda(t, map[string]string{missing: ""})
		if _, err := configOf(os.Getenv, nil); err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("without %s: %v", missing, err)
		}
	}
	for name, value := range map[string]string{"AWS_RETRY_MODE": "stubborn", "AWS_MAX_ATTEMPTS": "many"} {
		lambda(t, map[string]string{name: value})
		if _, err := configOf(os.Getenv, nil); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
		t.Setenv(name, "")
	}
}
