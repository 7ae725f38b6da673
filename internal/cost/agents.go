package cost

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/aikajana/aikajana/internal/auth"
	"github.com/aikajana/aikajana/internal/awslambda"
	"github.com/aikajana/aikajana/internal/channel/email"
)

// agent is somebody of the desk, signed in and with a socket open.
type agent struct {
	principal           auth.Principal
	session, connection string
}

// staff signs agents in. Their passwords are cheap to check: nothing else depends on that.
func (r *rig) staff() (*auth.Service, error) {
	base, err := url.Parse(baseURL)
	if err != nil {
		return nil, err
	}
	return auth.New(auth.Config{
		Table: r.plain.system.Store.Table(), Now: r.clock.time, BaseURL: base, Cost: auth.Cost{MemoryKiB: 64, Passes: 1, AtOnce: 1},
	})
}

// hire lets the desk grow to so many agents, in teams of [Assumptions.Team]. The first team is the one that hears of messages.
func (r *rig) hire(ctx context.Context, n int) error {
	staff, err := r.staff()
	if err != nil {
		return err
	}
	for len(r.agents) < n {
		at := len(r.agents)
		team := deskTeam
		if at >= r.a.Team {
			team = fmt.Sprintf("team-%d", at/r.a.Team)
		}
		u := auth.User{
			ID: fmt.Sprintf("agent-%03d", at), Name: fmt.Sprintf("Aino Virtanen %d", at), Email: fmt.Sprintf("aino.virtanen.%d@desk.example", at),
			Roles: []auth.Role{auth.Agent}, Teams: []string{team}, Presence: auth.Present, Language: "fi",
		}
		password := rand.Text()
		if _, err := staff.CreateUser(ctx, "cost", u, password); err != nil {
			return err
		}
		in, err := staff.SignIn(ctx, u.ID, password, fmt.Sprintf("10.%d.%d.1", at/250, at%250), "")
		if err != nil {
			return err
		}
		// A connection's ID is as long as API Gateway's.
		r.agents = append(r.agents, &agent{principal: in.Principal, session: in.Secret, connection: fmt.Sprintf("L0SM9cOFvHcCI%03d=", at)})
		r.seen = time.Time{}
	}
	return r.seat(ctx)
}

// seat opens all sockets anew when it is three minutes since. Sessions are noted as in use then, which happens every five minutes
// and is measured with pings (rig.ping): it must not come in between elsewhere.
func (r *rig) seat(ctx context.Context) error {
	if r.clock.time().Sub(r.seen) < 3*time.Minute {
		return nil
	}
	staff, err := r.staff()
	if err != nil {
		return err
	}
	r.clock.forward(5*time.Minute + time.Second)
	for _, a := range r.agents {
		ticket, _, err := staff.Ticket(ctx, a.principal)
		if err != nil {
			return err
		}
		open, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL+"/socket?ticket="+ticket+"&batch=yes", nil)
		if err != nil {
			return err
		}
		if status := r.plain.desk.Connect(ctx, a.connection, open); status != http.StatusOK {
			return fmt.Errorf("open the socket of %s: it was answered with %d", a.principal.ID, status)
		}
	}
	r.seen = r.clock.time()
	return r.follow(ctx, r.plain.quiet, &Use{}) // the table tells of sessions
}

// heard measures a message of WhatsApp, alone on an open case, at a desk of so many agents.
func (r *rig) heard(ctx context.Context, agents int) (*Heard, error) {
	if err := r.hire(ctx, agents); err != nil {
		return nil, err
	}
	rounds := 2
	h := &Heard{}
	var err error
	if h.AfterPause, err = r.measure(rounds, r.inbound(ctx, "whatsapp", Alone, way{pushed: true})); err != nil {
		return nil, err
	}
	h.AtOnce, err = r.measure(rounds, func(s *shape) (func(*Use) error, int, error) {
		if err := r.seat(ctx); err != nil {
			return nil, 0, err
		}
		people := r.people(1)
		r.clock.pause()
		if err := r.play(ctx, s, "whatsapp", way{pushed: true}, people, &Use{}); err != nil { // its push looks at every session
			return nil, 0, err
		}
		return func(use *Use) error { return r.play(ctx, s, "whatsapp", way{pushed: true}, people, use) }, 1, nil
	})
	return h, err
}

// ping is a socket that says that it is there, five minutes after it last did. That is when the session is noted as in use,
// which the table tells React.
func (r *rig) ping(ctx context.Context) sample {
	return func(s *shape) (func(*Use) error, int, error) {
		r.clock.forward(time.Hour / 12)
		return func(use *Use) error {
			const frame = `{"type":"ping"}`
			use.SocketMessages += float64(frames([]byte(frame)))
			err := r.run(use, "socket", func() error {
				return awslambda.Invoke(ctx, awslambda.WebSocket(s.desk), map[string]any{
					"requestContext": map[string]any{"connectionId": r.agents[0].connection, "eventType": "MESSAGE", "routeKey": "$default"}, "body": frame,
				}, nil)
			})
			if err != nil {
				return err
			}
			return r.follow(ctx, s.told, use)
		}, 1, nil
	}
}

// asked is a request of the first agent's browser.
func (r *rig) asked(method, target string, body []byte) *delivery {
	path, query, _ := strings.Cut(target, "?")
	d := posted("api", path, "192.0.2.1", body, http.Header{
		"Content-Type": {"application/json"}, "Origin": {baseURL}, "Sec-Fetch-Site": {"same-origin"}, "User-Agent": {"Mozilla/5.0"},
	})
	d.event["rawQueryString"] = query
	d.event["cookies"] = []string{"__Host-aikajana=" + r.agents[0].session}
	d.event["requestContext"].(map[string]any)["http"].(map[string]any)["method"] = method
	return d
}

// list reads a page of the work list, which is as long as pages are: as the team's is, or this one after all that was played.
func (r *rig) list(ctx context.Context) sample {
	return func(s *shape) (func(*Use) error, int, error) {
		return func(use *Use) error {
			return r.request(ctx, s, r.asked(http.MethodGet, "/api/v1/cases", nil), way{}, use)
		}, 1, nil
	}
}

// timeline reads the timeline of somebody who wrote twice.
func (r *rig) timeline(ctx context.Context) sample {
	return func(s *shape) (func(*Use) error, int, error) {
		people := r.people(1)
		for range 2 {
			if err := r.play(ctx, s, "whatsapp", way{}, people, &Use{}); err != nil {
				return nil, 0, err
			}
		}
		of, err := r.find(ctx, s, "whatsapp", people[0])
		if err != nil {
			return nil, 0, err
		}
		return func(use *Use) error {
			return r.request(ctx, s, r.asked(http.MethodGet, "/api/v1/customers/"+of.Customer+"/timeline", nil), way{}, use)
		}, 1, nil
	}
}

// found is what the API says of a customer.
type found struct {
	Customer string
	Cases    []struct{ Case string }
}

func (r *rig) find(ctx context.Context, s *shape, channel string, p *person) (*found, error) {
	body, err := r.ask(ctx, s.api, r.asked(http.MethodGet, "/api/v1/customers?address="+url.QueryEscape(p.address(channel)), nil), way{}, &Use{})
	if err != nil {
		return nil, err
	}
	var list struct{ Items []*found }
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		return nil, err
	}
	if len(list.Items) != 1 || len(list.Items[0].Cases) == 0 {
		return nil, fmt.Errorf("find %s: the API answers %s", p.address(channel), body)
	}
	return list.Items[0], nil
}

// answer is an agent's answer to a customer, until it is read (WhatsApp) or delivered (mail).
func (r *rig) answer(ctx context.Context, channel string) sample {
	return func(s *shape) (func(*Use) error, int, error) {
		if err := r.seat(ctx); err != nil {
			return nil, 0, err
		}
		people := r.people(1)
		if err := r.play(ctx, s, channel, way{}, people, &Use{}); err != nil {
			return nil, 0, err
		}
		of, err := r.find(ctx, s, channel, people[0])
		if err != nil {
			return nil, 0, err
		}
		body, err := json.Marshal(map[string]string{"text": "Hei Maija! Takki lähti eilen ja on perillä huomenna. Seurantatunnus on JJFI123456. Pahoittelut!"})
		if err != nil {
			return nil, 0, err
		}
		return func(use *Use) error {
			answered, err := r.ask(ctx, s.api, r.asked(http.MethodPost, "/api/v1/cases/"+of.Cases[0].Case+"/replies", body), way{}, use)
			if err != nil {
				return err
			}
			var made struct{ Entry string }
			if err := json.Unmarshal([]byte(answered), &made); err != nil {
				return err
			}
			if err := r.tellStaff(ctx, s, use); err != nil {
				return err
			}
			if err := r.drain(ctx, s, "wake", "deliver", 10, s.quiet.Deliver, 1, use); err != nil {
				return err
			}
			if err := r.tellStaff(ctx, s, use); err != nil {
				return err
			}
			if channel == "email" {
				return r.mailReceipt(ctx, s, people[0], made.Entry, use)
			}
			return r.receipts(ctx, s, use)
		}, 1, nil
	}
}

// tellStaff follows changes up after a pause: answers are seldom on their way at the same moment as other news.
func (r *rig) tellStaff(ctx context.Context, s *shape, use *Use) error {
	r.clock.pause()
	return r.follow(ctx, s.told, use)
}

// receipts has the provider tell how far its last answer came.
func (r *rig) receipts(ctx context.Context, s *shape, use *Use) error {
	sent := r.outside.whatsapp.Sent()
	if len(sent) == 0 {
		return errors.New("the provider has accepted nothing: " + string(s.log.last))
	}
	for _, state := range []string{"sent", "delivered", "read"} {
		r.outside.count++
		d := r.outside.whatsappWebhook(r.outside.whatsapp.Body(r.outside.whatsapp.Status(sent[len(sent)-1], state)))
		if err := r.request(ctx, s, d, way{}, use); err != nil {
			return err
		}
		if err := r.drain(ctx, s, "inbound", "process", 10, s.quiet.Process, 1, use); err != nil {
			return err
		}
		if err := r.tellStaff(ctx, s, use); err != nil {
			return err
		}
	}
	return nil
}

// mailReceipt has SES tell through SNS that the mail was delivered
// (docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html, seen 2026-11-23).
func (r *rig) mailReceipt(ctx context.Context, s *shape, p *person, entry string, use *Use) error {
	r.outside.count++
	at, to := r.clock.now().String(), []string{p.address("email")}
	event, err := json.Marshal(map[string]any{
		"eventType": "Delivery",
		"delivery":  map[string]any{"timestamp": at, "processingTimeMillis": 546, "recipients": to, "smtpResponse": "250 ok", "reportingMTA": "mta.example"},
		"mail": map[string]any{
			"timestamp": at, "source": mailAddress, "messageId": "0100-" + entry, "destination": to, "headersTruncated": false, "headers": []any{},
			"tags": map[string][]string{"ses:configuration-set": {"ConfigurationSet"}, email.SESTag: {entry}},
		},
	})
	if err != nil {
		return err
	}
	notice, err := json.Marshal(map[string]string{
		"Type": "Notification", "MessageId": "5f2ad6bd-" + entry, "TopicArn": "arn:aws:sns:eu-north-1:123456789012:MailEvents",
		"Subject": "Amazon SES Email Event Notification", "Message": string(event), "Timestamp": at,
	})
	if err != nil {
		return err
	}
	use.SNSPublishes++
	if err := r.enqueue(ctx, s, "mail", notice); err != nil {
		return err
	}
	if err := r.drain(ctx, s, "mail", "mail", 1, s.quiet.Mail, 1, use); err != nil {
		return err
	}
	return r.tellStaff(ctx, s, use)
}

// enqueue is SNS, which puts a notice into a queue; that is no request that anybody pays.
func (r *rig) enqueue(ctx context.Context, s *shape, name string, notice []byte) error {
	_, err := r.sqs.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(s.system.Env.Queues[name]), MessageBody: aws.String(string(notice))})
	r.calls.add("SQS.SendMessage", -1)
	return err
}
