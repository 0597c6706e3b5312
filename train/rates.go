package train

import (
	"ibot/method"
	"ibot/optim"
)

// Rates are the scheduled settings of one step.
type Rates struct {
	optim.Rates
	Momentum float64 // of the teacher
	Temps    method.Temps
	Freeze   bool // the last layer stays as it is
}

// Schedules tells the rates of every step of a run.
type Schedules struct {
	stepsPerEpoch   int
	lr, weightDecay optim.Schedule // per step
	momentum        optim.Schedule // per step
	temp, patchTemp optim.Schedule // per epoch
	freezeEpochs    int
}

// NewSchedules lays the schedules of c over epochs of the given number of steps, each of batch images on
// all devices together: the learning rate is scaled by batch/256.
func NewSchedules(c Config, stepsPerEpoch, batch int) Schedules {
	lr := c.LR * float64(batch) / 256
	return Schedules{
		stepsPerEpoch: stepsPerEpoch,
		lr:            optim.CosineSchedule(lr, c.MinLR, c.Epochs, stepsPerEpoch, c.WarmupEpochs, 0),
		weightDecay:   optim.CosineSchedule(c.WeightDecay, c.WeightDecayEnd, c.Epochs, stepsPerEpoch, 0, 0),
		momentum:      optim.CosineSchedule(c.MomentumTeacher, 1, c.Epochs, stepsPerEpoch, 0, 0),
		temp:          optim.TemperatureSchedule(c.WarmupTeacherTemp, c.TeacherTemp, c.WarmupTeacherTempEpochs, c.Epochs, 0),
		patchTemp: optim.TemperatureSchedule(c.WarmupTeacherPatchTemp, c.TeacherPatchTemp,
			c.WarmupTeacherTempEpochs, c.Epochs, c.PredStartEpoch),
		freezeEpochs: c.FreezeLastLayer,
	}
}

// Steps is the number of steps of the whole run.
func (s Schedules) Steps() int { return s.lr.Len() }

// At returns the rates of a step, counted from 0 at the start of the run.
func (s Schedules) At(step int) Rates {
	epoch := step / s.stepsPerEpoch
	return Rates{
		Rates:    optim.Rates{LR: s.lr.At(step), WeightDecay: s.weightDecay.At(step)},
		Momentum: s.momentum.At(step),
		Temps:    method.Temps{Cls: s.temp.At(epoch), Patch: s.patchTemp.At(epoch)},
		Freeze:   epoch < s.freezeEpochs,
	}
}
