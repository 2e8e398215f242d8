// Package fine compiles.
package fine

// Word is not a number.
func Word() string { return "word" }
