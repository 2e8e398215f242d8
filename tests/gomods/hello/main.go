// Command hello answers one HTTP request to itself. It has what a small service has: packages of its own, net/http, a test.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"

	"example.com/hello/internal/page"
)

func main() {
	server := httptest.NewServer(page.Handler())
	defer server.Close()
	if err := get(server.URL + "/?name=gopher"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func get(url string) error {
	response, err := http.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}
