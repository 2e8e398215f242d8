// Package lib is what three commands share.
package lib

import "fmt"

// Say prints a line.
func Say(word string) { fmt.Println(word) }
