// Package torch is the engine: tensors, operators, autograd and devices of libtorch (1.13 to 2.11)
// behind one thin cgo layer. It is the only package that talks to libtorch.
//
// # Operators
//
// Every operator goes through libtorch's dispatcher by its schema, so that the methods of Tensor
// are one line each and [Call] reaches the rest. Shapes in comments are written (B, N, D).
//
// # Errors
//
// A shape mistake is a bug: operators panic with an [*Error], so that formulas stay formulas.
// [Run] turns that panic into an error, at the places where a program can go on: a training step, an
// evaluation, a request, the loading of a checkpoint.
//
// # Memory
//
// Go's collector does not see libtorch's memory. A tensor therefore belongs to the scope that it
// was made in: [Scope] and [Run] free what was made in them, [Tidy] all but its result. [Tensor.Own]
// takes a tensor out of all scopes (parameters, optimizer state); its owner calls [Tensor.Free].
// A tensor made outside of any scope is freed when the collector finds it unreachable. Use after
// free is a panic. [Live] counts.
//
// Scopes and modes ([NoGrad], [Autocast]) belong to an OS thread, as libtorch's modes do; each
// of these functions locks the goroutine to its thread while it runs. A goroutine that is started
// inside a scope is in no scope.
package torch
