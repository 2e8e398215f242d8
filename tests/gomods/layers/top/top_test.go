package top

import (
	"os"
	"strings"
	"testing"
)

// TestWord reads a variable and a file.
func TestWord(t *testing.T) {
	text, err := os.ReadFile("testdata/input.txt")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("MODE") == "fail" || strings.HasPrefix(string(text), "fail") {
		t.Fail()
	}
	if !strings.Contains(Word(), "leaf") {
		t.Errorf("no leaf in %q", Word())
	}
}
