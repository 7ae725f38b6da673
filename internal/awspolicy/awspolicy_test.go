package awspolicy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/aikajana/aikajana/internal/awspolicy"
)

const template = `
Resources:
  Table: {Type: AWS::DynamoDB::Table}
  Queue: {Type: AWS::SQS::Queue}
  Files: {Type: AWS::S3::Bucket}
  WorkFunction:
    Type: AWS::Serverless::Function
    Properties:
      Policies:
        - SendPolicy: {QueueName: !GetAtt Queue.QueueName}
        - Statement:
            - {Effect: Allow, Action: [dynamodb:GetItem, dynamodb:Query], Resource: !GetAtt Table.Arn}
            - {Effect: Allow, Action: s3:GetObject, Resource: [!Sub "${Files.Arn}/raw/*", !Sub "arn:${AWS::Partition}:s3:::other/*"]}
`

const sam = `{"Templates":{"SendPolicy":{"Definition":{"Statement":[{"Effect":"Allow","Action":["sqs:SendMessage*"],
 "Resource":{"Fn::Sub":["arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${name}",{"name":{"Ref":"QueueName"}}]}}]}}}}`

func TestRolesAreReadDownToTheResource(t *testing.T) {
	t.Parallel()
	roles, err := awspolicy.Roles([]byte(template), []byte(sam))
	if err != nil {
		t.Fatal(err)
	}
	want := []awspolicy.Permission{
		{Action: "sqs:SendMessage*", Resource: awspolicy.QueueARN("Queue")}, {Action: "dynamodb:GetItem", Resource: awspolicy.TableARN("Table")},
		{Action: "dynamodb:Query", Resource: awspolicy.TableARN("Table")}, {Action: "s3:GetObject", Resource: "arn:aws:s3:::Files/raw/*"},
		{Action: "s3:GetObject", Resource: "arn:aws:s3:::other/*"},
	}
	if got := roles["Work"]; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPolicyThatIsNotUnderstoodIsAnErrorAndNotNothing(t *testing.T) {
	t.Parallel()
	for was, is := range map[string]string{
		"SendPolicy":                           "UnheardOfPolicy",
		"Effect: Allow, Action: s3:GetObject":  "Effect: Deny, Action: s3:GetObject",
		"Action: s3:GetObject,":                "NotAction: s3:GetObject,",
		"!GetAtt Table.Arn":                    "!GetAtt Table.StreamArn",
		"${Files.Arn}":                         "${Missing.Arn}",
		"Effect: Allow, Action: [dynamodb:Get": "Effect: Allow, Condition: {}, Action: [dynamodb:Get",
		"      Policies:":                      "      Roles:",
	} {
		if _, err := awspolicy.Roles([]byte(strings.Replace(template, was, is, 1)), []byte(sam)); err == nil {
			t.Errorf("%q in place of %q is no error", is, was)
		}
	}
}

func TestDifferencesAreFoundBothWays(t *testing.T) {
	t.Parallel()
	table, raw := awspolicy.TableARN("Table"), awspolicy.ObjectARN("Files", "raw/…")
	roles := map[string][]awspolicy.Permission{
		"Even":   {{Action: "dynamodb:GetItem", Resource: table}, {Action: "s3:Get*", Resource: "arn:aws:s3:::Files/raw/*"}},
		"Narrow": {{Action: "dynamodb:GetItem", Resource: table}},
		"Wide":   {{Action: "s3:GetObject", Resource: "arn:aws:s3:::Files/raw/*"}, {Action: "s3:GetObject", Resource: "arn:aws:s3:::Files/ses/*"}},
		"Idle":   {{Action: "dynamodb:GetItem", Resource: table}},
	}
	calls := map[string][]awspolicy.Permission{
		"Even":   {{Action: "dynamodb:GetItem", Resource: table}, {Action: "s3:GetObject", Resource: raw}},
		"Narrow": {{Action: "dynamodb:GetItem", Resource: table}, {Action: "dynamodb:GetItem", Resource: table + "/index/work"}},
		"Wide":   {{Action: "s3:GetObject", Resource: raw}},
		"Nobody": {{Action: "s3:GetObject", Resource: raw}},
	}
	var got []string
	for _, d := range awspolicy.Compare(roles, calls) {
		for _, p := range d.Refused {
			got = append(got, d.Function+" refused "+p.String())
		}
		for _, p := range d.Unused {
			got = append(got, d.Function+" unused "+p.String())
		}
	}
	want := []string{
		"Idle unused dynamodb:GetItem on " + table, "Narrow refused dynamodb:GetItem on " + table + "/index/work",
		"Nobody refused s3:GetObject on " + raw, "Wide unused s3:GetObject on arn:aws:s3:::Files/ses/*",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCallIsTheDoingOfTheFunctionInItsContext(t *testing.T) {
	t.Parallel()
	var r awspolicy.Recorder
	w := &awspolicy.World{Table: "real-name"}
	client := dynamodb.NewFromConfig(r.Watch(aws.Config{Region: "eu-north-1"}, w), func(o *dynamodb.Options) {
		o.Retryer, o.BaseEndpoint = aws.NopRetryer{}, aws.String("http://127.0.0.1:1") // nobody answers, which is no matter
	})
	name := aws.String("real-name")
	put := types.TransactWriteItem{Put: &types.Put{TableName: name, Item: map[string]types.AttributeValue{}}}
	check := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: name, Key: map[string]types.AttributeValue{}, ConditionExpression: name}}
	_, _ = client.TransactWriteItems(awspolicy.As(t.Context(), "Work"), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{put, check}})
	_, _ = client.Query(awspolicy.As(t.Context(), "Work"), &dynamodb.QueryInput{TableName: name, IndexName: aws.String("due")})
	_, _ = client.DescribeTable(awspolicy.As(t.Context(), "Other"), &dynamodb.DescribeTableInput{TableName: name})
	_, _ = client.Query(t.Context(), &dynamodb.QueryInput{TableName: name}) // the stage's own
	calls := r.Calls()
	table := awspolicy.TableARN("Table")
	want := []awspolicy.Permission{{Action: "dynamodb:ConditionCheckItem", Resource: table}, {Action: "dynamodb:PutItem", Resource: table}, {Action: "dynamodb:Query", Resource: table + "/index/due"}}
	if !slices.Equal(calls["Work"], want) || len(calls) != 2 {
		t.Errorf("got %v", calls)
	}
	if len(calls["Other"]) != 1 || !strings.HasPrefix(calls["Other"][0].Action, "unknown:") {
		t.Errorf("a call that nothing knows is %v; it must be one that no role has", calls["Other"])
	}
}
