package aws

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/smithy-go/logging"
)

// configOf is the AWS configuration of a Lambda's environment: what config.LoadDefaultConfig makes of it, without linking the
// ways to sign in that no Lambda uses (profiles, SSO, web identity, instance metadata). They would add 1.7 MB to each function
// and a millisecond and a half to its start. A test compares the two.
//
// It reads what Lambda sets (region and credentials of the function's role; docs.aws.amazon.com/lambda/latest/dg/
// configuration-envvars.html, read on 2026-11-23) and what an operator may: AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>,
// AWS_RETRY_MODE and AWS_MAX_ATTEMPTS.
func configOf(get func(string) string, log logging.Logger) (aws.Config, error) {
	for _, name := range []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if get(name) == "" {
			return aws.Config{}, fmt.Errorf("start: the environment variable %s is not set; Lambda sets it", name)
		}
	}
	c := aws.Config{
		Region: get("AWS_REGION"),
		Credentials: aws.NewCredentialsCache(credentials.StaticCredentialsProvider{
			Value: aws.Credentials{
				AccessKeyID: get("AWS_ACCESS_KEY_ID"), SecretAccessKey: get("AWS_SECRET_ACCESS_KEY"), SessionToken: get("AWS_SESSION_TOKEN"),
				AccountID: get("AWS_ACCOUNT_ID"), Source: "EnvConfigCredentials",
			},
			Source: []aws.CredentialSource{aws.CredentialSourceEnvVars},
		}),
		Logger: log, ConfigSources: []any{endpoints(get)},
		DefaultsMode: aws.DefaultsModeLegacy, RequestMinCompressSizeBytes: 10240, AccountIDEndpointMode: aws.AccountIDEndpointModePreferred,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
		RestrictFilePermissions: aws.RestrictFilePermissionsUserReadWrite,
	}
	if url := get("AWS_ENDPOINT_URL"); url != "" {
		c.BaseEndpoint = &url
	}
	var err error
	if mode := get("AWS_RETRY_MODE"); mode != "" {
		if c.RetryMode, err = aws.ParseRetryMode(mode); err != nil {
			return aws.Config{}, fmt.Errorf("start: AWS_RETRY_MODE: %w", err)
		}
	}
	if most := get("AWS_MAX_ATTEMPTS"); most != "" {
		if c.RetryMaxAttempts, err = strconv.Atoi(most); err != nil || c.RetryMaxAttempts < 1 {
			return aws.Config{}, errors.New("start: AWS_MAX_ATTEMPTS is not a number of attempts")
		}
	}
	return c, nil
}

// endpoints are addresses of single services in the environment, asked for by every client as it is made.
type endpoints func(string) string

// GetServiceBaseEndpoint says where AWS_ENDPOINT_URL_<SERVICE> points a service.
func (e endpoints) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	url := e("AWS_ENDPOINT_URL_" + strings.ReplaceAll(strings.ToUpper(sdkID), " ", "_"))
	return url, url != "", nil
}
