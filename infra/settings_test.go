package infra

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	yaml "github.com/oasdiff/yaml3"

	"github.com/aikajana/aikajana/internal/awspolicy"
	"github.com/aikajana/aikajana/internal/blob"
)

// plain reads YAML as the template is read.
func plain(t *testing.T, text string) any {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return awspolicy.Plain(doc.Content[0])
}

// alarms are all of them, without what is the same in each: whom they tell.
var alarms = map[string]string{
	"DeadLettersAlarm": `
ComparisonOperator: GreaterThanOrEqualToThreshold
Threshold: 1
EvaluationPeriods: 1
TreatMissingData: notBreaching
Metrics:
- {Id: all, Expression: SUM(METRICS()), Label: dead letters}
- {Id: inbound, ReturnData: false, MetricStat: {Stat: Maximum, Period: 60, Metric: {Namespace: AWS/SQS, MetricName: ApproximateNumberOfMessagesVisible, Dimensions: [{Name: QueueName, Value: !GetAtt InboundDeadLetters.QueueName}]}}}
- {Id: mail, ReturnData: false, MetricStat: {Stat: Maximum, Period: 60, Metric: {Namespace: AWS/SQS, MetricName: ApproximateNumberOfMessagesVisible, Dimensions: [{Name: QueueName, Value: !GetAtt MailDeadLetters.QueueName}]}}}
- {Id: media, ReturnData: false, MetricStat: {Stat: Maximum, Period: 60, Metric: {Namespace: AWS/SQS, MetricName: ApproximateNumberOfMessagesVisible, Dimensions: [{Name: QueueName, Value: !GetAtt MediaDeadLetters.QueueName}]}}}
- {Id: wake, ReturnData: false, MetricStat: {Stat: Maximum, Period: 60, Metric: {Namespace: AWS/SQS, MetricName: ApproximateNumberOfMessagesVisible, Dimensions: [{Name: QueueName, Value: !GetAtt WakeDeadLetters.QueueName}]}}}`,
	"OldestMessageAlarm": `
ComparisonOperator: GreaterThanThreshold
Threshold: 300
EvaluationPeriods: 2
TreatMissingData: notBreaching
Metrics:
- {Id: oldest, Expression: MAX(METRICS()), Label: age of the oldest message}
- {Id: inbound, ReturnData: false, MetricStat: {Stat: Maximum, Period: 60, Metric: {Namespace: AWS/SQS, MetricName: ApproximateAgeOfOldestMessage, Dimensions: [{Name: QueueName, Value: !GetAtt InboundQueue.QueueName}]}}}
- {Id: mail, ReturnData: false, MetricStat: {Stat: Maximum, Period: 60, Metric: {Namespace: AWS/SQS, MetricName: ApproximateAgeOfOldestMessage, Dimensions: [{Name: QueueName, Value: !GetAtt MailQueue.QueueName}]}}}
- {Id: media, ReturnData: false, MetricStat: {Stat: Maximum, Period: 60, Metric: {Namespace: AWS/SQS, MetricName: ApproximateAgeOfOldestMessage, Dimensions: [{Name: QueueName, Value: !GetAtt MediaQueue.QueueName}]}}}
- {Id: wake, ReturnData: false, MetricStat: {Stat: Maximum, Period: 60, Metric: {Namespace: AWS/SQS, MetricName: ApproximateAgeOfOldestMessage, Dimensions: [{Name: QueueName, Value: !GetAtt WakeQueue.QueueName}]}}}`,
	"IteratorAgeAlarm": `
{Namespace: AWS/Lambda, MetricName: IteratorAge, Dimensions: [{Name: FunctionName, Value: !Ref ReactFunction}], Statistic: Maximum, Period: 60, EvaluationPeriods: 2,
 ComparisonOperator: GreaterThanThreshold, Threshold: 60000, TreatMissingData: notBreaching}`,
	"ErrorsAlarm": `
{Namespace: AWS/Lambda, MetricName: Errors, Statistic: Sum, Period: 300, EvaluationPeriods: 2, ComparisonOperator: GreaterThanOrEqualToThreshold, Threshold: 1, TreatMissingData: notBreaching}`,
	"ThrottlesAlarm": `
{Namespace: AWS/Lambda, MetricName: Throttles, Statistic: Sum, Period: 300, EvaluationPeriods: 1, ComparisonOperator: GreaterThanOrEqualToThreshold, Threshold: 1, TreatMissingData: notBreaching}`,
	"TableThrottlesAlarm": `
{Namespace: AWS/DynamoDB, MetricName: WriteThrottleEvents, Dimensions: [{Name: TableName, Value: !Ref Table}], Statistic: Sum, Period: 300, EvaluationPeriods: 1,
 ComparisonOperator: GreaterThanOrEqualToThreshold, Threshold: 1, TreatMissingData: notBreaching}`,
	"SignatureFailuresAlarm": `
{Namespace: !Ref "AWS::StackName", MetricName: SignatureFailures, Statistic: Sum, Period: 300, EvaluationPeriods: 1, ComparisonOperator: GreaterThanOrEqualToThreshold, Threshold: 10, TreatMissingData: notBreaching}`,
	"BounceAlarm": `
{Namespace: AWS/SES, MetricName: Reputation.BounceRate, Statistic: Average, Period: 3600, EvaluationPeriods: 1, ComparisonOperator: GreaterThanThreshold, Threshold: 0.02, TreatMissingData: notBreaching}`,
	"ComplaintAlarm": `
{Namespace: AWS/SES, MetricName: Reputation.ComplaintRate, Statistic: Average, Period: 3600, EvaluationPeriods: 1, ComparisonOperator: GreaterThanThreshold, Threshold: 0.0005, TreatMissingData: notBreaching}`,
	"UnhealthyAlarm": `
{EvaluationPeriods: 1, ComparisonOperator: GreaterThanThreshold, Threshold: 0, TreatMissingData: breaching, Metrics: [
 {Id: all, Expression: "tick + FILL(passed, 0)", Label: what somebody should look at},
 {Id: tick, ReturnData: false, MetricStat: {Stat: Maximum, Period: 600, Metric: {Namespace: !Ref AWS::StackName, MetricName: Unhealthy}}},
 {Id: passed, ReturnData: false, MetricStat: {Stat: Sum, Period: 600, Metric: {Namespace: !Ref AWS::StackName, MetricName: ChangesPassedOver}}}]}`,
}

// TestAlarmsLookAtWhatTheySayAndTellWhoeverIsToBeTold: an alarm over a metric that nobody writes, or with a statistic that smooths
// everything away, is as quiet as a healthy desk.
func TestAlarmsLookAtWhatTheySayAndTellWhoeverIsToBeTold(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	found := tpl.resources("AWS::CloudWatch::Alarm")
	if got, want := slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(alarms)); !slices.Equal(got, want) {
		t.Fatalf("the alarms are %v, want %v", got, want)
	}
	for name, text := range alarms {
		want, ok := plain(t, text).(map[string]any)
		if !ok {
			t.Fatalf("%s: %s", name, text)
		}
		want["AlarmActions"], want["OKActions"] = []any{ref("AlarmTopic")}, []any{ref("AlarmTopic")}
		want["AlarmDescription"] = props(found[name], "AlarmDescription").value // TestAlarmsAreTenAtMostAndEachLinksItsPage
		props(found[name]).is(want)
	}
	props(resource(tpl, "AlarmTopic")).is(plain(t, `{Subscription: !If [TellsSomebody, [{Protocol: email, Endpoint: !Ref AlarmEmail}], !Ref AWS::NoValue]}`))
}

// TestMetricsOfOurOwnAreFewAndEachIsLookedAt: each costs 0.30 dollars a month, and is worth that when it is on an alarm or on the
// dashboard.
func TestMetricsOfOurOwnAreFewAndEachIsLookedAt(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	looked := fmt.Sprint(props(resource(tpl, "Dashboard")).value)
	for _, alarm := range tpl.resources("AWS::CloudWatch::Alarm") {
		looked += fmt.Sprint(props(alarm).value)
	}
	own := 0
	for name, filter := range tpl.resources("AWS::Logs::MetricFilter") {
		for _, m := range props(filter, "MetricTransformations").list() {
			own++
			m.at("MetricNamespace").is(ref("AWS::StackName")) // where alarms and dashboard look
			if metric := fmt.Sprint(m.at("MetricName").value); !regexp.MustCompile(`\b` + metric + `\b`).MatchString(looked) {
				t.Errorf("%s: nobody looks at %s", name, metric)
			}
		}
	}
	if own > 10 {
		t.Errorf("%d metrics of our own; ten are paid for", own)
	}
	// A line of the log that is a metric by its form (embedded metric format) would be one that this test does not count.
	err := fs.WalkDir(os.DirFS("../internal"), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		body, err := os.ReadFile(filepath.Join("..", "internal", path))
		if strings.Contains(string(body), `"CloudWatchMetrics"`) {
			t.Errorf("internal/%s writes metrics into the log: count them here", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestMetricFiltersFindTheLinesThatTheyAreFor(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	props(resource(tpl, "SignatureFailures")).is(plain(t, `
LogGroupName: !Ref HttpLogs
FilterPattern: '{ ($.route = "ANY /hooks/{channel}/{account}") && (($.status = 401) || ($.status = 403)) }'
MetricTransformations: [{MetricNamespace: !Ref "AWS::StackName", MetricName: SignatureFailures, MetricValue: "1", DefaultValue: 0}]`))
	props(resource(tpl, "WebhookRoute"), "RouteKey").is("ANY /hooks/{channel}/{account}")
	var line map[string]any // of the access log, with anything for what is a number there
	format := fmt.Sprint(props(resource(tpl, "HttpStage"), "AccessLogSettings", "Format").value)
	if err := json.Unmarshal([]byte(regexp.MustCompile(`:(\$context\.\w+)`).ReplaceAllString(format, `:"$1"`)), &line); err != nil {
		t.Fatalf("%s: %v", format, err)
	}
	if line["route"] != "$context.routeKey" || line["status"] != "$context.status" {
		t.Errorf("the access log says %v, and the filter looks for route and status", line)
	}
	props(resource(tpl, "HttpStage"), "AccessLogSettings", "DestinationArn").is(attribute("HttpLogs.Arn"))
	props(resource(tpl, "ChangesPassedOver")).is(plain(t, `
LogGroupName: !Ref ReactLogs
FilterPattern: '{ $.msg = "change passed over*" }'
MetricTransformations: [{MetricNamespace: !Ref "AWS::StackName", MetricName: ChangesPassedOver, MetricValue: "1", DefaultValue: 0}]`))
	react, err := os.ReadFile(filepath.Join("..", "internal", "pipeline", "react.go"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(react), `"change passed over`) {
		t.Error("no line of React begins like that")
	}
}

// TestDashboardShowsEverything: each function, each queue and its dead letters, the table, and nothing that is not there.
func TestDashboardShowsEverything(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	props(resource(tpl, "Dashboard"), "DashboardName").is(ref("AWS::StackName"))
	var board struct {
		Widgets []struct {
			Type                string
			X, Y, Width, Height int
			Properties          struct {
				Title, Region, Stat, Markdown string
				Period                        int
				Metrics                       [][]any
			}
		}
	}
	body := fmt.Sprint(props(resource(tpl, "Dashboard"), "DashboardBody", "Fn::Sub").value)
	if err := json.Unmarshal([]byte(body), &board); err != nil {
		t.Fatal(err)
	}
	texts, shown := 0, map[string]bool{}
	taken := map[[2]int]string{} // places of the grid of 24 columns
	for _, w := range board.Widgets {
		for x := w.X; x < w.X+w.Width; x++ {
			for y := w.Y; y < w.Y+w.Height; y++ {
				if over := taken[[2]int{x, y}]; over != "" || x >= 24 {
					t.Errorf("%q lies over %q, or beside the board", w.Properties.Title, over)
				}
				taken[[2]int{x, y}] = w.Properties.Title + w.Type
			}
		}
		if w.Type == "text" {
			texts++
			if !strings.Contains(w.Properties.Markdown, "${DocsURL}/dashboard.md") {
				t.Errorf("the text links no page: %s", w.Properties.Markdown)
			}
			continue
		}
		if w.Type != "metric" || w.Properties.Region != "${AWS::Region}" || w.Properties.Title == "" || w.Properties.Period != 60 && w.Properties.Period != 300 {
			t.Errorf("no picture of this region: %+v", w)
		}
		for _, m := range w.Properties.Metrics {
			stat := w.Properties.Stat
			options, ok := m[len(m)-1].(map[string]any)
			if !ok || options["label"] == nil {
				t.Fatalf("%v has no label", m)
			}
			if own, ok := options["stat"].(string); ok {
				stat = own
			}
			words := []string{stat}
			for _, word := range m[:len(m)-1] {
				words = append(words, fmt.Sprint(word))
			}
			shown[strings.Join(words, " ")] = true
		}
	}
	if texts != 1 {
		t.Errorf("%d texts, want the one that says how to read the board", texts)
	}
	want := map[string]bool{
		"Sum AWS/Lambda Invocations FunctionName ${WebhookFunction}": true, "p50 AWS/Lambda Duration FunctionName ${WebhookFunction}": true,
		"p99 AWS/Lambda Duration FunctionName ${WebhookFunction}": true, "Maximum AWS/Lambda IteratorAge FunctionName ${ReactFunction}": true,
		"Sum ${AWS::StackName} ChangesPassedOver": true, "Sum AWS/DynamoDB ConsumedWriteCapacityUnits TableName ${Table}": true,
		"Sum AWS/DynamoDB ConsumedReadCapacityUnits TableName ${Table}": true, "Sum AWS/DynamoDB WriteThrottleEvents TableName ${Table}": true,
	}
	for name := range tpl.resources("AWS::Serverless::Function") {
		want["Sum AWS/Lambda Errors FunctionName ${"+name+"}"] = true
	}
	for name := range tpl.resources("AWS::SQS::Queue") {
		what := "ApproximateAgeOfOldestMessage"
		if strings.HasSuffix(name, "DeadLetters") {
			what = "ApproximateNumberOfMessagesVisible"
		}
		want["Maximum AWS/SQS "+what+" QueueName ${"+name+".QueueName}"] = true
	}
	for m := range want {
		if !shown[m] {
			t.Errorf("the dashboard does not show %s", m)
		}
		delete(shown, m)
	}
	if len(shown) > 0 {
		t.Errorf("the dashboard shows %v, and docs/aws/dashboard.md and this test know nothing of it", slices.Sorted(maps.Keys(shown)))
	}
}

func TestBudgetTellsBeforeTheMoneyIsSpent(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	budget := resource(tpl, "Budget")
	budget.at("Type").is("AWS::Budgets::Budget")
	budget.at("Condition").is("HasBudget")
	props(budget).is(plain(t, `
Budget: {BudgetName: !Sub "${AWS::StackName}-monthly", BudgetType: COST, TimeUnit: MONTHLY, BudgetLimit: {Amount: !Ref MonthlyBudget, Unit: USD}}
NotificationsWithSubscribers:
- Notification: {NotificationType: ACTUAL, ComparisonOperator: GREATER_THAN, Threshold: 80, ThresholdType: PERCENTAGE}
  Subscribers: [{SubscriptionType: EMAIL, Address: !Ref AlarmEmail}]`))
	tpl.at("Parameters", "MonthlyBudget", "Default").is(20)
}

func TestConditionsHoldWhereTheyShould(t *testing.T) {
	t.Parallel()
	template(t).at("Conditions").is(plain(t, `
ReceivesMail: !Not [!Equals [!Join ["", !Ref MailRecipients], ""]] # a receipt rule without recipients would take every domain's mail
Debugging: !Equals [!Ref LogLevel, debug]
OwnBaseURL: !Not [!Equals [!Ref BaseURL, ""]]
TellsSomebody: !Not [!Equals [!Ref AlarmEmail, ""]]
HasBudget: !And [!Condition TellsSomebody, !Not [!Equals [!Ref "AWS::Region", eu-north-1]]]`))
}

// TestParametersHaveSaneDefaultsAndLimits, and each is in one of the groups that the console shows.
func TestParametersHaveSaneDefaultsAndLimits(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	want := plain(t, `
MailRecipients: {Type: CommaDelimitedList, Default: ""}
BaseURL: {Type: String, Default: "", AllowedPattern: "^(https://[a-z0-9.-]+)?$"}
AlarmEmail: {Type: String, Default: ""}
MonthlyBudget: {Type: Number, Default: 20}
Architecture: {Type: String, Default: arm64, AllowedValues: [arm64, x86_64]}
Team: {Type: String, Default: support}
TimeZone: {Type: String, Default: Europe/Helsinki}
LogLevel: {Type: String, Default: info, AllowedValues: [debug, info, warn, error]}
ProcessConcurrency: {Type: Number, Default: 10, MinValue: 2, MaxValue: 1000} # the least and the most that an SQS source may have
DeletionProtection: {Type: String, Default: "true", AllowedValues: ["true", "false"]}
DocsURL: {Type: String, Default: "https://github.com/aikajana/aikajana/blob/main/docs/aws"}`).(map[string]any)
	for name, p := range want {
		for _, text := range []string{"Description", "ConstraintDescription"} {
			if found := tpl.at("Parameters", name); found.has(text) {
				p.(map[string]any)[text] = found.at(text).value
			}
		}
	}
	tpl.at("Parameters").is(want)
	grouped := map[string]bool{}
	for _, group := range tpl.at("Metadata", "AWS::CloudFormation::Interface", "ParameterGroups").list() {
		group.at("Label", "default")
		for _, p := range group.at("Parameters").list() {
			if name := fmt.Sprint(p.value); grouped[name] || want[name] == nil {
				t.Errorf("%s is in two groups, or no parameter", name)
			} else {
				grouped[name] = true
			}
		}
	}
	if len(grouped) != len(want) {
		t.Errorf("%d of %d parameters are in a group", len(grouped), len(want))
	}
}

func TestFunctionsAreToldTheNamesOfWhatTheyUse(t *testing.T) {
	t.Parallel()
	variables := globals(template(t), "Environment", "Variables")
	for _, q := range []string{"Inbound", "Mail", "Media", "Wake"} {
		variables.at("AIKAJANA_QUEUE_" + strings.ToUpper(q)).is(ref(q + "Queue"))
		variables.at("AIKAJANA_DEAD_" + strings.ToUpper(q)).is(ref(q + "DeadLetters"))
	}
	for variable, parameter := range map[string]string{"TEAM": "Team", "TIME_ZONE": "TimeZone", "LOG_LEVEL": "LogLevel"} {
		variables.at("AIKAJANA_" + variable).is(ref(parameter))
	}
	variables.at("AIKAJANA_ALLOW_PRIVATE").is("no")
}

func TestOutputsAreWhatThePagesAskFor(t *testing.T) {
	t.Parallel()
	outputs := template(t).at("Outputs")
	want := map[string]any{}
	for name, value := range plain(t, `
Address: !If [OwnBaseURL, !Ref BaseURL, !Sub "https://${HttpApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}"]
Socket: !Sub wss://${StaffSocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live
Table: !Ref Table
Bucket: !Ref DataBucket
SecretPath: !Sub /aikajana/${AWS::StackName}
ReceiptRuleSet: !Ref ReceiptRules`).(map[string]any) {
		want[name] = map[string]any{"Value": value, "Description": outputs.at(name, "Description").value}
	}
	want["ReceiptRuleSet"].(map[string]any)["Condition"] = "ReceivesMail"
	outputs.is(want)
	variables := globals(template(t), "Environment", "Variables")
	for output, variable := range map[string]string{"Address": "AIKAJANA_BASE_URL", "Socket": "AIKAJANA_SOCKET_URL", "Table": "AIKAJANA_TABLE", "Bucket": "AIKAJANA_BUCKET", "SecretPath": "AIKAJANA_SECRET_PATH"} {
		outputs.at(output, "Value").is(variables.at(variable).value) // what functions are told is what people are
	}
}

func TestRoutesAreThrottledAsTheLimitsPageSays(t *testing.T) {
	t.Parallel()
	stage := resource(template(t), "HttpStage")
	props(stage, "ApiId").is(ref("HttpApi"))
	props(stage, "StageName").is("$default")
	props(stage, "AutoDeploy").is("true")
	props(stage, "DefaultRouteSettings").is(plain(t, `{ThrottlingBurstLimit: 100, ThrottlingRateLimit: 50}`))
	props(stage, "RouteSettings").is(plain(t, `
"ANY /hooks/{channel}/{account}": {ThrottlingBurstLimit: 1000, ThrottlingRateLimit: 500}
"ANY /api/{proxy+}": {ThrottlingBurstLimit: 400, ThrottlingRateLimit: 200}
"GET /healthz": {ThrottlingBurstLimit: 20, ThrottlingRateLimit: 10}
"$default": {ThrottlingBurstLimit: 100, ThrottlingRateLimit: 50}`))
}

// TestRoutesReachTheirFunctionsAndNobodyElseCallsThem: what API Gateway may call, it may for this API alone.
func TestRoutesReachTheirFunctionsAndNobodyElseCallsThem(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	for name, route := range map[string][2]string{
		"Webhook": {"Webhook", "ANY /hooks/{channel}/{account}"}, "Api": {"Api", "ANY /api/{proxy+}"}, "Health": {"Api", "GET /healthz"}, "Pages": {"Pages", "$default"},
	} {
		props(resource(tpl, name+"Route")).is(map[string]any{
			"ApiId": ref("HttpApi"), "RouteKey": route[1], "Target": map[string]any{"Fn::Sub": "integrations/${" + route[0] + "Integration}"},
		})
	}
	for _, name := range []string{"Webhook", "Api", "Pages"} {
		props(resource(tpl, name+"Integration")).is(map[string]any{
			"ApiId": ref("HttpApi"), "IntegrationType": "AWS_PROXY", "PayloadFormatVersion": "2.0",
			"IntegrationUri": map[string]any{"Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${" + name + "Function.Arn}/invocations"},
		})
		props(resource(tpl, name+"Permission")).is(map[string]any{
			"Action": "lambda:InvokeFunction", "FunctionName": ref(name + "Function"), "Principal": "apigateway.amazonaws.com",
			"SourceArn": map[string]any{"Fn::Sub": "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${HttpApi}/*"},
		})
	}
	resource(tpl, "HttpStage").at("DependsOn").is([]any{"WebhookRoute", "ApiRoute", "HealthRoute", "PagesRoute"})
	props(resource(tpl, "HttpApi")).is(plain(t, `{Name: !Sub "${AWS::StackName}-http", ProtocolType: HTTP}`))
	if n := len(tpl.resources("AWS::ApiGatewayV2::Route")); n != 4 {
		t.Errorf("%d routes, want four", n)
	}
}

func TestFunctionsHaveTheTimeAndMemoryThatTheyNeed(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	for name, want := range map[string][2]string{ // seconds, MB; no memory is the globals'
		"Webhook": {"10"}, "Process": {"30"}, "Mail": {"120", "1024"}, "Fetch": {"120", "1024"}, "Deliver": {"60"}, "React": {"60"}, "Tick": {"60"},
		"Api": {"29", "512"}, "Pages": {"10", "512"}, "Socket": {"10"},
	} {
		f := function(tpl, name)
		f.at("Timeout").is(want[0])
		if want[1] != "" {
			f.at("MemorySize").is(want[1])
		} else if f.has("MemorySize") {
			t.Errorf("%s has a memory of its own", name)
		}
	}
	globals(tpl, "MemorySize").is(256)
	globals(tpl, "Timeout").is(30)
	function(tpl, "Tick").at("EventInvokeConfig", "MaximumRetryAttempts").is(0)
	props(event(tpl, "Tick", "EveryMinute"), "RetryPolicy", "MaximumRetryAttempts").is(0)
	props(event(tpl, "React", "Changes"), "BatchSize").is(100)
}

func TestDataIsEncryptedKeptAndReachedOnlyOverTLS(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	table := resource(tpl, "Table")
	props(table, "BillingMode").is("PAY_PER_REQUEST")
	props(table, "StreamSpecification").is(map[string]any{"StreamViewType": "NEW_AND_OLD_IMAGES"})
	props(table, "SSESpecification").is(map[string]any{"SSEEnabled": "true"}) // with AWS's own key, which costs nothing
	tls := plain(t, `
Sid: OnlyEncryptedOnTheWay
Effect: Deny
Principal: "*"
Action: s3:*
Condition: {Bool: {aws:SecureTransport: "false"}}`).(map[string]any)
	for name, bucket := range tpl.resources("AWS::S3::Bucket") {
		bucket.at("DeletionPolicy").is("Retain")
		bucket.at("UpdateReplacePolicy").is("Retain")
		props(bucket, "BucketEncryption").is(plain(t, `{ServerSideEncryptionConfiguration: [{ServerSideEncryptionByDefault: {SSEAlgorithm: AES256}}]}`))
		props(bucket, "OwnershipControls").is(plain(t, `{Rules: [{ObjectOwnership: BucketOwnerEnforced}]}`))
		policy := resource(tpl, name+"Policy")
		props(policy, "Bucket").is(ref(name))
		tls["Resource"] = []any{attribute(name + ".Arn"), map[string]any{"Fn::Sub": "${" + name + ".Arn}/*"}}
		props(policy, "PolicyDocument", "Statement").list()[0].is(tls)
		for _, rule := range props(bucket, "LifecycleConfiguration", "Rules").list() {
			rule.at("Status").is("Enabled")
		}
	}
	props(resource(tpl, "FailureBucket"), "LifecycleConfiguration", "Rules").is(plain(t, `[{Id: old, Status: Enabled, ExpirationInDays: 30}]`))
	rules := props(resource(tpl, "DataBucket"), "LifecycleConfiguration", "Rules").list()
	rules[len(rules)-1].is(plain(t, `{Id: broken-uploads, Status: Enabled, AbortIncompleteMultipartUpload: {DaysAfterInitiation: 1}}`))
	if blob.MaxLink > 300*time.Second {
		t.Errorf("a link to a file works for %s; who has it needs no sign-in", blob.MaxLink)
	}
	for name, r := range tpl.at("Resources").value.(map[string]any) {
		kind, _ := r.(map[string]any)["Type"].(string)
		if strings.HasPrefix(kind, "AWS::SecretsManager::") || strings.HasPrefix(kind, "AWS::KMS::") {
			t.Errorf("%s is a %s: secrets are SecureString parameters under AWS's own key", name, kind)
		}
	}
}

// TestOnlySESWritesMailAndWhatItSaysOfIt: what lies under ses/, and what stands in the mail queue, is believed.
func TestOnlySESWritesMailAndWhatItSaysOfIt(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	policies := props(resource(tpl, "DataBucketPolicy"), "PolicyDocument", "Statement").list()
	if len(policies) != 2 {
		t.Fatalf("%d statements, want two", len(policies))
	}
	policies[1].is(plain(t, `{Sid: MailFromSES, Effect: Allow, Principal: {Service: ses.amazonaws.com}, Action: "s3:PutObject",
 Resource: !Sub "${DataBucket.Arn}/ses/*", Condition: {StringEquals: {"aws:SourceAccount": !Ref "AWS::AccountId"}}}`))
	props(resource(tpl, "MailTopicPolicy")).is(plain(t, `
Topics: [!Ref MailTopic]
PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {Service: ses.amazonaws.com}, Action: "sns:Publish", Resource: !Ref MailTopic,
  Condition: {StringEquals: {"aws:SourceAccount": !Ref "AWS::AccountId"}}}]}`))
	props(resource(tpl, "MailEventsPolicy")).is(plain(t, `
Topics: [!Ref MailEvents]
PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {Service: ses.amazonaws.com}, Action: "sns:Publish", Resource: !Ref MailEvents,
  Condition: {StringEquals: {"aws:SourceAccount": !Ref "AWS::AccountId"},
   ArnEquals: {"aws:SourceArn": !Sub "arn:${AWS::Partition}:ses:${AWS::Region}:${AWS::AccountId}:configuration-set/${ConfigurationSet}"}}}]}`))
	props(resource(tpl, "MailQueuePolicy")).is(plain(t, `
Queues: [!Ref MailQueue]
PolicyDocument: {Version: "2012-10-17", Statement: [{Effect: Allow, Principal: {Service: sns.amazonaws.com}, Action: "sqs:SendMessage", Resource: !GetAtt MailQueue.Arn,
  Condition: {ArnEquals: {"aws:SourceArn": [!Ref MailEvents, !If [ReceivesMail, !Ref MailTopic, !Ref "AWS::NoValue"]]}}}]}`))
	rule := resource(tpl, "ReceiptRule")
	rule.at("DependsOn").is([]any{"DataBucketPolicy", "MailTopicPolicy"}) // SES tries both when the rule is made
	props(rule, "RuleSetName").is(ref("ReceiptRules"))
	props(rule, "Rule", "Enabled").is("true")
	props(rule, "Rule", "TlsPolicy").is("Optional") // mail without TLS is still mail
	tpl.at("Parameters", "MailRecipients", "Type").is("CommaDelimitedList")
	tpl.at("Parameters", "MailRecipients", "Default").is("")
	props(resource(tpl, "ConfigurationSet")).is(plain(t, `
{ReputationOptions: {ReputationMetricsEnabled: true}, SendingOptions: {SendingEnabled: true}, SuppressionOptions: {SuppressedReasons: [BOUNCE, COMPLAINT]}}`))
	resource(tpl, "ConfigurationSetEvents").at("DependsOn").is([]any{"MailEventsPolicy", "MailQueuePolicy"})
}

// TestSAMsPolicyTemplatesComeFirst: what they can say is not said by hand.
func TestSAMsPolicyTemplatesComeFirst(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	for _, name := range functions {
		byHand := false
		for _, policy := range function(tpl, name).at("Policies").list() {
			if !policy.has("Statement") {
				if byHand {
					t.Errorf("%s: %s stands behind a statement by hand", name, policy.path)
				}
				continue
			}
			byHand = true
			policy.at("Version").is("2012-10-17")
			for _, s := range policy.at("Statement").list() {
				s.at("Effect").is("Allow")
				if strings.Contains(fmt.Sprint(s.at("Action").value), "sqs:SendMessage") {
					t.Errorf("%s: SQSSendMessagePolicy says what %s says", name, s.path)
				}
			}
		}
	}
}

// settings reads a file of the form that samconfig.toml has: tables of one line for each value.
func settings(t *testing.T, file string) map[string]map[string]string {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]string{}
	var table map[string]string
	for i, line := range strings.Split(string(body), "\n") {
		name, value, isValue := strings.Cut(line, "=")
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			table = map[string]string{}
			all[strings.Trim(line, "[]")] = table
		case isValue && table != nil:
			table[strings.TrimSpace(name)] = strings.TrimSpace(value)
		case isValue: // version
		default:
			t.Fatalf("%s:%d: %q is no setting", file, i+1, line)
		}
	}
	return all
}

// TestSamconfigDeploysTwoStagesAndNeverFromACache: sam's cache does not see edits in packages that functions share.
func TestSamconfigDeploysTwoStagesAndNeverFromACache(t *testing.T) {
	t.Parallel()
	all := settings(t, filepath.Join("..", "samconfig.toml"))
	stages := map[string]struct{ stack, stage, parameters, confirm string }{
		"default": {"aikajana-dev", "dev", "DeletionProtection=false LogLevel=debug MonthlyBudget=5", "true"},
		"dev":     {"aikajana-dev", "dev", "DeletionProtection=false LogLevel=debug MonthlyBudget=5", "false"},
		"prod":    {"aikajana", "prod", "DeletionProtection=true", "true"},
	}
	parameters := template(t).at("Parameters")
	for name, s := range stages {
		want := map[string]map[string]string{
			"global": {"stack_name": s.stack},
			"build":  {"parallel": "true", "cached": "false"},
			"deploy": {"capabilities": "CAPABILITY_IAM", "confirm_changeset": s.confirm, "resolve_s3": "true", "s3_prefix": s.stack,
				"parameter_overrides": s.parameters, "tags": "app=aikajana stage=" + s.stage},
		}
		if name == "prod" {
			want["deploy"]["disable_rollback"] = "false"
		}
		for command, values := range want {
			got := all[name+"."+command+".parameters"]
			for key := range got {
				got[key] = strings.Trim(got[key], `"`)
			}
			if !maps.Equal(got, values) {
				t.Errorf("[%s.%s.parameters] is %v, want %v", name, command, got, values)
			}
			delete(all, name+"."+command+".parameters")
		}
		for _, one := range strings.Fields(s.parameters) {
			parameter, value, _ := strings.Cut(one, "=")
			p := parameters.at(parameter)
			if p.has("AllowedValues") && !slices.ContainsFunc(p.at("AllowedValues").list(), func(n node) bool { return n.value == value }) {
				t.Errorf("%s: %s may not be %s", name, parameter, value)
			}
		}
	}
	if !maps.Equal(all["default.validate.parameters"], map[string]string{"lint": "true"}) {
		t.Errorf("[default.validate.parameters] is %v", all["default.validate.parameters"])
	}
	delete(all, "default.validate.parameters")
	if len(all) > 0 {
		t.Errorf("samconfig.toml has %v, and this test knows nothing of it", slices.Sorted(maps.Keys(all)))
	}
}

func TestEveryFunctionWritesIntoALogGroupOfItsOwn(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	groups := tpl.resources("AWS::Logs::LogGroup")
	for _, name := range functions {
		if _, ok := groups[name+"Logs"]; !ok {
			t.Errorf("there is no %sLogs: Lambda would make a group that is kept for ever", name)
		}
	}
	if len(groups) != len(functions)+1 {
		t.Errorf("%d log groups, want one for each function and one for the HTTP API", len(groups))
	}
}
