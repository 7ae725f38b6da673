package api

import (
	"net/http"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"github.com/aikajana/aikajana/internal/auth"
)

// Operation is an operation of the document, for tests that go over all of them.
type Operation struct {
	ID, Method, Path string
	Action           auth.Action
	Public, Named    bool
	Route            *routers.Route
}

// Operations lists every operation of the document.
func (a *API) Operations() ([]Operation, error) {
	doc, err := a.document()
	if err != nil {
		return nil, err
	}
	var all []Operation
	for _, o := range doc.operations {
		all = append(all, Operation{o.id, o.method, o.path, o.action, o.public, o.named, o.route})
	}
	return all, nil
}

// Document is openapi.yaml as it is compiled in.
func (a *API) Document() (*openapi3.T, error) {
	doc, err := a.document()
	if err != nil {
		return nil, err
	}
	return doc.operations[0].route.Spec, nil
}

var _ http.Handler = (*API)(nil)

// CheckJSON is what is asked of every body before the document is.
func CheckJSON(body []byte) error { return checkJSON(body) }
