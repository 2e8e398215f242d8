// Package generate has a generator that fails: a nested go command compiles and runs it.
package generate

//go:generate go run ../crash
