// Command layers imports one package above another, so that a change spreads.
package main

import "example.com/layers/top"

var word = "of the default"

func main() { println(word, top.Word()) }
