// Package analysis makes the pictures of a run and of a trained network, a file per study:
//
//	attention.go   where the heads of the last block look, over the images
//	views.go       the views and masks of a batch, beside the images that they were cut from
//	parameters.go  the same views with the parameters of each
//	curves.go      loss, k-NN score and health of a run over its steps and epochs
//
// Pictures are PNGs with captions, in colours that are told apart with any kind of colour vision.
// They depend on their input alone, and a file is written in full or not at all.
package analysis
