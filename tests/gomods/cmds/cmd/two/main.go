// Command two is one of three that share a library.
package main

import "example.com/cmds/lib"

func main() { lib.Say("two") }
