// Package data opens sets of images and brings them, decoded and in order, to the training step.
//
// A [Dataset] is a numbered list of images with optional labels. [Open] finds out what a path
// holds (class folders, a flat or nested folder, a text list) and each kind of set is one file
// of this package, which registers itself with [Register]. [OpenSplit] opens the train or val
// part of a folder that has both.
//
// A [Sampler] says which images make which batch, from the seed and the step alone. A [Loader]
// fills those batches in parallel and hands them over in order; how many workers it has changes
// nothing but the time. [BadImages] keeps unreadable files from ending a run: it lists them and
// puts the next readable image in their place, until too many are bad.
//
// The package knows nothing of tensors. What a batch is made of is the caller's own type.
//
// Package data/drawn makes a labelled set of drawn objects for demonstrations and tests.
package data
