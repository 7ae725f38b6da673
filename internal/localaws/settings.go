package localaws

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	yaml "github.com/oasdiff/yaml3"

	"github.com/aikajana/aikajana/internal/awsfilter"
	"github.com/aikajana/aikajana/internal/awspolicy"
)

// settings are what template.yaml says of the event sources that are played here.
type settings struct {
	// queues are the sources by what the program calls them: inbound, mail, media, wake.
	queues map[string]queueSource
	stream streamSource
	// filter says for which records of the stream the function is called.
	filter *awsfilter.Filter
}

// queueSource is a queue and the event source mapping that has a function work on it.
type queueSource struct {
	function string
	// batch is how many messages a call has at most; partial says that the function reports those that failed: without it Lambda
	// deletes all of a batch that was answered.
	batch   int
	partial bool
	// visibility is how long a message that failed stays invisible, attempts how often it is received before it is a dead letter.
	visibility time.Duration
	attempts   int
}

// streamSource is the event source mapping of the table's stream.
type streamSource struct {
	function string
	// batch is how many records a call has at most.
	batch int
	// bisect splits a batch that failed in two, retries is how often one that fails is tried again.
	bisect  bool
	retries int
	// window is the length of the tumbling window, without which no event names its shard.
	window time.Duration
}

// resource is a resource of the template as far as it is read here. Numbers are texts: awspolicy.Plain leaves them as written.
type resource struct {
	Type       string
	Properties struct {
		// Of a queue.
		VisibilityTimeout int `json:",string"`
		RedrivePolicy     struct {
			MaxReceiveCount int `json:",string"`
		}
		// Of a function.
		Events map[string]struct {
			Type       string
			Properties eventSource
		}
	}
}

// eventSource is the event of a function.
type eventSource struct {
	Queue struct {
		Of string `json:"Fn::GetAtt"`
	}
	BatchSize                  int `json:",string"`
	FunctionResponseTypes      []string
	BisectBatchOnFunctionError bool `json:",string"`
	MaximumRetryAttempts       int  `json:",string"`
	TumblingWindowInSeconds    int  `json:",string"`
	FilterCriteria             struct {
		Filters []struct{ Pattern string }
	}
	DestinationConfig struct {
		OnFailure struct {
			Type string
		}
	}
}

// readSettings reads template.yaml. names are the queues that must have a source. What is not said there, or in a way that is not
// read here, is an error, so that nothing is played that AWS would not do.
func readSettings(path string, names []string) (*settings, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("read the template %s: %w", path, err)
	}
	if len(doc.Content) == 0 {
		return nil, fmt.Errorf("read the template %s: it is empty", path)
	}
	plain, err := json.Marshal(awspolicy.Plain(doc.Content[0]))
	if err != nil {
		return nil, fmt.Errorf("read the template %s: %w", path, err)
	}
	var t struct {
		Globals struct {
			Function struct {
				Environment struct {
					Variables map[string]any
				}
			}
		}
		Resources map[string]json.RawMessage
	}
	if err := json.Unmarshal(plain, &t); err != nil {
		return nil, fmt.Errorf("read the template %s: %w", path, err)
	}
	resources, err := ofInterest(t.Resources)
	if err != nil {
		return nil, fmt.Errorf("read the template %s: %w", path, err)
	}
	s := &settings{queues: map[string]queueSource{}}
	for _, name := range names {
		variable := "AIKAJANA_QUEUE_" + strings.ToUpper(name)
		to, _ := t.Globals.Function.Environment.Variables[variable].(map[string]any)
		logical, _ := to["Ref"].(string)
		if s.queues[name], err = queueSourceOf(resources, logical); err != nil {
			return nil, fmt.Errorf("read the template %s: the queue of %s: %w", path, variable, err)
		}
	}
	if s.stream, s.filter, err = streamSourceOf(resources); err != nil {
		return nil, fmt.Errorf("read the template %s: %w", path, err)
	}
	return s, nil
}

// ofInterest are the queues and functions. Resources of other kinds use the same names for other things.
func ofInterest(all map[string]json.RawMessage) (map[string]*resource, error) {
	found := map[string]*resource{}
	for name, body := range all {
		var kind struct{ Type string }
		if err := json.Unmarshal(body, &kind); err != nil {
			return nil, fmt.Errorf("resource %s: %w", name, err)
		}
		if kind.Type != "AWS::SQS::Queue" && kind.Type != "AWS::Serverless::Function" {
			continue
		}
		found[name] = new(resource)
		if err := json.Unmarshal(body, found[name]); err != nil {
			return nil, fmt.Errorf("resource %s: %w", name, err)
		}
	}
	return found, nil
}

func queueSourceOf(resources map[string]*resource, queue string) (queueSource, error) {
	q := resources[queue]
	if q == nil {
		return queueSource{}, fmt.Errorf("there is no queue %q", queue)
	}
	for name, f := range resources {
		for _, e := range f.Properties.Events {
			if e.Type != "SQS" || e.Properties.Queue.Of != queue+".Arn" {
				continue
			}
			s := queueSource{
				function: name, batch: e.Properties.BatchSize, partial: slices.Contains(e.Properties.FunctionResponseTypes, "ReportBatchItemFailures"),
				visibility: time.Duration(q.Properties.VisibilityTimeout) * time.Second, attempts: q.Properties.RedrivePolicy.MaxReceiveCount,
			}
			if s.batch < 1 || s.visibility < 1 || s.attempts < 1 {
				return s, fmt.Errorf("%s and %s must say BatchSize, VisibilityTimeout and maxReceiveCount", name, queue)
			}
			return s, nil
		}
	}
	return queueSource{}, fmt.Errorf("no function works on %s", queue)
}

func streamSourceOf(resources map[string]*resource) (streamSource, *awsfilter.Filter, error) {
	for name, f := range resources {
		for _, e := range f.Properties.Events {
			if e.Type != "DynamoDB" {
				continue
			}
			p := &e.Properties
			s := streamSource{
				function: name, batch: p.BatchSize, bisect: p.BisectBatchOnFunctionError, retries: p.MaximumRetryAttempts,
				window: time.Duration(p.TumblingWindowInSeconds) * time.Second,
			}
			if s.batch < 1 || s.retries < 1 || s.window < 1 || p.DestinationConfig.OnFailure.Type != "S3" {
				return s, nil, fmt.Errorf("%s must say BatchSize, MaximumRetryAttempts, TumblingWindowInSeconds and an OnFailure in S3 for its stream", name)
			}
			var patterns []string
			for _, one := range p.FilterCriteria.Filters {
				patterns = append(patterns, one.Pattern)
			}
			filter, err := awsfilter.New(patterns)
			return s, filter, err
		}
	}
	return streamSource{}, nil, fmt.Errorf("no function follows a stream")
}
