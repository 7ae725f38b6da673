//go:build parts

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/standin"
	"github.com/aikajana/aikajana/internal/table"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// standins is a cloud of stand-ins: one configuration cannot name several endpoints, so each command gets its own.
func standins(endpoint string) cloud {
	return func(context.Context) (aws.Config, error) { return standin.Config(endpoint), nil }
}

func newTable(t *testing.T) (string, *dynamo.Table) {
	t.Helper()
	name := "cli-" + strings.ToLower(rand.Text()[:10])
	client := dynamodb.NewFromConfig(standin.Config(standin.DynamoDB(t)))
	if _, err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Fatal(err)
	}
	return name, dynamo.New(client, name, dynamo.Options{Now: now})
}

// try runs a command line.
func try(t *testing.T, c cloud, in string, args ...string) (int, string, string) {
	t.Helper()
	var out, errs bytes.Buffer
	code := run(t.Context(), args, streams{strings.NewReader(in), &out, &errs}, c)
	return code, out.String(), errs.String()
}

func TestDumpedItemsAreTheSameWhenLoaded(t *testing.T) {
	t.Parallel()
	from, source := newTable(t)
	expires := msg.Time(int64(now()) / 1000 * 1000).Add(3600e9)
	for _, i := range []table.Item{
		{Key: table.Key{PK: "C#a", SK: "A"}, Rev: 7, Body: []byte(`{"name":"Maija"}`)},
		{Key: table.Key{PK: "C#a", SK: "K#1"}, Rev: 2, Body: []byte{0, 0xff}, Index: map[table.Index]table.Key{table.WorkList: {PK: "L#team#x", SK: "1"}, table.Due: {PK: "due", SK: "2"}}},
		{Key: table.Key{PK: "N#x", SK: "1"}, Rev: 1, Expires: expires},
	} {
		if err := source.Write(t.Context(), table.Put(i, table.Any)); err != nil {
			t.Fatal(err)
		}
	}
	at := standins(standin.DynamoDB(t))
	code, dump, errs := try(t, at, "", "dump", "--table", from)
	if code != exitOK || strings.Count(dump, "\n") != 3 {
		t.Fatalf("exit %d: %s%s", code, dump, errs)
	}
	to, _ := newTable(t)
	if code, _, errs := try(t, at, dump, "load", "--table", to); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if _, again, _ := try(t, at, "", "dump", "--table", to); sorted(again) != sorted(dump) {
		t.Errorf("loaded and dumped again:\n%swant:\n%s", again, dump)
	}
	if code, _, errs := try(t, at, dump, "load", "--table", to); code != exitFailed || !strings.Contains(errs, "not empty") {
		t.Errorf("a second load: exit %d: %s", code, errs)
	}
	if code, _, errs := try(t, at, `{"pk":"","sk":""}`, "load", "--table", to, "--over"); code != exitFailed || !strings.Contains(errs, "line 1") {
		t.Errorf("a bad line: exit %d: %s", code, errs)
	}
}

func sorted(lines string) string {
	all := strings.Split(strings.TrimSpace(lines), "\n")
	for i := range all {
		for j := i + 1; j < len(all); j++ {
			if all[j] < all[i] {
				all[i], all[j] = all[j], all[i]
			}
		}
	}
	return strings.Join(all, "\n")
}

func TestBlobsGoToAFolderAndBack(t *testing.T) {
	t.Parallel()
	client := s3.NewFromConfig(standin.Config(standin.Moto(t)), func(o *s3.Options) { o.UsePathStyle = true })
	bucket := "cli-" + strings.ToLower(rand.Text()[:10])
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &bucket, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: standin.Region}}); err != nil {
		t.Fatal(err)
	}
	at := standins(standin.Moto(t))
	b, err := blobsOf(t.Context(), at, bucket)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "raw", "20261122"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string]string{"raw/20261122/e1": "first", "media.bin": "second"} {
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := loadBlobs(t.Context(), b, dir); n != 2 || err != nil {
		t.Fatalf("%d loaded, %v", n, err)
	}
	back := t.TempDir()
	if n, err := dumpBlobs(t.Context(), b, back); n != 2 || err != nil {
		t.Fatalf("%d dumped, %v", n, err)
	}
	if body, err := os.ReadFile(filepath.Join(back, "raw", "20261122", "e1")); err != nil || string(body) != "first" {
		t.Errorf("it became %q, %v", body, err)
	}
}

func TestCheckOfADamagedTableSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	name, tab := newTable(t)
	at := standins(standin.DynamoDB(t))
	if code, out, errs := try(t, at, "", "check", "--table", name); code != exitOK || !strings.Contains(out, "0 problems") {
		t.Errorf("an empty table: exit %d: %s%s", code, out, errs)
	}
	if err := tab.Write(t.Context(), table.Put(table.Item{Key: table.Key{PK: "C#a", SK: "A"}, Rev: 1, Body: []byte("{")}, table.Any)); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := try(t, at, "", "check", "--table", name); code != exitFailed || strings.Contains(out, " 0 problems") {
		t.Errorf("a damaged table: exit %d: %s", code, out)
	}
	if code, _, errs := try(t, at, "", "check", "--table", "no-such-table"); code != exitFailed || !strings.Contains(errs, "no-such-table") && !strings.Contains(errs, "read the table") {
		t.Errorf("no table: exit %d: %s", code, errs)
	}
}

func TestDeploymentKeyIsMadeOnceAndTravelsByFile(t *testing.T) {
	t.Parallel()
	at := standins(standin.Moto(t))
	path, file := "/aikajana/"+rand.Text(), filepath.Join(t.TempDir(), "key")
	if code, _, errs := try(t, at, "", "key", "--secret-path", path, "--save", file); code != exitFailed {
		t.Errorf("saving none: exit %d: %s", code, errs)
	}
	code, out, errs := try(t, at, "", "key", "--secret-path", path, "--create")
	if code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	if code, _, errs := try(t, at, "", "key", "--secret-path", path, "--create"); code != exitFailed || !strings.Contains(errs, "already") {
		t.Errorf("a second key: exit %d: %s", code, errs)
	}
	if code, _, errs := try(t, at, "", "key", "--secret-path", path, "--save", file); code != exitOK {
		t.Fatalf("exit %d: %s", code, errs)
	}
	saved, err := os.ReadFile(file)
	if err != nil || len(strings.TrimSpace(string(saved))) != 44 || strings.Contains(out, strings.TrimSpace(string(saved))) {
		t.Errorf("saved %d bytes, %v; printed %q", len(saved), err, out)
	}
	if code, _, errs := try(t, at, "", "key", "--secret-path", path+"-restored", "--restore", file); code != exitOK {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestSetUpLinkIsMadeUntilSomebodyCanSignIn(t *testing.T) {
	t.Parallel()
	name, _ := newTable(t)
	at := standins(standin.DynamoDB(t))
	code, out, errs := try(t, at, "", "setup", "--table", name, "--base-url", "https://desk.example/")
	if code != exitOK || !strings.HasPrefix(out, "https://desk.example/setup/") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := try(t, at, "", "setup", "--table", name, "--base-url", "desk"); code != exitFailed {
		t.Errorf("exit %d: %s", code, errs)
	}
}
