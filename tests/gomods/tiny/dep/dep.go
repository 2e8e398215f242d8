// Package dep says a word.
package dep

//go:noinline
func Word() string { return "of a dependency" }
