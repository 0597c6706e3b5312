// Package eval scores a trained backbone by published protocols, a file per protocol.
//
// A protocol of frozen features begins with [Extract], which runs the images of a set through the
// network once and keeps one row of [Features] for each. [KNN] then classifies the rows of one set
// by the nearest rows of another. [Pixels] makes features without a network, for comparison.
//
// [Online] is the k-NN score that is taken again and again while a network is being trained.
//
// Features stay on the device that made them, in memory that the garbage collector does not see:
// call [Features.Close] when done. Scores are in percent.
package eval
