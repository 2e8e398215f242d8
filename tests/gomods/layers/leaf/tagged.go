//go:build special

package leaf

// Special is there with the tag only.
const Special = true
