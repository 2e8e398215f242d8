// Package top carries a file, and uses middle.
package top

import (
	_ "embed"

	"example.com/layers/middle"
)

//go:embed word.txt
var word string

// Word is the word of the file and of middle.
func Word() string { return word + middle.Word() }
