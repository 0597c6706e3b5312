// Package metrics measures predictions: top-k accuracy, the agreement of a clustering with labels
// (NMI, ARI, Fowlkes-Mallows, accuracy after the best matching), rankings (average precision,
// precision at k), masks of objects in videos (J and F of DAVIS), entropies, and running statistics
// of the numbers a training run logs.
//
// It is plain arithmetic on Go slices, knows no engine, and is deterministic: the same input gives the
// same bits. Shares are in [0, 1], never in percent. Errors mean input that has no answer, such as
// lists of different lengths; nothing here panics on bad input.
package metrics
