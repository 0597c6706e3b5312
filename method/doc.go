// Package method is the method of "iBOT: Image BERT Pre-Training with Online Tokenizer" (Zhou et al.,
// ICLR 2022): views and masks, head and loss, student and teacher.
//
// The student sees views whose patches are partly masked, the teacher, its moving average, sees them
// whole. The student learns the teacher's distribution for [CLS] across views, as in DINO, and for every
// masked patch within a view: the teacher is the tokenizer, and it is trained online.
package method
