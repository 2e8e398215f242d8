// Command broken does not compile: a type error in the main package, after one that is fine.
package main

import "example.com/broken/fine"

func main() {
	var number int = fine.Word()
	println(number)
}
