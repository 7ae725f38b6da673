//go:build parts

package scenario

import "github.com/aikajana/aikajana/internal/awspolicy"

// logical are the resources of a world by their names in the template.
func logical(name string) *awspolicy.World {
	w := &awspolicy.World{Table: name, Bucket: name, SecretPath: "/" + name, Queues: map[string]string{}, Sources: map[string]string{}}
	for queue, is := range map[string]string{"inbound": "Inbound", "mail": "Mail", "media": "Media", "wake": "Wake"} {
		w.Queues[name+"-"+queue] = is + "Queue"
		w.Queues[name+"-"+queue+"-dead"] = is + "DeadLetters"
		w.Sources[is+"DeadLetters"] = is + "Queue"
	}
	return w
}
