package localaws

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appaws "github.com/aikajana/aikajana/internal/app/aws"
)

const small = `
Globals: {Function: {Environment: {Variables: {AIKAJANA_QUEUE_WAKE: !Ref WakeQueue}}}}
Resources:
  WakeQueue:
    Type: AWS::SQS::Queue
    Properties: {VisibilityTimeout: 360, RedrivePolicy: {deadLetterTargetArn: !GetAtt WakeDeadLetters.Arn, maxReceiveCount: 4}}
  Rule: {Type: AWS::SES::ReceiptRule, Properties: {Events: [bounce]}}
  DeliverFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Queue: {Type: SQS, Properties: {Queue: !GetAtt WakeQueue.Arn, BatchSize: 7, FunctionResponseTypes: [ReportBatchItemFailures]}}
  ReactFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Changes:
          Type: DynamoDB
          Properties:
            BatchSize: 90
            BisectBatchOnFunctionError: true
            MaximumRetryAttempts: 3
            TumblingWindowInSeconds: 60
            FilterCriteria: {Filters: [{Pattern: '{"dynamodb":{"Keys":{"p":{"S":[{"prefix":"C#"}]}}}}'}]}
            DestinationConfig: {OnFailure: {Type: S3, Destination: !GetAtt FailureBucket.Arn}}
`

func settingsOf(t *testing.T, template string) (*settings, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(path, []byte(template), 0o600); err != nil {
		t.Fatal(err)
	}
	return readSettings(path, []string{"wake"})
}

func TestEventSourcesAreSetAsTheTemplateSays(t *testing.T) {
	t.Parallel()
	s, err := settingsOf(t, small)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := s.queues["wake"], (queueSource{"DeliverFunction", 7, true, 6 * time.Minute, 4}); got != want {
		t.Errorf("the queue is %+v, want %+v", got, want)
	}
	if got, want := s.stream, (streamSource{"ReactFunction", 90, true, 3, time.Minute}); got != want {
		t.Errorf("the stream is %+v, want %+v", got, want)
	}
	if s, err = settingsOf(t, strings.NewReplacer(", FunctionResponseTypes: [ReportBatchItemFailures]", "", "BisectBatchOnFunctionError: true", "StartingPosition: LATEST").Replace(small)); err != nil {
		t.Fatal(err)
	}
	if s.queues["wake"].partial || s.stream.bisect {
		t.Errorf("what the template does not ask for is played: %+v", s)
	}
}

func TestTheProjectsTemplateIsUnderstood(t *testing.T) {
	t.Parallel()
	s, err := readSettings("../../template.yaml", appaws.QueueNames)
	if err != nil {
		t.Fatal(err)
	}
	for name, function := range map[string]string{"inbound": "ProcessFunction", "mail": "MailFunction", "media": "FetchFunction", "wake": "DeliverFunction"} {
		if s.queues[name].function != function {
			t.Errorf("%s is worked on by %q", name, s.queues[name].function)
		}
	}
	if s.stream.function != "ReactFunction" {
		t.Errorf("the stream is followed by %q", s.stream.function)
	}
}

func TestATemplateThatLeavesASettingOutIsRefused(t *testing.T) {
	t.Parallel()
	for was, is := range map[string]string{
		"!Ref WakeQueue":                 "!Ref Gone",
		"!GetAtt WakeQueue.Arn":          "!GetAtt OtherQueue.Arn",
		"VisibilityTimeout: 360, ":       "",
		", maxReceiveCount: 4":           "",
		"BatchSize: 7, ":                 "",
		"BatchSize: 90":                  "Enabled: true",
		"MaximumRetryAttempts: 3":        "Enabled: true",
		"TumblingWindowInSeconds: 60":    "Enabled: true",
		"OnFailure: {Type: S3":           "OnFailure: {Type: SQS",
		`{"prefix":"C#"}`:                `{"suffix":"C#"}`,
		"Type: DynamoDB":                 "Type: Kinesis",
		"maxReceiveCount: 4":             "maxReceiveCount: !Ref Tries",
		"Globals: {Function: {Env":       "Globals: {Api: {Env",
		"Resources:":                     "Outputs:",
		"Properties: {VisibilityTimeout": "Properties: [VisibilityTimeout",
	} {
		if strings.Count(small, was) == 0 {
			t.Errorf("the template has no %q", was)
		}
		if s, err := settingsOf(t, strings.Replace(small, was, is, 1)); err == nil {
			t.Errorf("%q in place of %q is read as %+v", is, was, s)
		}
	}
	if _, err := settingsOf(t, ""); err == nil {
		t.Error("an empty template is read")
	}
	if _, err := readSettings(filepath.Join(t.TempDir(), "none.yaml"), nil); err == nil {
		t.Error("no template is read")
	}
}
