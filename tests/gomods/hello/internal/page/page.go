// Package page serves the greeting.
package page

import (
	"html/template"
	"net/http"

	"example.com/hello/internal/greet"
)

var page = template.Must(template.New("page").Parse("<p>{{.}}</p>\n"))

// Handler greets whoever the query names.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := page.Execute(w, greet.Greeting(r.URL.Query().Get("name"))); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}
