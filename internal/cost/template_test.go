package cost

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const template = "../../template.yaml"

func TestTheModelReckonsWithWhatTheTemplateHas(t *testing.T) {
	t.Parallel()
	d, err := ReadTemplate(template)
	if err != nil {
		t.Fatal(err)
	}
	if d.Alarms != 10 || d.AlarmMetrics != 17 || d.Metrics != 3 || d.Dashboards != 1 || d.Queues != 4 {
		t.Errorf("read %+v; docs/aws/alarms.md counts ten alarms on 17 metrics and three of our own", d)
	}
	for function, mb := range map[string]float64{"webhook": 256, "process": 256, "react": 256, "mail": 1024, "api": 512, "pages": 512, "socket": 256} {
		if d.Memory[function] != mb {
			t.Errorf("%s has %v MB, want %v", function, d.Memory[function], mb)
		}
	}
}

func written(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tiny is a template with one of everything that must be there; the placeholders are lines of Globals and of Resources.
func tiny(globals, resources string) string {
	return `
Parameters:
  LogLevel: {Type: String, Default: info}
Conditions:
  Debugging: !Equals [!Ref LogLevel, debug]
  Talking: !Equals [!Ref LogLevel, info]
  Strange: !Not [!Equals [!Ref LogLevel, debug]]
Globals:
  Function:
    MemorySize: 128
` + globals + `
Resources:
  ProcessFunction:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Queue: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}
        Clock: {Type: ScheduleV2}
  Late:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Metrics:
        - {Id: all, Expression: "one + two"}
        - {Id: one, MetricStat: {Stat: Sum}}
        - {Id: two, MetricStat: {Stat: Sum}}
` + resources
}

func TestLambdasOwnLinesCountWhereTheTemplateLeavesThem(t *testing.T) {
	t.Parallel()
	for globals, bytes := range map[string]float64{
		"": 342, // plain text
		"    LoggingConfig: {LogFormat: JSON, SystemLogLevel: WARN}":                        0,
		"    LoggingConfig: {LogFormat: JSON, SystemLogLevel: INFO}":                        482,
		"    LoggingConfig: {LogFormat: JSON, SystemLogLevel: !If [Debugging, INFO, WARN]}": 0,
		"    LoggingConfig: {LogFormat: JSON, SystemLogLevel: !If [Talking, INFO, WARN]}":   482,
	} {
		a, err := Assumed(written(t, tiny(globals, "")))
		if err != nil {
			t.Errorf("%s: %v", globals, err)
			continue
		}
		if got := a.callLog(); got != bytes {
			t.Errorf("%s: %v bytes a call, want %v", globals, got, bytes)
		}
		if a.ReportLog == 0 {
			t.Errorf("%s: nothing is known of what LogLevel=debug would add", globals)
		}
		if a.Queues != 1 || a.AlarmMetrics != 2 || a.Alarms != 1 || a.Memory["process"] != 128 {
			t.Errorf("read %+v", a.Deployed)
		}
	}
}

func TestTemplateThatTheModelHasNoPriceForIsRefused(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		tiny("", "  Both: {Type: AWS::CloudWatch::CompositeAlarm}"):                                           "no price",
		tiny("    LoggingConfig: {LogFormat: JSON, SystemLogLevel: !If [Strange, INFO, WARN]}", ""):           "no !Equals",
		tiny("    LoggingConfig: {LogFormat: JSON, SystemLogLevel: !Ref LogLevel}", ""):                       "neither a text nor !If",
		tiny("", "  OtherFunction: {Type: AWS::Serverless::Function, Properties: {MemorySize: !Ref Memory}}"): "MemorySize of OtherFunction",
		"Resources: {}": "right file",
	} {
		if _, err := ReadTemplate(written(t, text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error that says %q, got %v", says, err)
		}
	}
}
