// Package onnx reads and writes ONNX models (github.com/onnx/onnx, onnx.proto3): graphs of named
// operators with the weights in them. It has the part of the format that the exports of this
// program need; what it does not know it passes over, as protocol buffers are made for.
package onnx
