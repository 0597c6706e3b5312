// Package data opens sets of images and brings them, decoded and in order, to the training step.
//
// A [Dataset] is a numbered list of images with optional labels. [Open] finds out what a path
// holds: class folders, a flat or nested folder, a list or table, a zip or tar archive, WebDataset
// shards, Parquet files, NumPy arrays. Each kind of set is one file of this package, which
// registers itself with [Register]. [OpenSplit] opens the train or val part of a set that has
// both. With a cache folder in [Options], what a path holds is listed once and read the next time.
//
// A [Sampler] says which images make which batch, from the seed and the step alone; a
// [RepeatedSampler] repeats each image. A [Loader] fills those batches in parallel and hands them
// over in order; how many workers it has changes nothing but the time. [BadImages] keeps
// unreadable files from ending a run: it lists them and puts the next readable image in their
// place, until too many are bad.
//
// [Check] reads a whole set and reports what is wrong with it; [Measure] finds the mean and the
// deviation of its pixels.
//
// The package knows nothing of tensors. What a batch is made of is the caller's own type.
//
// Package data/drawn makes a labelled set of drawn objects for demonstrations and tests.
package data
