// Package ssm keeps secrets as SecureString parameters of AWS Systems Manager: the store of the AWS shape.
//
// Each name is one standard parameter below Options.Path, encrypted with the account's AWS-managed key; its value is the JSON
// list of the secret's values. Reading costs nothing, but is limited to 40 calls a second by default (AWS Systems Manager
// quotas, 2026-11-22): callers keep what they read for some minutes.
package ssm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/secret"
)

// Store is a secret.Store over the parameters below one path. Safe for concurrent use. Printed or logged, it shows nothing.
type Store struct {
	client *ssm.Client
	path   string
}

var _ secret.Store = (*Store)(nil)

// New makes a Store. path is where the parameters lie, like "/aikajana/production": it begins with a slash and does not end
// with one, and its first part must not begin with "aws" or "ssm", which AWS keeps for itself.
func New(client *ssm.Client, path string) (*Store, error) {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	lower := strings.ToLower(first)
	if !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.HasPrefix(lower, "aws") || strings.HasPrefix(lower, "ssm") {
		return nil, fmt.Errorf(`keep secrets in Systems Manager: %q is no path for them; use one like "/aikajana/production"`, path)
	}
	return &Store{client: client, path: path}, nil
}

// Get implements secret.Store.
func (s *Store) Get(ctx context.Context, name string) ([]string, error) {
	if err := secret.CheckName(name); err != nil {
		return nil, err
	}
	out, err := s.client.GetParameter(ctx, &ssm.GetParameterInput{Name: s.full(name), WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, hide(err, "read", name)
	}
	return secret.Decode(name, []byte(aws.ToString(out.Parameter.Value)))
}

// Put implements secret.Store.
func (s *Store) Put(ctx context.Context, name string, values []string) error {
	if err := secret.CheckName(name); err != nil {
		return err
	}
	encoded, err := secret.Encode(name, values)
	if err != nil {
		return err
	}
	_, err = s.client.PutParameter(ctx, &ssm.PutParameterInput{
		Name: s.full(name), Value: aws.String(string(encoded)), Type: types.ParameterTypeSecureString, Tier: types.ParameterTierStandard,
		Overwrite: aws.Bool(true),
	})
	return hide(err, "store", name)
}

// Delete implements secret.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := secret.CheckName(name); err != nil {
		return err
	}
	_, err := s.client.DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: s.full(name)})
	if err = hide(err, "delete", name); errors.Is(err, secret.ErrNotFound) {
		return nil
	}
	return err
}

// List implements secret.Store: a page of ten for each call to AWS.
func (s *Store) List(ctx context.Context, prefix string) (map[string][]string, error) {
	found := map[string][]string{}
	if strings.HasPrefix(prefix, "/") || strings.Contains(prefix, "//") {
		return found, nil // no name begins so, and AWS would refuse the path
	}
	// AWS lists whole folders: the one that holds the prefix, and the rest is left out here.
	below := s.path
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		below += "/" + prefix[:i]
	}
	pages := ssm.NewGetParametersByPathPaginator(s.client, &ssm.GetParametersByPathInput{
		Path: &below, Recursive: aws.Bool(true), WithDecryption: aws.Bool(true), MaxResults: aws.Int32(10),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, hide(err, "list", prefix)
		}
		for _, parameter := range page.Parameters {
			name := strings.TrimPrefix(aws.ToString(parameter.Name), s.path+"/")
			if !strings.HasPrefix(name, prefix) || secret.CheckName(name) != nil {
				continue
			}
			if found[name], err = secret.Decode(name, []byte(aws.ToString(parameter.Value))); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

func (s *Store) full(name string) *string { return aws.String(s.path + "/" + name) }

// Format implements fmt.Formatter: whatever the verb, neither values nor the client's credentials are shown.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "secrets in Systems Manager") }

// MarshalJSON shows no value.
func (s *Store) MarshalJSON() ([]byte, error) { return []byte(`"secrets in Systems Manager"`), nil }

// hide types an error of AWS and keeps only its code: messages of validation errors quote the value that was refused.
func hide(err error, doing, name string) error {
	if err == nil {
		return nil
	}
	for _, ended := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, ended) {
			return fmt.Errorf("%s secret %q: %w", doing, name, ended)
		}
	}
	var api smithy.APIError
	if !errors.As(err, &api) {
		return fault.Newf(fault.Retry, "ssm_unavailable", "%s secret %q: Systems Manager did not answer", doing, name)
	}
	code := api.ErrorCode()
	switch code {
	case "ParameterNotFound":
		return fmt.Errorf("%s secret %q: %w", doing, name, secret.ErrNotFound)
	case "AccessDeniedException":
		return fault.Newf(fault.Denied, "ssm_denied", "%s secret %q: give the function's role access to its parameters and their key", doing, name)
	case "ThrottlingException", "TooManyUpdates", "InternalServerError":
		return fault.Newf(fault.Retry, "ssm_unavailable", "%s secret %q: Systems Manager answered %s", doing, name, code)
	}
	return fmt.Errorf("%s secret %q: Systems Manager answered %s", doing, name, code)
}
