package ckpt

import "io"

// What tests need to work in memory: the fuzzer is a hundred times faster without files.

// Encode writes to w what Write writes to a file.
func Encode(w io.Writer, c *Checkpoint) error {
	header, err := safetensorsHeader(c)
	if err != nil {
		return err
	}
	return encode(w, header, c)
}

// Parse opens the content of a file.
func Parse(file []byte) (*Checkpoint, error) {
	c := New()
	return c, parse(file, c)
}
