// Command embed carries a file inside.
package main

import (
	_ "embed"
	"fmt"
)

//go:embed static/word.txt
var word string

func main() { fmt.Print(word) }
