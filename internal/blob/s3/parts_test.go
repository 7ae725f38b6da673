//go:build parts

package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/blob/blobtest"
	"github.com/aikajana/aikajana/internal/blob/s3"
	"github.com/aikajana/aikajana/internal/fault"
	"github.com/aikajana/aikajana/internal/standin"
)

var buckets atomic.Int64

// client is an S3 client for the stand-in at endpoint.
func client(endpoint string) *awss3.Client {
	return awss3.NewFromConfig(standin.Config(endpoint), func(o *awss3.Options) { o.UsePathStyle = true })
}

// bucket makes a bucket of the test's own and a store over it through endpoint.
func bucket(t *testing.T, c *awss3.Client) *s3.Store {
	t.Helper()
	name := fmt.Sprintf("blobs-%d", buckets.Add(1))
	_, err := c.CreateBucket(t.Context(), &awss3.CreateBucketInput{
		Bucket: &name, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: standin.Region},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s3.New(s3.Options{Client: c, Bucket: name, TempDir: t.TempDir()})
}

func TestBucketIsABlobStore(t *testing.T) {
	endpoint := standin.Moto(t)
	blobtest.Run(t, func(t *testing.T) blobtest.Harness {
		return blobtest.Harness{Store: bucket(t, client(endpoint)), Client: http.DefaultClient}
	})
}

func TestLinkIsSignedForItsTimeOnly(t *testing.T) {
	t.Parallel()
	s := bucket(t, client(standin.Moto(t)))
	before := time.Now().UTC().Truncate(time.Second)
	link, err := s.Link(t.Context(), "a/b", blob.Link{TTL: 60 * time.Second, Type: "image/jpeg", Disposition: "inline"})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	at, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	if err != nil || at.Before(before) || q.Get("X-Amz-Expires") != "60" || q.Get("X-Amz-Signature") == "" {
		t.Errorf("signed at %s (%v) for %s s: %s", at, err, q.Get("X-Amz-Expires"), link)
	}
	if q.Get("response-content-type") != "image/jpeg" || q.Get("response-content-disposition") != "inline" {
		t.Errorf("the type and disposition are not in the signed query: %s", link)
	}
}

// The answer of the first attempt is lost after S3 has stored the object; the SDK tries again and meets its own object.
func TestFault61_PutIfAbsentWhoseAnswerWasLostCountsAsStored(t *testing.T) {
	t.Parallel()
	endpoint := standin.Moto(t)
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var puts atomic.Int64
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ModifyResponse: func(resp *http.Response) error {
			if resp.Request.Method == http.MethodPut && strings.HasSuffix(resp.Request.URL.Path, "/lost") && puts.Add(1) == 1 {
				resp.StatusCode, resp.Body = http.StatusServiceUnavailable, io.NopCloser(strings.NewReader(""))
				resp.Header, resp.ContentLength = http.Header{}, 0
			}
			return nil
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	s := bucket(t, client(server.URL))
	if _, err := s.Put(t.Context(), "a/lost", strings.NewReader("mine"), blob.PutOptions{IfAbsent: true}); err != nil {
		t.Fatalf("the put that was stored at its first attempt: %v", err)
	}
	if puts.Load() < 2 {
		t.Fatal("the SDK did not try again: this test shows nothing")
	}
	if _, err := s.Put(t.Context(), "a/lost", strings.NewReader("yours"), blob.PutOptions{IfAbsent: true}); !errors.Is(err, blob.ErrExists) {
		t.Errorf("another put if absent: %v, want ErrExists", err)
	}
}

func TestConflictingConditionalPutIsTriedAgain(t *testing.T) {
	t.Parallel()
	target, err := url.Parse(standin.Moto(t))
	if err != nil {
		t.Fatal(err)
	}
	var refused atomic.Int64
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/conflict") && refused.Add(1) == 1 {
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `<Error><Code>ConditionalRequestConflict</Code><Message>conflict</Message></Error>`)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s := bucket(t, client(server.URL))
	body := bytes.Repeat([]byte("x"), 2*s3.Memory) // through the temporary file, which has to be read from its start again
	info, err := s.Put(t.Context(), "a/conflict", bytes.NewReader(body), blob.PutOptions{IfAbsent: true})
	if err != nil || info.Size != int64(len(body)) {
		t.Fatalf("%+v, %v", info, err)
	}
}

func TestBucketThatCannotBeReachedIsARetry(t *testing.T) {
	t.Parallel()
	c := awss3.NewFromConfig(standin.Config("http://127.0.0.1:1"), func(o *awss3.Options) {
		o.UsePathStyle = true
		o.Retryer = aws.NopRetryer{}
	})
	s := s3.New(s3.Options{Client: c, Bucket: "b", TempDir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.Put(ctx, "a", strings.NewReader("x"), blob.PutOptions{}); fault.Of(err) != fault.Retry {
		t.Errorf("put: %v (%s), want a retry", err, fault.Of(err))
	}
	if _, _, err := s.Get(ctx, "a", 0, 0); fault.Of(err) != fault.Retry {
		t.Errorf("get: %v (%s), want a retry", err, fault.Of(err))
	}
}
