package streams

import (
	"encoding/base64"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
)

// EventRecord is a record of a stream as Lambda hands it to a function, for whoever plays an event source
// (docs.aws.amazon.com/lambda/latest/dg/with-ddb.html, read on 2026-11-30). At is when it is said to have been written, to the second.
func EventRecord(streamARN string, at time.Time, r *types.Record) map[string]any {
	change := map[string]any{
		"ApproximateCreationDateTime": at.Unix(), "SequenceNumber": aws.ToString(r.Dynamodb.SequenceNumber),
		"SizeBytes": aws.ToInt64(r.Dynamodb.SizeBytes), "StreamViewType": "NEW_AND_OLD_IMAGES", "Keys": eventImage(r.Dynamodb.Keys),
	}
	if r.Dynamodb.OldImage != nil {
		change["OldImage"] = eventImage(r.Dynamodb.OldImage)
	}
	if r.Dynamodb.NewImage != nil {
		change["NewImage"] = eventImage(r.Dynamodb.NewImage)
	}
	return map[string]any{
		"eventID": aws.ToString(r.EventID), "eventName": string(r.EventName), "eventVersion": "1.1", "eventSource": "aws:dynamodb",
		"awsRegion": aws.ToString(r.AwsRegion), "dynamodb": change, "eventSourceARN": streamARN,
	}
}

// eventImage has the types of attribute that this program's items have.
func eventImage(image map[string]types.AttributeValue) map[string]any {
	out := make(map[string]any, len(image))
	for name, v := range image {
		switch v := v.(type) {
		case *types.AttributeValueMemberS:
			out[name] = map[string]string{"S": v.Value}
		case *types.AttributeValueMemberN:
			out[name] = map[string]string{"N": v.Value}
		case *types.AttributeValueMemberB:
			out[name] = map[string]string{"B": base64.StdEncoding.EncodeToString(v.Value)}
		}
	}
	return out
}
