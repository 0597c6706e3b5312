// Package optim changes parameters and the numbers that govern how: optimizers, parameter groups,
// gradient clipping and the schedules of the learning rate, weight decay, momentum and temperatures.
package optim
