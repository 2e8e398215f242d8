// Package lib says a word.
package lib

// Word is that word.
func Word() string { return "of a workspace" }
