// Package eval scores a trained backbone by published protocols, a file per protocol, and computes
// features for other uses.
//
// A [Protocol] registers itself as a [Kind]; [Evaluate] runs one, and [Run.All] all that the images
// allow. [Extract] runs the images of a set through the network once and keeps one row of [Features]
// for each; [Run.Features] takes them from the cache where it has them. [KNN] classifies the rows of
// one set by the nearest rows of another, [Logistic] by a regression. [Pixels] makes features without
// a network, for comparison.
//
// [Run.Embed] writes features to a file, [OpenFeatures] reads them, [Nearest] searches in them and
// [Duplicates] finds what is there twice.
//
// [Online] is the k-NN score that is taken again and again while a network is being trained.
//
// Features stay on the device that made them, in memory that the garbage collector does not see:
// call [Features.Close] when done. Scores are in percent.
package eval
