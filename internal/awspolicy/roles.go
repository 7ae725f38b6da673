package awspolicy

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	yaml "github.com/oasdiff/yaml3"
)

// Roles are the permissions of each function of a SAM template, by its logical name without "Function". samTemplates is SAM's
// own file of policy templates, policy_templates.json of the package samtranslator. What SAM adds by itself for logs and event
// sources is not among them.
//
// Only what the template uses is understood; anything else is an error, so that no policy goes unread.
func Roles(template, samTemplates []byte) (map[string][]Permission, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(template, &root); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	doc, ok := Plain(root.Content[0]).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read the template: it is no map")
	}
	r := reader{}
	if r.resources, ok = doc["Resources"].(map[string]any); !ok {
		return nil, fmt.Errorf("read the template: it has no Resources")
	}
	var sam struct {
		Templates map[string]struct{ Definition struct{ Statement []any } }
	}
	if err := json.Unmarshal(samTemplates, &sam); err != nil {
		return nil, fmt.Errorf("read SAM's policy templates: %w", err)
	}
	roles := map[string][]Permission{}
	for _, name := range slices.Sorted(maps.Keys(r.resources)) {
		resource, _ := r.resources[name].(map[string]any)
		if resource["Type"] != "AWS::Serverless::Function" {
			continue
		}
		properties, _ := resource["Properties"].(map[string]any)
		policies, ok := properties["Policies"].([]any)
		if !ok {
			return nil, fmt.Errorf("%s has no list of policies", name)
		}
		for _, p := range policies {
			policy, _ := p.(map[string]any)
			statements, own := policy["Statement"].([]any)
			values := map[string]any{}
			if !own {
				if len(policy) != 1 {
					return nil, fmt.Errorf("%s: a policy is neither statements nor one of SAM's", name)
				}
				for kind, parameters := range policy {
					values, _ = parameters.(map[string]any)
					statements = sam.Templates[kind].Definition.Statement
				}
				if statements == nil {
					return nil, fmt.Errorf("%s: SAM has no policy like %v", name, policy)
				}
			}
			for _, s := range statements {
				allowed, err := r.statement(s, values)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				f := strings.TrimSuffix(name, "Function")
				roles[f] = append(roles[f], allowed...)
			}
		}
	}
	return roles, nil
}

// Document reads a template as Plain leaves it.
func Document(path string) (map[string]any, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(body, &root); err != nil {
		return nil, fmt.Errorf("read the template %s: %w", path, err)
	}
	if len(root.Content) == 0 {
		return nil, fmt.Errorf("read the template %s: it is empty", path)
	}
	doc, ok := Plain(root.Content[0]).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read the template %s: it is no map", path)
	}
	return doc, nil
}

// Plain takes anchors and tags out of a template: !Ref X becomes {"Ref": "X"}, !Sub "…" becomes {"Fn::Sub": "…"}.
func Plain(n *yaml.Node) any {
	var v any
	switch n.Kind {
	case yaml.AliasNode:
		return Plain(n.Alias)
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = Plain(n.Content[i+1])
		}
		v = m
	case yaml.SequenceNode:
		l := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			l = append(l, Plain(c))
		}
		v = l
	default:
		v = n.Value
	}
	if tag, ok := strings.CutPrefix(n.Tag, "!"); ok && !strings.HasPrefix(tag, "!") && tag != "" {
		if tag != "Ref" && tag != "Condition" {
			tag = "Fn::" + tag
		}
		return map[string]any{tag: v}
	}
	return v
}

type reader struct{ resources map[string]any }

// statement is every action of a statement on every one of its resources.
func (r *reader) statement(s any, values map[string]any) ([]Permission, error) {
	fields, _ := s.(map[string]any)
	if fields["Effect"] != "Allow" {
		return nil, fmt.Errorf("a statement does not allow: %v", s)
	}
	for name := range fields {
		if !slices.Contains([]string{"Effect", "Action", "Resource", "Sid"}, name) {
			return nil, fmt.Errorf("a statement has a %s, which nothing here understands", name)
		}
	}
	var all []Permission
	for _, a := range list(fields["Action"]) {
		for _, on := range list(fields["Resource"]) {
			action, isText := a.(string)
			resource, err := r.text(on, values)
			if err != nil || !isText {
				return nil, fmt.Errorf("action %v on %v: %w", a, on, err)
			}
			all = append(all, Permission{action, resource})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("a statement allows nothing: %v", s)
	}
	return all, nil
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

// text is what a value comes to once the stack is made.
func (r *reader) text(v any, values map[string]any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case map[string]any:
		if len(v) == 1 {
			for function, argument := range v {
				return r.call(function, argument, values)
			}
		}
	}
	return "", fmt.Errorf("%v is no text", v)
}

func (r *reader) call(function string, argument any, values map[string]any) (string, error) {
	switch function {
	case "Ref":
		name, _ := argument.(string)
		return r.ref(name, values)
	case "Fn::GetAtt":
		if parts := list(argument); len(parts) == 2 {
			return r.attribute(fmt.Sprint(parts[0]), fmt.Sprint(parts[1]))
		}
		name, attribute, _ := strings.Cut(fmt.Sprint(argument), ".")
		return r.attribute(name, attribute)
	case "Fn::Sub":
		text, _ := argument.(string)
		local := map[string]any{}
		if parts := list(argument); len(parts) == 2 {
			text, _ = parts[0].(string)
			given, _ := parts[1].(map[string]any)
			for name, v := range given {
				s, err := r.text(v, values)
				if err != nil {
					return "", err
				}
				local[name] = s
			}
		}
		return r.sub(text, local)
	}
	return "", fmt.Errorf("nothing here understands %s", function)
}

var placeholder = regexp.MustCompile(`\$\{([^}]+)\}`)

func (r *reader) sub(text string, local map[string]any) (string, error) {
	var failed error
	out := placeholder.ReplaceAllStringFunc(text, func(found string) string {
		name, attribute, dotted := strings.Cut(found[2:len(found)-1], ".")
		s, err := r.ref(name, local)
		if dotted {
			s, err = r.attribute(name, attribute)
		}
		if err != nil {
			failed = err
		}
		return s
	})
	return out, failed
}

// pseudo are the pseudo parameters.
var pseudo = map[string]string{
	"AWS::Partition": "aws", "AWS::Region": region, "AWS::AccountId": account, "AWS::StackName": StackName, "AWS::URLSuffix": "amazonaws.com",
}

func (r *reader) ref(name string, values map[string]any) (string, error) {
	if v, ok := values[name]; ok {
		return r.text(v, nil)
	}
	if v, ok := pseudo[name]; ok {
		return v, nil
	}
	if r.resources[name] == nil {
		return "", fmt.Errorf("the template has no %s", name)
	}
	return name, nil
}

func (r *reader) attribute(name, attribute string) (string, error) {
	resource, _ := r.resources[name].(map[string]any)
	switch kind, _ := resource["Type"].(string); kind + "." + attribute {
	case "AWS::DynamoDB::Table.Arn":
		return TableARN(name), nil
	case "AWS::S3::Bucket.Arn":
		return ObjectARN(name, ""), nil
	case "AWS::SQS::Queue.Arn":
		return QueueARN(name), nil
	case "AWS::SQS::Queue.QueueName":
		return name, nil
	}
	return "", fmt.Errorf("nothing here understands %s.%s", name, attribute)
}

// TableARN is the ARN of a table by its logical name.
func TableARN(name string) string { return arn("dynamodb", "table/"+name) }

// QueueARN is the ARN of a queue.
func QueueARN(name string) string { return arn("sqs", name) }

// ObjectARN is the ARN of an object, or of the bucket when the key is empty.
func ObjectARN(bucket, key string) string {
	if key == "" {
		return "arn:aws:s3:::" + bucket
	}
	return "arn:aws:s3:::" + bucket + "/" + key
}

func arn(service, resource string) string {
	return "arn:aws:" + service + ":" + region + ":" + account + ":" + resource
}
