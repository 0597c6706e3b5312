// Package exchange writes networks in the formats of others: the reference's checkpoints, timm,
// Hugging Face and ONNX. Each format is a file that registers itself.
//
// Every export proves itself. What was written is opened again from the disk and run on a random
// image beside the network that it was made from; the greatest differences of [CLS] and patches stand
// in the file's own metadata, and more than [Tolerance] is an error that leaves no file.
package exchange
