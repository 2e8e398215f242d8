// Command wasm builds for every platform, GOOS=js GOARCH=wasm included.
package main

import (
	"fmt"
	"runtime"
)

func main() { fmt.Println(runtime.GOOS, runtime.GOARCH) }
