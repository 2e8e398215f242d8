// Package vet compiles, and vet finds something in it.
package vet

// Same assigns a variable to itself.
func Same(n int) int {
	n = n
	return n
}
