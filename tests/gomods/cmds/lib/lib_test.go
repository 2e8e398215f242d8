package lib_test

import "example.com/cmds/lib"

func ExampleSay() {
	lib.Say("hello")
	// Output: hello
}
