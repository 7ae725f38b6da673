// Package infra holds what template.yaml refers to; its tests read the template and hold every setting that the design and
// docs/aws/ promise.
package infra

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	yaml "github.com/oasdiff/yaml3"

	appaws "github.com/aikajana/aikajana/internal/app/aws"
	"github.com/aikajana/aikajana/internal/awsfilter"
	"github.com/aikajana/aikajana/internal/awspolicy"
	"github.com/aikajana/aikajana/internal/queue"
	"github.com/aikajana/aikajana/internal/table/dynamo"
)

// node is a part of the template. Intrinsic functions are maps of their long form: !Ref X is {"Ref": "X"}.
type node struct {
	t     *testing.T
	path  string
	value any
}

func parsed(t *testing.T) *yaml.Node {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(body, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Content[0]
}

func template(t *testing.T) node {
	t.Helper()
	return node{t, "", awspolicy.Plain(parsed(t))}
}

// order are the names in a section of the template as they stand there.
func order(t *testing.T, section string) []string {
	t.Helper()
	doc := parsed(t)
	for i := 0; i < len(doc.Content); i += 2 {
		if doc.Content[i].Value != section {
			continue
		}
		var names []string
		for j := 0; j < len(doc.Content[i+1].Content); j += 2 {
			names = append(names, doc.Content[i+1].Content[j].Value)
		}
		return names
	}
	t.Fatalf("the template has no %s", section)
	return nil
}

// at goes down the path; what is not there ends the test.
func (n node) at(keys ...string) node {
	n.t.Helper()
	for _, k := range keys {
		m, ok := n.value.(map[string]any)
		if !ok || m[k] == nil {
			n.t.Fatalf("the template has no %s/%s", n.path, k)
		}
		n = node{n.t, n.path + "/" + k, m[k]}
	}
	return n
}

func (n node) has(key string) bool {
	m, ok := n.value.(map[string]any)
	return ok && m[key] != nil
}

// is compares by JSON, so that a number is a number however it was written.
func (n node) is(want any) {
	n.t.Helper()
	if got := fmt.Sprint(n.value); got != fmt.Sprint(want) {
		n.t.Errorf("%s is %s, want %v", n.path, got, want)
	}
}

func (n node) list() []node {
	n.t.Helper()
	l, ok := n.value.([]any)
	if !ok {
		n.t.Fatalf("%s is no list", n.path)
	}
	all := make([]node, len(l))
	for i := range l {
		all[i] = node{n.t, fmt.Sprintf("%s/%d", n.path, i), l[i]}
	}
	return all
}

// resources are those of a type, by name in order.
func (n node) resources(kind string) map[string]node {
	n.t.Helper()
	found := map[string]node{}
	all := n.at("Resources")
	for name := range all.value.(map[string]any) {
		if r := all.at(name); r.at("Type").value == kind {
			found[name] = r
		}
	}
	if len(found) == 0 {
		n.t.Fatalf("there is no %s", kind)
	}
	return found
}

func number(t *testing.T, n node) int {
	t.Helper()
	var i int
	if _, err := fmt.Sscan(fmt.Sprint(n.value), &i); err != nil {
		t.Fatalf("%s is %v, want a number", n.path, n.value)
	}
	return i
}

func ref(name string) map[string]any       { return map[string]any{"Ref": name} }
func attribute(name string) map[string]any { return map[string]any{"Fn::GetAtt": name} }
func props(n node, keys ...string) node {
	n.t.Helper()
	return n.at(append([]string{"Properties"}, keys...)...)
}
func resource(n node, name string) node { n.t.Helper(); return n.at("Resources", name) }
func globals(n node, keys ...string) node {
	n.t.Helper()
	return n.at(append([]string{"Globals", "Function"}, keys...)...)
}
func function(n node, name string) node { n.t.Helper(); return props(resource(n, name+"Function")) }
func event(n node, name, event string) node {
	n.t.Helper()
	return function(n, name).at("Events", event)
}

// functions by their queue and the settings that go with it.
var functions = []string{"Api", "Deliver", "Fetch", "Mail", "Pages", "Process", "React", "Socket", "Tick", "Webhook"}

func TestEveryFunctionIsBuiltFromItsFolderAndWatched(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	found := tpl.resources("AWS::Serverless::Function")
	if len(found) != len(functions) {
		t.Errorf("%d functions, want %d", len(found), len(functions))
	}
	globals(tpl, "Runtime").is("provided.al2023")
	globals(tpl, "Handler").is("bootstrap")
	globals(tpl, "Architectures").is([]any{ref("Architecture")})
	globals(tpl, "RecursiveLoop").is("Terminate")
	// Lambda's own lines are kept away, ours are not: a level above TRACE would filter what the program means to say.
	globals(tpl, "LoggingConfig").is(map[string]any{
		"LogFormat": "JSON", "ApplicationLogLevel": "TRACE", "SystemLogLevel": map[string]any{"Fn::If": []any{"Debugging", "INFO", "WARN"}},
	})
	tpl.at("Conditions", "Debugging").is(map[string]any{"Fn::Equals": []any{ref("LogLevel"), "debug"}})
	for _, name := range functions {
		f := resource(tpl, name+"Function")
		f.at("Metadata", "BuildMethod").is("go1.x")
		props(f, "CodeUri").is("functions/" + strings.ToLower(name) + "/")
		props(f, "LoggingConfig").is(map[string]any{"LogGroup": ref(name + "Logs")}) // the rest is the globals'
		if props(f).has("Role") {
			t.Errorf("%s shares a role", name)
		}
		if _, err := os.Stat(filepath.Join("..", "functions", strings.ToLower(name), "main.go")); err != nil {
			t.Error(err)
		}
	}
	tpl.at("Parameters", "Architecture", "Default").is("arm64")
	tpl.at("Parameters", "Architecture", "AllowedValues").is([]any{"arm64", "x86_64"})
}

func TestFunctionsAreAtMost25LinesAndNoneIsWithoutResource(t *testing.T) {
	t.Parallel()
	mains, err := filepath.Glob("../functions/*/main.go")
	if err != nil || len(mains) != len(functions) {
		t.Fatalf("found %v, %v", mains, err)
	}
	for _, m := range mains {
		body, err := os.ReadFile(m)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(body), "\n"); n > 25 {
			t.Errorf("%s has %d lines", m, n)
		}
	}
}

// samples are the sample events by name.
func samples(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("events/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %v, %v", files, err)
	}
	all := map[string]string{}
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimSuffix(filepath.Base(f), ".json")] = string(body)
	}
	return all
}

// functionOf says which function a sample is for: the first word of its name.
func functionOf(sample string) string { name, _, _ := strings.Cut(sample, "-"); return name }

// TestEveryFunctionHasASampleEvent: what each does with it, events_parts_test.go shows.
func TestEveryFunctionHasASampleEvent(t *testing.T) {
	t.Parallel()
	without := map[string]bool{}
	for name := range template(t).resources("AWS::Serverless::Function") {
		without[strings.ToLower(strings.TrimSuffix(name, "Function"))] = true
	}
	all := map[string]bool{}
	maps.Copy(all, without)
	for sample, event := range samples(t) {
		if !all[functionOf(sample)] {
			t.Errorf("infra/events/%s.json is for no function", sample)
		}
		if !json.Valid([]byte(event)) {
			t.Errorf("infra/events/%s.json is no JSON", sample)
		}
		delete(without, functionOf(sample))
	}
	if len(without) > 0 {
		t.Errorf("there is no sample event for %v", slices.Sorted(maps.Keys(without)))
	}
}

// TestFunctionsAreBuiltAlikeWhoeverBuildsThem: to be deployed, to run here in containers, and to be measured. What the flags do
// to the binaries is looked at in build_parts_test.go.
func TestFunctionsAreBuiltAlikeWhoeverBuildsThem(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"scripts/sam-build.sh", "internal/localaws/build.go", "internal/coldstart/coldstart.go"} {
		body, err := os.ReadFile(filepath.Join("..", file))
		if err != nil {
			t.Fatal(err)
		}
		for flag, want := range map[string]string{
			`-(trimpath)\b`: "trimpath", `-tags[=", ]+([a-z.,]+)`: "lambda.norpc", `-ldflags[=", ]+([^'"]+)`: "-s -w", `\bCGO_ENABLED=(\w+)`: "0",
		} {
			found := regexp.MustCompile(flag).FindAllSubmatch(body, -1)
			if len(found) != 1 || string(found[0][1]) != want {
				t.Errorf("%s: %s finds %q, want %q once", file, flag, found, want)
			}
		}
	}
}

// TestGarbageIsCollectedLaterAndWithinAFunctionsMemory: the limit leaves a quarter for what Go does not count, and for a peak.
func TestGarbageIsCollectedLaterAndWithinAFunctionsMemory(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	globals(tpl, "Environment", "Variables", "GOGC").is("400")
	for _, name := range functions {
		f := function(tpl, name)
		limit, memory := globals(tpl, "Environment", "Variables", "GOMEMLIMIT"), globals(tpl, "MemorySize")
		if f.has("Environment") {
			limit = f.at("Environment", "Variables", "GOMEMLIMIT")
		}
		if f.has("MemorySize") {
			memory = f.at("MemorySize")
		}
		var mebibytes int
		if _, err := fmt.Sscanf(fmt.Sprint(limit.value), "%dMiB", &mebibytes); err != nil {
			t.Fatalf("%s: GOMEMLIMIT is %v: %v", name, limit.value, err)
		}
		if share := float64(mebibytes) / float64(number(t, memory)); share < 0.7 || share > 0.76 {
			t.Errorf("%s: GOMEMLIMIT is %.0f %% of its memory, want three quarters", name, 100*share)
		}
	}
}

func TestQueuesAreSixTimesAsPatientAsTheirFunctions(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	for _, q := range []struct {
		name, function               string
		timeout, visibility, batches int
		concurrency                  any
	}{
		{"Inbound", "Process", 30, 180, 10, ref("ProcessConcurrency")},
		{"Mail", "Mail", 120, 720, 1, "5"},
		{"Media", "Fetch", 120, 720, 1, "5"},
		{"Wake", "Deliver", 60, 360, 5, "10"},
	} {
		function(tpl, q.function).at("Timeout").is(q.timeout)
		main, dead := resource(tpl, q.name+"Queue"), resource(tpl, q.name+"DeadLetters")
		props(main, "VisibilityTimeout").is(q.visibility)
		if number(t, props(main, "VisibilityTimeout")) < 6*number(t, function(tpl, q.function).at("Timeout")) {
			t.Errorf("%s: its messages come again while they are worked on", q.name)
		}
		props(main, "RedrivePolicy", "maxReceiveCount").is(5) // as docs/aws says, and not whatever the local queue's constant becomes
		props(main, "RedrivePolicy", "maxReceiveCount").is(queue.MaxAttempts)
		props(main, "RedrivePolicy", "deadLetterTargetArn").is(attribute(q.name + "DeadLetters.Arn"))
		props(main, "MessageRetentionPeriod").is(4 * 24 * 3600)
		props(dead, "MessageRetentionPeriod").is(14 * 24 * 3600)
		for _, one := range []node{main, dead} {
			props(one, "SqsManagedSseEnabled").is("true")
			if props(one).has("FifoQueue") {
				t.Errorf("%s is not a standard queue", one.path)
			}
		}
		source := event(tpl, q.function, "Queue")
		source.at("Type").is("SQS")
		props(source, "Queue").is(attribute(q.name + "Queue.Arn"))
		props(source, "BatchSize").is(q.batches)
		props(source, "FunctionResponseTypes").is([]any{"ReportBatchItemFailures"})
		props(source, "ScalingConfig", "MaximumConcurrency").is(q.concurrency)
	}
	tpl.at("Parameters", "ProcessConcurrency", "Default").is(10)
	if got := len(tpl.resources("AWS::SQS::Queue")); got != 8 {
		t.Errorf("%d queues, want four and their dead letters", got)
	}
}

// TestLoopsAreAllowedWhereWorkIsPutOffAndNowhereElse: Lambda ends a chain of 16 calls through one queue, which is right
// everywhere but where a function sends to its own queue on purpose.
func TestLoopsAreAllowedWhereWorkIsPutOffAndNowhereElse(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	globals(tpl, "RecursiveLoop").is("Terminate")
	own := map[string]string{"Process": "Inbound", "Mail": "Mail", "Fetch": "Media", "Deliver": "Wake"}
	for _, name := range functions {
		f := function(tpl, name)
		sendsToItself := false
		for _, policy := range f.at("Policies").list() {
			if policy.has("SQSSendMessagePolicy") && own[name] != "" {
				sendsToItself = sendsToItself || fmt.Sprint(policy.at("SQSSendMessagePolicy", "QueueName").value) == fmt.Sprint(attribute(own[name]+"Queue.QueueName"))
			}
		}
		switch {
		case own[name] == "" && f.has("RecursiveLoop"):
			t.Errorf("%s puts nothing off and may loop", name)
		case own[name] != "" && !sendsToItself:
			t.Errorf("%s may loop and does not send to its own queue", name)
		case own[name] != "":
			f.at("RecursiveLoop").is("Allow")
			event(tpl, name, "Queue").at("Properties", "Queue").is(attribute(own[name] + "Queue.Arn"))
		}
	}
}

func TestTableIsTheOneThatTheCodeDescribes(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	got, want := resource(tpl, "Table"), dynamo.Definition("t")
	props(got, "BillingMode").is(want.BillingMode)
	props(got, "StreamSpecification", "StreamViewType").is(want.StreamSpecification.StreamViewType)
	var schema []any
	for _, k := range want.KeySchema {
		schema = append(schema, map[string]any{"AttributeName": aws2(k.AttributeName), "KeyType": string(k.KeyType)})
	}
	props(got, "KeySchema").is(schema)
	var attributes []any
	for _, a := range want.AttributeDefinitions {
		attributes = append(attributes, map[string]any{"AttributeName": aws2(a.AttributeName), "AttributeType": string(a.AttributeType)})
	}
	props(got, "AttributeDefinitions").is(attributes)
	indexes := props(got, "GlobalSecondaryIndexes").list()
	if len(indexes) != len(want.GlobalSecondaryIndexes) {
		t.Fatalf("%d indexes, want %d", len(indexes), len(want.GlobalSecondaryIndexes))
	}
	for i, index := range want.GlobalSecondaryIndexes {
		indexes[i].at("IndexName").is(aws2(index.IndexName))
		indexes[i].at("Projection", "ProjectionType").is(index.Projection.ProjectionType)
		var schema []any
		for _, k := range index.KeySchema {
			schema = append(schema, map[string]any{"AttributeName": aws2(k.AttributeName), "KeyType": string(k.KeyType)})
		}
		indexes[i].at("KeySchema").is(schema)
	}
	props(got, "TimeToLiveSpecification").is(map[string]any{"AttributeName": dynamo.TTLAttribute, "Enabled": "true"})
}

func aws2(s *string) string { return aws.ToString(s) }

func TestWhatIsKeptSurvivesMistakes(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	table := resource(tpl, "Table")
	props(table, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled").is("true")
	props(table, "DeletionProtectionEnabled").is(ref("DeletionProtection"))
	tpl.at("Parameters", "DeletionProtection", "Default").is("true")
	for name, bucket := range tpl.resources("AWS::S3::Bucket") {
		for _, block := range []string{"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"} {
			props(bucket, "PublicAccessBlockConfiguration", block).is("true")
		}
		if rules := props(bucket, "LifecycleConfiguration", "Rules").list(); len(rules) == 0 {
			t.Errorf("%s keeps everything for ever", name)
		}
	}
	table.at("DeletionPolicy").is("Retain")
	table.at("UpdateReplacePolicy").is("Retain")
}

func TestLifecycleDeletesWhatSweepDeletesLocally(t *testing.T) {
	t.Parallel()
	want := map[string]string{"raw/": "30", "raw/shared/": "14", "quarantine/": "90", "ses/": "30"}
	for _, rule := range props(resource(template(t), "DataBucket"), "LifecycleConfiguration", "Rules").list() {
		if !rule.has("Prefix") {
			continue
		}
		prefix := fmt.Sprint(rule.at("Prefix").value)
		rule.at("ExpirationInDays").is(want[prefix])
		delete(want, prefix)
	}
	if len(want) > 0 {
		t.Errorf("nothing deletes %v", want)
	}
}

func TestReactFollowsTheStreamAndGivesUpIntoABucket(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	source := event(tpl, "React", "Changes")
	source.at("Type").is("DynamoDB")
	props(source, "Stream").is(attribute("Table.StreamArn"))
	props(source, "StartingPosition").is("TRIM_HORIZON")
	props(source, "BisectBatchOnFunctionError").is("true")
	props(source, "MaximumRetryAttempts").is(5)
	props(source, "ParallelizationFactor").is(1)
	if window := number(t, props(source, "TumblingWindowInSeconds")); window < 1 || window > 900 {
		t.Errorf("a window of %d s: without one no event names its shard", window)
	}
	props(source, "DestinationConfig", "OnFailure").is(map[string]any{"Type": "S3", "Destination": attribute("FailureBucket.Arn")})
	if props(source).has("FunctionResponseTypes") {
		t.Error("React fails a batch whole, so that Lambda bisects it")
	}
}

// TestFilterLetsEverythingThroughThatReactFollows: React does something about entries and cases (notifications, wake-ups, files),
// external IDs and quarantine (tallies), and what may end a session (sockets). What the filter holds back is lost silently.
func TestFilterLetsEverythingThroughThatReactFollows(t *testing.T) {
	t.Parallel()
	filter, err := awsfilter.OfTemplate(filepath.Join("..", "template.yaml"), "ReactFunction", "Changes")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pk, sk string
		image  map[string]any
		passes bool
	}{
		{"C#c1", "E#0001#e1", nil, true},
		{"C#c1", "K#k1", nil, true},
		{"X#abc", "A", nil, true},
		{"X#abc", "A", map[string]any{"n": map[string]string{"S": "1"}}, false}, // written quietly
		{"Q#20261122", "q1", nil, true},
		{"U#session#abc", "A", nil, true},
		{"U#token#abc", "A", nil, true},
		{"U#user#aino", "A", nil, true},
		{"C#c1", "A", nil, false},
		{"I#abc", "A", nil, false},
		{"N#support", "1#e1", nil, false},
		{"T#whatsapp#main", "shard", nil, false},
		{"U#list", "user#aino", nil, false},
		{"V#notes", "1#n1", nil, false},
		{"W#sockets", "c1", nil, false},
		{"B#heartbeat", "A", nil, false},
	} {
		record := map[string]any{"dynamodb": map[string]any{
			"Keys": map[string]any{"p": map[string]string{"S": c.pk}, "s": map[string]string{"S": c.sk}}, "NewImage": c.image,
		}}
		if filter.Passes(record) != c.passes {
			t.Errorf("%s/%s %v passes: %v, want %v", c.pk, c.sk, c.image, !c.passes, c.passes)
		}
	}
}

func TestTickComesEveryMinute(t *testing.T) {
	t.Parallel()
	source := event(template(t), "Tick", "EveryMinute")
	source.at("Type").is("ScheduleV2")
	props(source, "ScheduleExpression").is("rate(1 minute)")
	props(source, "Name").is(map[string]any{"Fn::Sub": "${AWS::StackName}-tick"})
}

func TestFunctionsAreToldEverythingThatTheyReadAndNoSecret(t *testing.T) {
	t.Parallel()
	variables := globals(template(t), "Environment", "Variables")
	asked := map[string]bool{"GOGC": true, "GOMEMLIMIT": true} // Go itself reads them
	if _, err := appaws.ReadEnvironment(func(name string) string { asked[name] = true; return "x" }); err != nil {
		t.Fatal(err)
	}
	for name := range asked {
		if !variables.has(name) {
			t.Errorf("the template does not set %s", name)
		}
	}
	for name := range variables.value.(map[string]any) {
		if !asked[name] {
			t.Errorf("nothing reads %s", name)
		}
		if regexp.MustCompile(`(?i)password|token|_key\b|secret$`).MatchString(name) {
			t.Errorf("%s looks like a secret in the open", name)
		}
	}
	variables.at("AIKAJANA_SECRET_PATH").is(map[string]any{"Fn::Sub": "/aikajana/${AWS::StackName}"})
}

func TestLogsAreKeptForThirtyDays(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	for name, group := range tpl.resources("AWS::Logs::LogGroup") {
		props(group, "RetentionInDays").is(30)
		if name != "HttpLogs" && !slices.Contains(functions, strings.TrimSuffix(name, "Logs")) {
			t.Errorf("%s is nobody's", name)
		}
	}
}

func TestEachRouteHasItsThrottleAndNoLogShowsATicket(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	stage := resource(tpl, "HttpStage")
	for name, route := range tpl.resources("AWS::ApiGatewayV2::Route") {
		key := fmt.Sprint(props(route, "RouteKey").value)
		if fmt.Sprint(props(route, "ApiId").value) == fmt.Sprint(ref("HttpApi")) {
			if number(t, props(stage, "RouteSettings", key, "ThrottlingRateLimit")) < 1 || number(t, props(stage, "RouteSettings", key, "ThrottlingBurstLimit")) < 1 {
				t.Errorf("%s has no throttle", name)
			}
		}
	}
	if format := fmt.Sprint(props(stage, "AccessLogSettings", "Format").value); regexp.MustCompile(`path|query|\.http`).MatchString(strings.ToLower(format)) {
		t.Errorf("the access log shows addresses: %s", format)
	}
	if props(resource(tpl, "StaffSocketApi")).has("AccessLogSettings") {
		t.Error("an access log of the sockets would show tickets")
	}
}

func TestSocketHasItsThreeRoutesEachWithItsThrottle(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	socket := resource(tpl, "StaffSocketApi")
	socket.at("Type").is("AWS::Serverless::WebSocketApi")
	props(socket, "Name").is(map[string]any{"Fn::Sub": "${AWS::StackName}-socket"})
	props(socket, "StageName").is("live") // the addresses that functions know say so, and their policies
	globals(tpl, "Environment", "Variables", "AIKAJANA_SOCKET_URL", "Fn::Sub").is("wss://${StaffSocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live")
	globals(tpl, "Environment", "Variables", "AIKAJANA_SOCKET_ENDPOINT", "Fn::Sub").is("https://${StaffSocketApi}.execute-api.${AWS::Region}.${AWS::URLSuffix}/live")
	props(socket, "RouteSelectionExpression").is("$request.body.type")
	route := map[string]any{"FunctionArn": attribute("SocketFunction.Arn")}
	props(socket, "Routes").is(map[string]any{"$connect": route, "$default": route, "$disconnect": route})
	throttle := map[string]any{"ThrottlingBurstLimit": 200, "ThrottlingRateLimit": 100}
	props(socket, "DefaultRouteSettings").is(throttle)
	// A stage without settings of its routes does not wait for them, and cannot deploy an API that has none yet.
	props(socket, "RouteSettings").is(map[string]any{"$connect": throttle, "$default": throttle, "$disconnect": throttle})
}

// TestHTTPAPIComesFirst: sam local start-api takes the first resource that may belong to an API for the kind of all, and with
// the functions first finds no routes at all (samcli 1.170.0, ApiProvider.find_api_provider, read on 2026-11-30).
func TestHTTPAPIComesFirst(t *testing.T) {
	t.Parallel()
	if first := order(t, "Resources")[0]; first != "HttpApi" {
		t.Errorf("%s is the first resource", first)
	}
}

func TestMailIsScannedStoredAndToldOfWithItsVerdicts(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	rule := resource(tpl, "ReceiptRule")
	props(rule, "Rule", "ScanEnabled").is("true")
	props(rule, "Rule", "Recipients").is(ref("MailRecipients"))
	actions := props(rule, "Rule", "Actions").list()
	if len(actions) != 1 {
		t.Fatalf("%d actions, want one: two would tell of each mail twice", len(actions))
	}
	actions[0].at("S3Action").is(map[string]any{"BucketName": ref("DataBucket"), "ObjectKeyPrefix": appaws.MailPrefix, "TopicArn": ref("MailTopic")})
	props(resource(tpl, "MailTopic"), "Subscription").list()[0].is(map[string]any{"Protocol": "sqs", "Endpoint": attribute("MailQueue.Arn")})
	for _, name := range []string{"ReceiptRules", "ReceiptRule", "MailTopic", "MailTopicPolicy"} {
		resource(tpl, name).at("Condition").is("ReceivesMail")
	}
}

func TestSESTellsTheMailQueueWhatBecameOfOurMail(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	events := resource(tpl, "ConfigurationSetEvents")
	props(events, "ConfigurationSetName").is(ref("ConfigurationSet"))
	props(events, "EventDestination", "Enabled").is("true")
	props(events, "EventDestination", "MatchingEventTypes").is([]any{"bounce", "complaint", "delivery", "deliveryDelay", "reject", "renderingFailure"})
	props(events, "EventDestination", "SnsDestination").is(map[string]any{"TopicARN": ref("MailEvents")})
	props(resource(tpl, "MailEvents"), "Subscription").list()[0].is(map[string]any{"Protocol": "sqs", "Endpoint": attribute("MailQueue.Arn")})
	globals(tpl, "Environment", "Variables", "AIKAJANA_CONFIGURATION_SET").is(ref("ConfigurationSet"))
}

func TestAlarmsAreTenAtMostAndEachLinksItsPage(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	alarms := tpl.resources("AWS::CloudWatch::Alarm")
	if len(alarms) > 10 {
		t.Errorf("%d alarms cost; ten are enough", len(alarms))
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "aws", "alarms.md"))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\$\{DocsURL\}/alarms\.md#([a-z-]+)$`)
	for name, alarm := range alarms {
		found := link.FindStringSubmatch(fmt.Sprint(props(alarm, "AlarmDescription", "Fn::Sub").value))
		if found == nil {
			t.Errorf("%s links no page", name)
			continue
		}
		if heading := strings.ReplaceAll(found[1], "-", " "); !strings.Contains(strings.ToLower(string(page)), "\n## "+heading+"\n") {
			t.Errorf("docs/aws/alarms.md has no heading %q", heading)
		}
		props(alarm, "AlarmActions").is([]any{ref("AlarmTopic")})
	}
}

// TestUnhealthyIsWhatTickLogs: the filter and the program must name the same line and field.
func TestUnhealthyIsWhatTickLogs(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	filter := resource(tpl, "Unhealthy")
	props(filter, "LogGroupName").is(ref("TickLogs"))
	props(filter, "FilterPattern").is(fmt.Sprintf("{ $.msg = %q }", appaws.LookedAfter))
	transformation := props(filter, "MetricTransformations").list()[0]
	transformation.at("MetricValue").is("$.unhealthy")
	if transformation.has("DefaultValue") {
		t.Error("a Tick that does not run would look healthy")
	}
}

// TestNoPolicyNamesEverything: what a role may do names its resources. One call has no other form (see allowed).
func TestNoPolicyNamesEverything(t *testing.T) {
	t.Parallel()
	tpl := template(t)
	for _, name := range functions {
		for _, policy := range function(tpl, name).at("Policies").list() {
			if !policy.has("Statement") {
				continue
			}
			for _, s := range policy.at("Statement").list() {
				if r := fmt.Sprint(s.at("Resource").value); r == "*" {
					t.Errorf("%s: a statement names every resource", s.path)
				}
				if a := fmt.Sprint(s.at("Action").value); strings.Contains(a, "*") {
					t.Errorf("%s: %s allows every call", s.path, a)
				}
			}
		}
	}
}

func TestGuidedDeploymentAsksNothingWithoutADefault(t *testing.T) {
	t.Parallel()
	parameters := template(t).at("Parameters")
	for name := range parameters.value.(map[string]any) {
		p := parameters.at(name)
		if _, ok := p.value.(map[string]any)["Default"]; !ok {
			t.Errorf("%s has no default", name)
		}
		p.at("Description")
	}
}
