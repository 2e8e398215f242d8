// Command tiny needs nothing but the runtime, so that it is quickly built for any target. Its one dependency is replaced.
package main

import "example.com/dep"

var word = "of the default"

func main() { println(word, dep.Word()) }
