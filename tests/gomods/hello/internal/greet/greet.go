// Package greet knows how to be polite.
package greet

import "strings"

// Greeting addresses someone by name, or everybody.
func Greeting(name string) string {
	name = strings.TrimSpace(name)
	if name == "" {
		name = "world"
	}
	return "Hello, " + name + "!"
}
