// Command word prints what its module's package says.
package main

import "example.com/work/lib"

func main() { println(lib.Word()) }
