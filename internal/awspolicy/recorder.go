package awspolicy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigatewaymanagementapi"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// Recorder remembers what functions called. Safe for concurrent use; the zero value remembers nothing yet.
type Recorder struct {
	mu    sync.Mutex
	calls map[string]map[Permission]bool
}

type functionKey struct{}

// As marks everything that is called with the context as the function's doing. "" is nobody: whoever sets the stage.
func As(ctx context.Context, function string) context.Context {
	return context.WithValue(ctx, functionKey{}, function)
}

// Function is whose doing calls with the context are.
func Function(ctx context.Context) string {
	f, _ := ctx.Value(functionKey{}).(string)
	return f
}

// Calls are the calls that were made so far, by function, sorted.
func (r *Recorder) Calls() map[string][]Permission {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string][]Permission{}
	for f, calls := range r.calls {
		all[f] = slices.SortedFunc(maps.Keys(calls), func(a, b Permission) int { return strings.Compare(a.String(), b.String()) })
	}
	return all
}

func (r *Recorder) add(function string, calls ...Permission) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[string]map[Permission]bool{}
	}
	if r.calls[function] == nil {
		r.calls[function] = map[Permission]bool{}
	}
	for _, c := range calls {
		r.calls[function][c] = true
	}
}

// World is what the resources of one stack are really called.
type World struct {
	Table, Bucket string
	// Queues are logical names by the last part of the queue's URL, which is its name.
	Queues map[string]string
	// Sources are the logical names of queues by those of their dead letters: where a redrive moves them to.
	Sources    map[string]string
	SecretPath string
}

// Watch gives a configuration whose clients tell the recorder of each call of a function. A link that is presigned counts as
// the call that it allows, because whoever opens it does so with the function's permission.
func (r *Recorder) Watch(c aws.Config, w *World) aws.Config {
	c.APIOptions = append(slices.Clone(c.APIOptions), func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("aikajana-recorder", func(
			ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
		) (middleware.InitializeOutput, middleware.Metadata, error) {
			function := Function(ctx)
			if function != "" {
				r.add(function, w.needs(in.Parameters)...)
			}
			out, about, err := next.HandleInitialize(ctx, in)
			var answer smithy.APIError
			if function != "" && errors.As(err, &answer) && (answer.ErrorCode() == "NoSuchKey" || answer.ErrorCode() == "NotFound") {
				// S3 says that an object is not there only to whoever may list the bucket; others hear 403, as if they might
				// not read it ("GetObject", API reference of S3, seen 2026-11-23).
				r.add(function, Permission{"s3:ListBucket", ObjectARN("DataBucket", "")})
			}
			return out, about, err
		}), middleware.After)
	})
	return c
}

// needs are the permissions that a call needs. A call that nothing here knows needs one that no role has.
func (w *World) needs(in any) []Permission {
	for _, of := range []func(any) []Permission{w.table, w.queue, w.object, w.other} {
		if p := of(in); p != nil {
			return p
		}
	}
	return []Permission{{fmt.Sprintf("unknown:%T", in), ""}}
}

func one(action, resource string) []Permission { return []Permission{{action, resource}} }

func (w *World) tableARN(name *string) string {
	return TableARN(named(w.Table, aws.ToString(name), "Table"))
}

// named is the logical name of the resource that is meant; another's keeps its own, which no role knows.
func named(ours, name, logical string) string {
	if ours == name {
		return logical
	}
	return name
}

func (w *World) table(in any) []Permission {
	switch in := in.(type) {
	case *dynamodb.GetItemInput:
		return one("dynamodb:GetItem", w.tableARN(in.TableName))
	case *dynamodb.PutItemInput:
		return one("dynamodb:PutItem", w.tableARN(in.TableName))
	case *dynamodb.DeleteItemInput:
		return one("dynamodb:DeleteItem", w.tableARN(in.TableName))
	case *dynamodb.ScanInput:
		return one("dynamodb:Scan", w.tableARN(in.TableName))
	case *dynamodb.QueryInput:
		if in.IndexName != nil {
			return one("dynamodb:Query", w.tableARN(in.TableName)+"/index/"+*in.IndexName)
		}
		return one("dynamodb:Query", w.tableARN(in.TableName))
	case *dynamodb.BatchWriteItemInput:
		var all []Permission
		for name := range in.RequestItems {
			all = append(all, Permission{"dynamodb:BatchWriteItem", w.tableARN(&name)})
		}
		return all
	case *dynamodb.TransactWriteItemsInput:
		// Each operation needs its own permission, the transaction none ("Using IAM with DynamoDB transactions").
		var all []Permission
		for i := range in.TransactItems {
			switch t := &in.TransactItems[i]; {
			case t.Put != nil:
				all = append(all, Permission{"dynamodb:PutItem", w.tableARN(t.Put.TableName)})
			case t.Delete != nil:
				all = append(all, Permission{"dynamodb:DeleteItem", w.tableARN(t.Delete.TableName)})
			case t.ConditionCheck != nil:
				all = append(all, Permission{"dynamodb:ConditionCheckItem", w.tableARN(t.ConditionCheck.TableName)})
			default:
				all = append(all, Permission{"unknown:TransactWriteItem", ""})
			}
		}
		return all
	}
	return nil
}

// queueARN is that of a queue by its URL or ARN; both end in its name.
func (w *World) queueARN(address *string) (arn, logical string) {
	name := aws.ToString(address)
	name = name[strings.LastIndexAny(name, "/:")+1:]
	if w.Queues[name] != "" {
		name = w.Queues[name]
	}
	return QueueARN(name), name
}

func (w *World) queue(in any) []Permission {
	var address *string
	var action string
	switch in := in.(type) {
	case *sqs.SendMessageInput:
		address, action = in.QueueUrl, "sqs:SendMessage"
	case *sqs.SendMessageBatchInput:
		address, action = in.QueueUrl, "sqs:SendMessage"
	case *sqs.ReceiveMessageInput:
		address, action = in.QueueUrl, "sqs:ReceiveMessage"
	case *sqs.DeleteMessageBatchInput:
		address, action = in.QueueUrl, "sqs:DeleteMessage"
	case *sqs.ChangeMessageVisibilityInput:
		address, action = in.QueueUrl, "sqs:ChangeMessageVisibility"
	case *sqs.ChangeMessageVisibilityBatchInput:
		address, action = in.QueueUrl, "sqs:ChangeMessageVisibility"
	case *sqs.GetQueueAttributesInput:
		address, action = in.QueueUrl, "sqs:GetQueueAttributes"
	case *sqs.StartMessageMoveTaskInput:
		// The move goes on with the caller's permissions ("Configuring queue permissions for dead-letter queue redrive").
		from, logical := w.queueARN(in.SourceArn)
		return []Permission{
			{"sqs:StartMessageMoveTask", from}, {"sqs:ReceiveMessage", from}, {"sqs:DeleteMessage", from}, {"sqs:GetQueueAttributes", from},
			{"sqs:SendMessage", QueueARN(w.Sources[logical])},
		}
	default:
		return nil
	}
	arn, _ := w.queueARN(address)
	return one(action, arn)
}

// objectARN keeps of a key what a policy can tell apart: its first part.
func (w *World) objectARN(bucket, key *string) string {
	kind, _, _ := strings.Cut(aws.ToString(key), "/")
	return ObjectARN(named(w.Bucket, aws.ToString(bucket), "DataBucket"), kind+"/…")
}

func (w *World) object(in any) []Permission {
	switch in := in.(type) {
	case *s3.PutObjectInput:
		return one("s3:PutObject", w.objectARN(in.Bucket, in.Key))
	case *s3.GetObjectInput:
		return one("s3:GetObject", w.objectARN(in.Bucket, in.Key))
	case *s3.HeadObjectInput:
		return one("s3:GetObject", w.objectARN(in.Bucket, in.Key))
	case *s3.DeleteObjectInput:
		return one("s3:DeleteObject", w.objectARN(in.Bucket, in.Key))
	case *s3.ListObjectsV2Input:
		return one("s3:ListBucket", ObjectARN(named(w.Bucket, aws.ToString(in.Bucket), "DataBucket"), ""))
	}
	return nil
}

func (w *World) parameterARN(name *string) string {
	rest, ours := strings.CutPrefix(aws.ToString(name), w.SecretPath+"/")
	if !ours {
		return arn("ssm", "parameter"+aws.ToString(name))
	}
	return arn("ssm", "parameter/aikajana/"+StackName+"/"+rest)
}

func (w *World) other(in any) []Permission {
	switch in := in.(type) {
	case *ssm.GetParameterInput:
		return one("ssm:GetParameter", w.parameterARN(in.Name))
	case *ssm.GetParametersByPathInput:
		// The path is the resource, and what lies below it goes with it ("GetParametersByPath", API reference, seen 2026-11-23).
		return one("ssm:GetParametersByPath", w.parameterARN(in.Path))
	case *ssm.PutParameterInput:
		return one("ssm:PutParameter", w.parameterARN(in.Name))
	case *ssm.DeleteParameterInput:
		return one("ssm:DeleteParameter", w.parameterARN(in.Name))
	case *sesv2.SendEmailInput:
		// The identity is that of the From header: raw mail names no other ("Identity and access management in Amazon SES").
		all := one("ses:SendEmail", arn("ses", "identity/"+sender(in)))
		if set := aws.ToString(in.ConfigurationSetName); set != "" {
			all = append(all, Permission{"ses:SendEmail", arn("ses", "configuration-set/"+set)})
		}
		return all
	case *apigatewaymanagementapi.PostToConnectionInput:
		return one("execute-api:ManageConnections", arn("execute-api", "StaffSocketApi/live/POST/@connections/…"))
	case *apigatewaymanagementapi.DeleteConnectionInput:
		return one("execute-api:ManageConnections", arn("execute-api", "StaffSocketApi/live/DELETE/@connections/…"))
	}
	return nil
}

// sender is the domain of the From header.
func sender(in *sesv2.SendEmailInput) string {
	if in.Content == nil || in.Content.Raw == nil {
		return ""
	}
	m, err := mail.ReadMessage(strings.NewReader(string(in.Content.Raw.Data)))
	if err != nil {
		return ""
	}
	from, err := m.Header.AddressList("From")
	if err != nil || len(from) == 0 {
		return ""
	}
	_, domain, _ := strings.Cut(from[0].Address, "@")
	return domain
}
