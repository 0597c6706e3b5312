// Package nn has the layers that networks are made of, and the tree of their parameters.
//
// A network declares its parameters by explicit path, never by reflection: p.Sub("attn") opens a
// child, p.Param("weight", ...) makes a parameter there. Names and their order are those of a PyTorch state
// dict: a module's own parameters first, then its children in the order of their declaration. Optimizer state
// of a PyTorch checkpoint is indexed by that order.
package nn
