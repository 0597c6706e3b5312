// Package analysis makes the pictures of a run and of a trained network, a file per study:
//
//	attention*.go       where the heads of a block look; frames.go and animation.go: over frames
//	correspondence*.go  which patches of two pictures are taken for the same
//	patterns*.go        what the clusters of the head gather
//	pca*.go             principal components of patches
//	map.go, tsne.go     images in the plane
//	similar.go          one patch looked for in all images
//	report*.go          one page about a run; verdict.go: its health in plain words
//	views.go            the views and masks of a batch; parameters.go: what was drawn for each
//	curves.go           loss, k-NN score and health of a run over its steps and epochs
//
// A study registers itself ([Register]) and returns figures; net.go has what studies share. Pictures are PNGs
// with captions, in colours that are told apart with any kind of colour vision.
// They depend on their input alone, and a file is written in full or not at all.
package analysis
