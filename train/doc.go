// Package train is the engine room: the settings of a run, the optimizer step, the loop around it,
// checkpoints from which a run goes on bit for bit, and the records that it leaves.
package train
