// Package dynamo is the keyed table on Amazon DynamoDB.
//
// # Attributes
//
//	p, s    partition and sort key                  r   revision, a number
//	b, z    body, binary: as it is, or packed       x   expiry in seconds since 1970: the table's TTL attribute
//	wp, ws  place in index "work"                   w   write token: who wrote this revision
//	dp, ds  place in index "due"
//
// Names are short because they count towards an item's size, and with it towards what every read and write costs.
//
// # Answers that get lost
//
// The SDK repeats a request whose answer did not come. A transaction carries a token by which DynamoDB knows it again. A
// single conditional write, at half the price, has no such thing: repeated, it fails on its own result. So each write leaves a
// random token in the item, DynamoDB hands the item back with the failed condition, and the token says whether it was ours.
// Where that cannot tell (the item is gone, or written again by another) the answer is table.ErrLost.
//
// Facts as documented on 2026-11-22 in the Amazon DynamoDB Developer Guide: "Transactions", "Error handling", "Constraints".
package dynamo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/msg"
	"github.com/aikajana/aikajana/internal/table"
)

// API is what the table needs of *dynamodb.Client.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	BatchWriteItem(context.Context, *dynamodb.BatchWriteItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchWriteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Options of New.
type Options struct {
	// Now is what expiry goes by. Required.
	Now func() msg.Time
	// Token makes write tokens, at most 36 characters and never the same twice; nil for random ones.
	Token func() string
	// Meter, when set, counts capacity units. It reads before each write, so it is for measuring only.
	Meter *Meter
}

// Table is a table.Table and table.Scanner.
type Table struct {
	client API
	name   *string
	o      Options
	packer packer
}

var (
	_ table.Table   = (*Table)(nil)
	_ table.Scanner = (*Table)(nil)
)

// New returns the table of that name, as [Definition] describes it. It makes no request.
func New(client API, name string, o Options) *Table {
	if o.Token == nil {
		o.Token = rand.Text
	}
	return &Table{client: client, name: aws.String(name), o: o}
}

// Get is table.Table's: one strongly consistent read.
func (t *Table) Get(ctx context.Context, k table.Key) (table.Item, error) {
	i, there, err := t.get(ctx, k)
	if err != nil {
		return table.Item{}, err
	}
	if !there || expired(i.Expires, t.o.Now()) {
		return table.Item{}, fmt.Errorf("get %s: %w", k, table.ErrNotFound)
	}
	return i, nil
}

func (t *Table) get(ctx context.Context, k table.Key) (table.Item, bool, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: keyOf(k), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return table.Item{}, false, readError("get "+k.String(), err)
	}
	t.o.Meter.read("get", []map[string]types.AttributeValue{out.Item}, strong)
	if out.Item == nil {
		return table.Item{}, false, nil
	}
	i, err := decode(attributes(out.Item))
	return i, true, err
}

// Query is table.Table's. It reads page after page of DynamoDB's own until it has what was asked for.
func (t *Table) Query(ctx context.Context, q table.Query) ([]table.Item, error) {
	if err := table.ValidateQuery(q); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("query %s %s: %w", q.Index, q.PK, err)
	}
	r := rangeOf(q)
	if r.empty() {
		return nil, nil
	}
	in := r.input(t.name, q)
	now := t.o.Now()
	var items []table.Item
	for {
		if q.Limit > 0 {
			// Both bounds of BETWEEN belong to it; an item at one that is excluded is dropped here.
			in.Limit = aws.Int32(int32(min(q.Limit-len(items)+2, 10_000))) //nolint:gosec // bounded
		}
		out, err := t.client.Query(ctx, in)
		if err != nil {
			return nil, readError(fmt.Sprintf("query %s %s", q.Index, q.PK), err)
		}
		t.meterQuery(q, out.Items)
		for _, raw := range out.Items {
			i, err := decode(attributes(raw))
			if err != nil {
				return nil, err
			}
			if expired(i.Expires, now) || !r.includes(sortKey(q.Index, &i)) {
				continue
			}
			items = append(items, i)
			if len(items) == q.Limit {
				return items, nil
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return items, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

func (t *Table) meterQuery(q table.Query, items []map[string]types.AttributeValue) {
	if q.Index == "" {
		t.o.Meter.read("query", items, strong)
	} else {
		t.o.Meter.read("query index", items, eventual)
	}
}

func sortKey(index table.Index, i *table.Item) string {
	if index == "" {
		return i.SK
	}
	return i.Index[index].SK
}

// Scan is table.Scanner's, in DynamoDB's own order. Several may run at once, each over the whole table.
func (t *Table) Scan(ctx context.Context, from table.Key, limit int) ([]table.Item, error) {
	if limit < 1 {
		return nil, fmt.Errorf("scan: %w (limit %d)", table.ErrLimit, limit)
	}
	in := &dynamodb.ScanInput{TableName: t.name, ConsistentRead: aws.Bool(true)}
	if from != (table.Key{}) {
		in.ExclusiveStartKey = keyOf(from)
	}
	now := t.o.Now()
	var items []table.Item
	for {
		in.Limit = aws.Int32(int32(min(limit-len(items), 10_000))) //nolint:gosec // bounded
		out, err := t.client.Scan(ctx, in)
		if err != nil {
			return nil, readError("scan from "+from.String(), err)
		}
		t.o.Meter.read("scan", out.Items, strong)
		for _, raw := range out.Items {
			i, err := decode(attributes(raw))
			if err != nil {
				return nil, err
			}
			if !expired(i.Expires, now) {
				items = append(items, i)
			}
		}
		if len(items) == limit || len(out.LastEvaluatedKey) == 0 {
			return items, nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// keyRange is lower .. upper with either bound in or out; an empty bound is none.
type keyRange struct {
	lower, upper string
	// without says that lower does not belong to the range. upper never does.
	without bool
}

func rangeOf(q table.Query) keyRange {
	r := keyRange{lower: q.From, upper: q.To}
	switch {
	case q.After == "":
	case q.Desc && (r.upper == "" || q.After < r.upper):
		r.upper = q.After
	case !q.Desc && q.After >= r.lower:
		r.lower, r.without = q.After, true
	}
	return r
}

// empty catches what DynamoDB refuses as an error: BETWEEN with its bounds the wrong way round.
func (r keyRange) empty() bool { return r.upper != "" && r.lower >= r.upper }

func (r keyRange) includes(sk string) bool {
	return (r.upper == "" || sk < r.upper) && (sk > r.lower || sk == r.lower && !r.without)
}

func (r keyRange) input(name *string, q table.Query) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{TableName: name, ScanIndexForward: aws.Bool(!q.Desc)}
	pk, sk := "p", "s"
	if q.Index == "" {
		in.ConsistentRead = aws.Bool(true)
	} else {
		in.IndexName = aws.String(string(q.Index))
		pk, sk = indexAttributes(q.Index)
	}
	condition := pk + " = :p"
	in.ExpressionAttributeValues = map[string]types.AttributeValue{":p": text(q.PK)}
	switch {
	case r.lower != "" && r.upper != "":
		condition += " AND " + sk + " BETWEEN :lower AND :upper"
	case r.lower != "" && r.without:
		condition += " AND " + sk + " > :lower"
	case r.lower != "":
		condition += " AND " + sk + " >= :lower"
	case r.upper != "":
		condition += " AND " + sk + " < :upper"
	}
	if r.lower != "" {
		in.ExpressionAttributeValues[":lower"] = text(r.lower)
	}
	if r.upper != "" {
		in.ExpressionAttributeValues[":upper"] = text(r.upper)
	}
	in.KeyConditionExpression = aws.String(condition)
	return in
}

// readError types what a read can fail with.
func readError(doing string, err error) error {
	if busy(err) {
		return fmt.Errorf("%s: %w: %w", doing, table.ErrBusy, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func expired(at, now msg.Time) bool { return at != 0 && at <= now }

var errAttribute = errors.New("not as this program writes it: was it changed by hand?")
