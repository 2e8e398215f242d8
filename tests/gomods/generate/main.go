// Command generate prints what `go generate` made: a nested go command compiles and runs gen.go, which writes word.go.
package main

//go:generate go run gen.go

func main() { println(word) }
