package cost

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/aikajana/aikajana/internal/awspolicy"
)

// Deployed is what template.yaml says of what costs something, so that the model and the template cannot part.
type Deployed struct {
	// Memory is what each function has, in MB.
	Memory map[string]float64
	// Queues are those that Lambda polls.
	Queues int
	// Alarms look at AlarmMetrics, which are what is paid for: an alarm on an expression pays for each metric in it. Metrics are
	// our own, made by metric filters. Dashboards are custom dashboards.
	Alarms, AlarmMetrics, Metrics, Dashboards int
	// SystemLog is the level of what Lambda itself logs, with the template's default parameters: "TEXT" where functions log plain
	// text, and then START, END and REPORT of every call are there, as with "INFO" and "DEBUG". "WARN" leaves out what succeeds.
	SystemLog string
}

// ReadTemplate reads a SAM template, as far as the model needs it.
func ReadTemplate(path string) (*Deployed, error) {
	doc, err := awspolicy.Document(path)
	if err != nil {
		return nil, fmt.Errorf("read what is deployed: %w", err)
	}
	resources, _ := doc["Resources"].(map[string]any)
	global := inside(doc, "Globals", "Function")
	d := &Deployed{Memory: map[string]float64{}, SystemLog: "TEXT"}
	for name, r := range resources {
		resource, _ := r.(map[string]any)
		properties, _ := resource["Properties"].(map[string]any)
		switch resource["Type"] {
		case "AWS::Serverless::Function":
			memory, ok := properties["MemorySize"]
			if !ok {
				memory = global["MemorySize"]
			}
			mb, err := strconv.ParseFloat(fmt.Sprint(memory), 64)
			if err != nil {
				return nil, fmt.Errorf("read what is deployed: MemorySize of %s: %w", name, err)
			}
			d.Memory[strings.ToLower(strings.TrimSuffix(name, "Function"))] = mb
			d.Queues += events(properties, "SQS")
		case "AWS::CloudWatch::Alarm":
			d.Alarms++
			d.AlarmMetrics += metricsOf(properties)
		case "AWS::Logs::MetricFilter":
			made, _ := properties["MetricTransformations"].([]any)
			d.Metrics += len(made)
		case "AWS::CloudWatch::Dashboard":
			d.Dashboards++
		case "AWS::CloudWatch::CompositeAlarm", "AWS::CloudWatch::AnomalyDetector", "AWS::CloudWatch::InsightRule":
			return nil, fmt.Errorf("read what is deployed: %s is a %v, which the model has no price for: add one", name, resource["Type"])
		}
	}
	if logging := inside(global, "LoggingConfig"); logging["LogFormat"] == "JSON" {
		if d.SystemLog, err = chosen(doc, logging["SystemLogLevel"]); err != nil {
			return nil, fmt.Errorf("read what is deployed: SystemLogLevel: %w", err)
		}
	}
	if len(d.Memory) == 0 || d.Queues == 0 || d.AlarmMetrics == 0 {
		return nil, fmt.Errorf("read what is deployed: %s has %d functions, %d polled queues and %d metrics under alarms: is it the right file?",
			path, len(d.Memory), d.Queues, d.AlarmMetrics)
	}
	return d, nil
}

// Reports says that Lambda logs each call that succeeds.
func (d *Deployed) Reports() bool { return d.SystemLog != "WARN" }

// inside goes down a path of maps; what is not there is empty.
func inside(m map[string]any, path ...string) map[string]any {
	for _, name := range path {
		m, _ = m[name].(map[string]any)
	}
	return m
}

func events(function map[string]any, kind string) (n int) {
	for _, e := range inside(function, "Events") {
		if event, _ := e.(map[string]any); event["Type"] == kind {
			n++
		}
	}
	return n
}

// metricsOf is how many metrics an alarm looks at.
func metricsOf(alarm map[string]any) (n int) {
	if alarm["MetricName"] != nil {
		n++
	}
	list, _ := alarm["Metrics"].([]any)
	for _, one := range list {
		if m, _ := one.(map[string]any); m["MetricStat"] != nil {
			n++
		}
	}
	return n
}

// chosen is a text, or what !If chooses by a condition that compares a parameter's default with a text: nothing else is
// understood, so that nothing is guessed.
func chosen(doc map[string]any, v any) (string, error) {
	if text, ok := v.(string); ok {
		return text, nil
	}
	of, _ := v.(map[string]any)
	choice, _ := of["Fn::If"].([]any)
	if len(choice) != 3 {
		return "", fmt.Errorf("%v is neither a text nor !If", v)
	}
	name, _ := choice[0].(string)
	equal, _ := inside(doc, "Conditions", name)["Fn::Equals"].([]any)
	if len(equal) != 2 {
		return "", fmt.Errorf("condition %s is no !Equals", name)
	}
	ref, _ := equal[0].(map[string]any)
	parameter, _ := ref["Ref"].(string)
	standard := inside(doc, "Parameters", parameter)["Default"]
	if standard == nil {
		return "", fmt.Errorf("condition %s does not begin with a parameter that has a default", name)
	}
	if standard == equal[1] {
		return chosen(doc, choice[1])
	}
	return chosen(doc, choice[2])
}
