package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/table"
)

// TTLAttribute is the attribute that DynamoDB expires items by.
const TTLAttribute = "x"

// Definition is the table as template.yaml declares it: on demand, a stream with both images, two sparse indexes with keys
// only. TTL, point-in-time recovery and deletion protection are settings of the table beside its definition.
func Definition(name string) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:           aws.String(name),
		BillingMode:         types.BillingModePayPerRequest,
		KeySchema:           schema("p", "s"),
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	}
	names := []string{"p", "s"}
	for _, index := range []table.Index{table.WorkList, table.Due} {
		pk, sk := indexAttributes(index)
		names = append(names, pk, sk)
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: aws.String(string(index)), KeySchema: schema(pk, sk),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		})
	}
	for _, a := range names {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: aws.String(a), AttributeType: types.ScalarAttributeTypeS})
	}
	return in
}

func schema(pk, sk string) []types.KeySchemaElement {
	return []types.KeySchemaElement{
		{AttributeName: aws.String(pk), KeyType: types.KeyTypeHash}, {AttributeName: aws.String(sk), KeyType: types.KeyTypeRange},
	}
}

// CreateTable makes the table for tests and local runs, waits until it is there and returns its stream's ARN. On AWS the
// template does it.
func CreateTable(ctx context.Context, client *dynamodb.Client, name string) (streamARN string, err error) {
	if _, err := client.CreateTable(ctx, Definition(name)); err != nil {
		return "", fmt.Errorf("create table %s: %w", name, err)
	}
	found, err := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	}).WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: aws.String(name)}, time.Minute)
	if err != nil {
		return "", fmt.Errorf("wait for table %s: %w", name, err)
	}
	if _, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName: aws.String(name), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(TTLAttribute), Enabled: aws.Bool(true)},
	}); err != nil {
		return "", fmt.Errorf("set the time to live of table %s: %w", name, err)
	}
	return aws.ToString(found.Table.LatestStreamArn), nil
}
