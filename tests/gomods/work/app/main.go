// Command app needs a package of another module, which only the workspace knows.
package main

import "example.com/work/lib"

func main() { println(lib.Word()) }
