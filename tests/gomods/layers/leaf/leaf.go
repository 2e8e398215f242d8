// Package leaf imports nothing.
package leaf

// Word is a word.
const Word = "leaf"

func unused() {}
