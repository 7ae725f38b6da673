// Package s3 keeps blobs in an S3 bucket: the store of the AWS shape.
//
// # Uploads
//
// PutObject wants to know the length before the first byte and to start again after a lost connection. So what is put is
// gathered first: up to [Memory] bytes in memory, more in a temporary file (a Lambda has 512 MB of /tmp, the largest blob is a
// file of 100 MB). One PutObject takes up to 5 GB and is whole or absent by nature, which a multipart upload is only once it
// is completed, and it leaves nothing behind to be cleaned up.
//
// # Links
//
// Links are presigned GETs to the bucket's own host, which is another origin than the inbox. S3 cannot be told to add nosniff or a
// content security policy: the type and the disposition of the link are what keeps a file from running.
package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/aikajana/aikajana/internal/blob"
	"github.com/aikajana/aikajana/internal/fault"
)

// Memory is how many bytes of an upload are gathered in memory before a temporary file is used.
const Memory = 1 << 20

// Options say which bucket.
type Options struct {
	// Client is an S3 client; its retries and endpoint count.
	Client *s3.Client
	Bucket string
	// TempDir is where uploads over Memory are gathered, "" for the system's.
	TempDir string
	// Random gives the marks by which a put if absent recognises its own object; nil means crypto/rand.
	Random io.Reader
}

// Store is a blob.Store over a bucket. Safe for concurrent use.
type Store struct {
	client  *s3.Client
	presign *s3.PresignClient
	bucket  string
	temp    string
	random  io.Reader
}

var _ blob.Store = (*Store)(nil)

// New makes a Store. The bucket must exist.
func New(o Options) *Store {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return &Store{client: o.Client, presign: s3.NewPresignClient(o.Client), bucket: o.Bucket, temp: o.TempDir, random: o.Random}
}

// markKey is the object's metadata that holds the mark of the put that made it.
const markKey = "aikajana-put"

// conflicts is how often a put is tried again that S3 refused because another put of the same key was under way.
const conflicts = 5

// Put implements blob.Store. A put if absent whose first answer was lost finds its own object at the second attempt, and
// counts as done.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, o blob.PutOptions) (blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return blob.Info{}, err
	}
	if err := blob.CheckType(o.Type); err != nil {
		return blob.Info{}, err
	}
	body, size, done, err := s.gather(ctx, key, r)
	if err != nil {
		return blob.Info{}, err
	}
	defer done()
	mark := make([]byte, 16)
	if _, err := io.ReadFull(s.random, mark); err != nil {
		return blob.Info{}, fmt.Errorf("store blob %q: make a mark: %w", key, err)
	}
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &key, ContentLength: &size, ContentType: contentType(o.Type),
		Metadata: map[string]string{markKey: fmt.Sprintf("%x", mark)},
	}
	if o.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	for try := 0; ; try++ {
		if _, err = body.Seek(0, io.SeekStart); err != nil {
			return blob.Info{}, fmt.Errorf("store blob %q: %w", key, err)
		}
		in.Body = body
		_, err = s.client.PutObject(ctx, in)
		if code(err) != "ConditionalRequestConflict" || try == conflicts {
			break
		}
	}
	switch {
	case err == nil, o.IfAbsent && status(err) == http.StatusPreconditionFailed && s.isOurs(ctx, key, in.Metadata[markKey]):
		return blob.Info{Key: key, Size: size, Type: o.Type}, nil
	case o.IfAbsent && status(err) == http.StatusPreconditionFailed:
		return blob.Info{}, fmt.Errorf("store blob %q: %w", key, blob.ErrExists)
	}
	return blob.Info{}, s.fault(err, "store", key)
}

// isOurs says whether the object carries the mark: then an earlier attempt of the same put made it.
func (s *Store) isOurs(ctx context.Context, key, mark string) bool {
	head, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	return err == nil && head.Metadata[markKey] == mark
}

// gather reads all of r, so that its length is known and it can be sent again. done gives up what it took.
func (s *Store) gather(ctx context.Context, key string, r io.Reader) (body io.ReadSeeker, size int64, done func(), err error) {
	source := &reader{ctx: ctx, r: r}
	var head bytes.Buffer
	n, err := io.CopyN(&head, source, Memory)
	if errors.Is(err, io.EOF) && source.err == nil {
		return bytes.NewReader(head.Bytes()), n, func() {}, nil
	}
	if err != nil {
		return nil, 0, nil, fmt.Errorf("store blob %q: read what is to be stored: %w", key, err)
	}
	f, err := os.CreateTemp(s.temp, "aikajana-blob-")
	if err != nil {
		return nil, 0, nil, fmt.Errorf("store blob %q: gather it in a temporary file: %w", key, err)
	}
	done = func() {
		_ = f.Close() // read only from here on, and never needed again
		_ = os.Remove(f.Name())
	}
	size, err = io.Copy(onlyWriter{f}, io.MultiReader(&head, source))
	if err != nil {
		done()
		return nil, 0, nil, fmt.Errorf("store blob %q: gather it in a temporary file: %w", key, err)
	}
	return f, size, done, nil
}

// Get implements blob.Store.
func (s *Store) Get(ctx context.Context, key string, from, n int64) (io.ReadCloser, blob.Info, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, blob.Info{}, err
	}
	outside := fmt.Errorf("open blob %q from byte %d: %w", key, from, blob.ErrRange)
	if from < 0 {
		return nil, blob.Info{}, outside
	}
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key, Range: byteRange(from, n)})
	if status(err) == http.StatusRequestedRangeNotSatisfiable && from == 0 { // the first bytes of an empty object
		out, err = s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	}
	if status(err) == http.StatusRequestedRangeNotSatisfiable {
		return nil, blob.Info{}, outside
	}
	if err != nil {
		return nil, blob.Info{}, s.fault(err, "open", key)
	}
	info := blob.Info{Key: key, Size: aws.ToInt64(out.ContentLength), Type: typeOf(out.ContentType)}
	if _, total, ok := strings.Cut(aws.ToString(out.ContentRange), "/"); ok { // bytes 2-4/10
		if info.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			return nil, blob.Info{}, errors.Join(fmt.Errorf("open blob %q: S3 answered the range %q", key, *out.ContentRange), out.Body.Close())
		}
	}
	return out.Body, info, nil
}

// byteRange is the Range header (RFC 9110 section 14.1.2), nil for the whole.
func byteRange(from, n int64) *string {
	switch {
	case from == 0 && n <= 0:
		return nil
	case n <= 0 || from+n < from: // to the end
		return aws.String(fmt.Sprintf("bytes=%d-", from))
	}
	return aws.String(fmt.Sprintf("bytes=%d-%d", from, from+n-1))
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})
	if err = s.fault(err, "delete", key); errors.Is(err, blob.ErrNotFound) {
		return nil
	}
	return err
}

// pageSize is the most that S3 lists at once.
const pageSize = 1000

// List implements blob.Store. S3 lists UTF-8 binary order, which for keys is byte order.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]blob.Info, error) {
	var found []blob.Info
	for len(found) < limit {
		page := int32(min(limit-len(found), pageSize))
		in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix, MaxKeys: &page}
		if after != "" {
			in.StartAfter = &after
		}
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return nil, s.fault(err, "list blobs below", prefix)
		}
		for _, object := range out.Contents {
			found = append(found, blob.Info{Key: aws.ToString(object.Key), Size: aws.ToInt64(object.Size), Modified: aws.ToTime(object.LastModified)})
		}
		if !aws.ToBool(out.IsTruncated) || len(out.Contents) == 0 {
			break
		}
		after = found[len(found)-1].Key
	}
	return found, nil
}

// Link implements blob.Store.
func (s *Store) Link(ctx context.Context, key string, l blob.Link) (string, error) {
	if err := blob.CheckKey(key); err != nil {
		return "", err
	}
	if err := blob.CheckLink(l); err != nil {
		return "", err
	}
	if l.Type == "" {
		l.Type = "application/octet-stream"
	}
	if l.Disposition == "" {
		l.Disposition = "attachment"
	}
	signed, err := s.presign.PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: &s.bucket, Key: &key,
		ResponseContentType: &l.Type, ResponseContentDisposition: &l.Disposition, ResponseCacheControl: aws.String("private, no-store"),
	}, s3.WithPresignExpires(l.TTL.Truncate(time.Second)))
	if err != nil {
		return "", s.fault(err, "link", key)
	}
	return signed.URL, nil
}

// noType stands for "no type": S3 would otherwise make one up.
const noType = "binary/octet-stream"

func contentType(mediaType string) *string {
	if mediaType == "" {
		mediaType = noType
	}
	return &mediaType
}

func typeOf(contentType *string) string {
	if got := aws.ToString(contentType); got != noType {
		return got
	}
	return ""
}

// fault types what S3 answered: 404 is blob.ErrNotFound, 403 is fault.Denied, and what the SDK gave up on after its own
// retries (throttling, 5xx, no connection) is fault.Retry.
func (s *Store) fault(err error, doing, key string) error {
	if err == nil {
		return nil
	}
	_, noKey := errors.AsType[*types.NoSuchKey](err)
	switch answer := status(err); {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s blob %q: %w", doing, key, err)
	case code(err) == "NoSuchBucket":
		return fmt.Errorf("%s blob %q: there is no bucket %q: %w", doing, key, s.bucket, err)
	case noKey, answer == http.StatusNotFound:
		return fmt.Errorf("%s blob %q: %w", doing, key, blob.ErrNotFound)
	case answer == http.StatusForbidden:
		return fault.Newf(fault.Denied, "s3_denied", "%s blob %q in bucket %q: give the function's role access to the bucket: %w", doing, key, s.bucket, err)
	case answer == 0, answer == http.StatusTooManyRequests, answer >= 500, answer == http.StatusConflict:
		return fault.Newf(fault.Retry, "s3_unavailable", "%s blob %q in bucket %q: %w", doing, key, s.bucket, err)
	}
	return fmt.Errorf("%s blob %q in bucket %q: %w", doing, key, s.bucket, err)
}

// status is the HTTP status of S3's answer, 0 without one.
func status(err error) int {
	var answer interface{ HTTPStatusCode() int }
	if errors.As(err, &answer) {
		return answer.HTTPStatusCode()
	}
	return 0
}

func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// reader stops when the context ends, and remembers that it was the source that failed.
type reader struct {
	ctx context.Context //nolint:containedctx // lives as long as one call of Put
	r   io.Reader
	err error
}

func (r *reader) Read(p []byte) (int, error) {
	if r.err = r.ctx.Err(); r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// onlyWriter hides ReadFrom, so that the copy goes through a buffer of its own.
type onlyWriter struct{ io.Writer }
