// Package test has a test that fails.
package test

import "testing"

func TestFails(t *testing.T) { t.Fatal("no") }
