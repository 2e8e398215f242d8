// Command crash fails.
package main

func main() { panic("no") }
