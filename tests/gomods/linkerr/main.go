// Command linkerr compiles and does not link: nobody defines its function.
package main

func nowhere() int

func main() { println(nowhere()) }
