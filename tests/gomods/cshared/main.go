// Command cshared is a library for C: build it with -buildmode=c-shared or c-archive.
package main

import "C"

//export Twice
func Twice(n C.int) C.int { return 2 * n }

func main() {}
