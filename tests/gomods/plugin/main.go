// Command plugin is one: build it with -buildmode=plugin.
package main

// Twice is what the plugin offers.
func Twice(n int) int { return 2 * n }

func main() {}
