// Package middle uses leaf.
package middle

import "example.com/layers/leaf"

// Word is the word of leaf.
func Word() string { return "middle " + leaf.Word }
