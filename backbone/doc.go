// Package backbone has the networks that turn images into tokens, a file per architecture.
//
// An architecture registers itself by name in init; [New] builds it. All of them map images to a
// [CLS] token followed by one token per patch, so that heads, losses and evaluations need not know which
// one they have.
package backbone
