// Package wait has a test that lasts until it is interrupted.
package wait

import (
	"testing"
	"time"
)

func TestWaits(t *testing.T) { time.Sleep(time.Minute) }
