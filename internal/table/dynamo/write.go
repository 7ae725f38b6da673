package dynamo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// Write is table.Table's. One op is a single request at the normal price, several are a transaction at twice that, or single
// writes again where they may land apart; a failed condition is billed like a write.
//
// With Any nothing is compared, so a repeated attempt (the first answer was lost) also wins over whoever wrote in between.
func (t *Table) Write(ctx context.Context, ops ...table.Op) error {
	if err := table.Validate(ops); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write %s: %w", ops[0].Item.Key, err)
	}
	w := &writing{t: t, now: t.o.Now(), token: t.o.Token()}
	for n := range ops {
		if ops[n].Do != table.DoCheck || ops[n].If != table.Any { // DynamoDB has no check of nothing
			w.ops = append(w.ops, &ops[n])
			w.index = append(w.index, n)
		}
	}
	metered := t.o.Meter.before(ctx, t, w.ops)
	var err error
	switch {
	case len(w.ops) == 0:
	case len(w.ops) > 1 && table.IsApart(ctx) && unconditional(w.ops):
		err = w.batches(ctx)
	case len(w.ops) > 1:
		err = w.transaction(ctx)
	case w.ops[0].Do == table.DoPut:
		err = w.put(ctx, w.ops[0])
	case w.ops[0].Do == table.DoDelete:
		err = w.delete(ctx, w.ops[0])
	default:
		return w.check(ctx, w.ops[0])
	}
	t.o.Meter.wrote(t, w.ops, metered, table.IsApart(ctx) && unconditional(w.ops), err)
	return err
}

// writing is one Write on its way.
type writing struct {
	t     *Table
	now   msg.Time
	token string
	ops   []*table.Op
	index []int // of the ops in the caller's list
}

func (w *writing) put(ctx context.Context, op *table.Op) error {
	condition, values := w.condition(op)
	var a attempts
	_, err := w.t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: w.t.name, Item: w.t.encode(&op.Item, revision(op), w.token),
		ConditionExpression: condition, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, a.observed)
	return w.outcome(op, &a, err)
}

func (w *writing) delete(ctx context.Context, op *table.Op) error {
	condition, values := w.condition(op)
	var a attempts
	_, err := w.t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: w.t.name, Key: keyOf(op.Item.Key), ConditionExpression: condition, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}, a.observed)
	return w.outcome(op, &a, err)
}

// outcome says what became of a single write.
func (w *writing) outcome(op *table.Op, a *attempts, err error) error {
	refused, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		return w.failure(a, err)
	}
	rev, token := found(refused.Item, w.now)
	switch {
	case token == w.token:
		return nil // an earlier attempt landed and its answer was lost
	case a.unsure:
		return fmt.Errorf("write %s: %w: repeated after a lost answer it found revision %d", op.Item.Key, table.ErrLost, rev)
	}
	return &table.Conflict{Failed: []table.Failure{{Op: w.index[0], Key: op.Item.Key, Found: rev}}}
}

// check is a single check: it writes nothing, so it is a read, at a quarter of the price of a transaction.
func (w *writing) check(ctx context.Context, op *table.Op) error {
	i, there, err := w.t.get(ctx, op.Item.Key)
	if err != nil {
		return err
	}
	there = there && !expired(i.Expires, w.now)
	if !there {
		i.Rev = 0
	}
	want, at := op.If.Rev()
	if op.If.IsAbsent() && there || at && (!there || i.Rev != want) {
		return &table.Conflict{Failed: []table.Failure{{Op: w.index[0], Key: op.Item.Key, Found: i.Rev}}}
	}
	return nil
}

// batchSize is how many items BatchWriteItem takes.
const batchSize = 25

func unconditional(ops []*table.Op) bool {
	return !slices.ContainsFunc(ops, func(op *table.Op) bool { return op.If != table.Any })
}

// batches writes unconditional ops apart, each at the price of a single write.
func (w *writing) batches(ctx context.Context) error {
	for ops := range slices.Chunk(w.ops, batchSize) {
		requests := make([]types.WriteRequest, len(ops))
		for n, op := range ops {
			if op.Do == table.DoDelete {
				requests[n].DeleteRequest = &types.DeleteRequest{Key: keyOf(op.Item.Key)}
				continue
			}
			requests[n].PutRequest = &types.PutRequest{Item: w.t.encode(&op.Item, revision(op), w.token)}
		}
		var a attempts
		out, err := w.t.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*w.t.name: requests}}, a.observed)
		if err != nil {
			return w.failure(&a, err)
		}
		if left := len(out.UnprocessedItems[*w.t.name]); left > 0 {
			return fmt.Errorf("write %s: %w: %d of %d items were not taken", ops[0].Item.Key, table.ErrBusy, left, len(ops))
		}
	}
	return nil
}

func (w *writing) transaction(ctx context.Context) error {
	in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: aws.String(w.token), TransactItems: make([]types.TransactWriteItem, len(w.ops))}
	const old = types.ReturnValuesOnConditionCheckFailureAllOld
	for n, op := range w.ops {
		condition, values := w.condition(op)
		i := &in.TransactItems[n]
		switch op.Do {
		case table.DoPut:
			i.Put = &types.Put{
				TableName: w.t.name, Item: w.t.encode(&op.Item, revision(op), w.token),
				ConditionExpression: condition, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: old,
			}
		case table.DoDelete:
			i.Delete = &types.Delete{
				TableName: w.t.name, Key: keyOf(op.Item.Key),
				ConditionExpression: condition, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: old,
			}
		case table.DoCheck:
			i.ConditionCheck = &types.ConditionCheck{
				TableName: w.t.name, Key: keyOf(op.Item.Key),
				ConditionExpression: condition, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: old,
			}
		}
	}
	var a attempts
	_, err := w.t.client.TransactWriteItems(ctx, in, a.observed)
	if cancelled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		// Certain even after a lost answer: DynamoDB knows the token and would have said yes again.
		return w.cancelled(cancelled)
	}
	return w.failure(&a, err)
}

// cancelled reads why, op by op: a failed condition wins over everything that may pass when tried again.
func (w *writing) cancelled(cancelled *types.TransactionCanceledException) error {
	conflict := &table.Conflict{}
	var busy, other error
	for n, reason := range cancelled.CancellationReasons {
		code := aws.ToString(reason.Code)
		if code == "" || code == "None" || n >= len(w.ops) {
			continue
		}
		k := w.ops[n].Item.Key
		switch code {
		case "ConditionalCheckFailed":
			rev, _ := found(reason.Item, w.now)
			conflict.Failed = append(conflict.Failed, table.Failure{Op: w.index[n], Key: k, Found: rev})
		case "TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded":
			busy = fmt.Errorf("write %s: %w (%s)", k, table.ErrBusy, code)
		case "ItemCollectionSizeLimitExceeded", "ValidationError":
			other = fmt.Errorf("write %s: %w (%s: %s)", k, table.ErrLimit, code, aws.ToString(reason.Message))
		default:
			other = fmt.Errorf("write %s: cancelled for %s: %s", k, code, aws.ToString(reason.Message))
		}
	}
	switch {
	case len(conflict.Failed) > 0:
		return conflict
	case other != nil:
		return other
	case busy != nil:
		return busy
	}
	return fmt.Errorf("write %d items: cancelled without a reason: %w", len(w.ops), cancelled)
}

// failure types an error that is not about a precondition.
func (w *writing) failure(a *attempts, err error) error {
	k := w.ops[0].Item.Key
	switch {
	case err == nil:
		return nil
	case a.unsure:
		return fmt.Errorf("write %s: %w: %w", k, table.ErrLost, err)
	case busy(err):
		return fmt.Errorf("write %s: %w: %w", k, table.ErrBusy, err)
	}
	return fmt.Errorf("write %s: %w", k, err)
}

// condition is the precondition in DynamoDB's words.
func (w *writing) condition(op *table.Op) (*string, map[string]types.AttributeValue) {
	now := number(int64(w.now) / 1000)
	if op.If.IsAbsent() {
		return aws.String("attribute_not_exists(p) OR x <= :now"), map[string]types.AttributeValue{":now": now}
	}
	if rev, ok := op.If.Rev(); ok {
		return aws.String("r = :rev AND (attribute_not_exists(x) OR x > :now)"), map[string]types.AttributeValue{":now": now, ":rev": number(rev)}
	}
	return nil, nil
}

// revision is what a put stores.
func revision(op *table.Op) int64 {
	if op.If.IsAbsent() {
		return 1
	}
	if rev, ok := op.If.Rev(); ok {
		return rev + 1
	}
	return op.Item.Rev
}

// attempts watches what the SDK does inside one call.
type attempts struct {
	// unsure says that an attempt ended without an answer, so that it may have landed.
	unsure bool
}

// observed puts the watcher inside the SDK's retry loop.
func (a *attempts) observed(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(s *middleware.Stack) error {
		return s.Finalize.Insert(middleware.FinalizeMiddlewareFunc("WatchAttempts",
			func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
				out, meta, err := next.HandleFinalize(ctx, in)
				a.unsure = a.unsure || err != nil && !definite(err)
				return out, meta, err
			}), "Retry", middleware.After)
	})
}

// definite says that the request was certainly not carried out: DynamoDB refused it, or it was never sent.
func definite(err error) bool {
	if _, ok := errors.AsType[*types.TransactionInProgressException](err); ok {
		return false
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return true
	}
	answer, ok := errors.AsType[*awshttp.ResponseError](err)
	return ok && answer.HTTPStatusCode() >= 400 && answer.HTTPStatusCode() < 500
}

// busy says that DynamoDB refused for now.
func busy(err error) bool {
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return false
	}
	switch e.ErrorCode() {
	case "TransactionConflictException", "TransactionInProgressException", "ThrottlingException", "Throttling",
		"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ReplicatedWriteConflictException":
		return true
	}
	return false
}
