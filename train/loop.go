package train

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"ibot/internal/progress"
	"ibot/torch"
)

// maxSkippedInARow is after how many steps in a row that were not finite a run gives up.
const maxSkippedInARow = 3

// train is the whole run: for each batch a step, then what is due after it.
func (r *run) train(ctx context.Context) error {
	if err := r.begin(ctx); err != nil {
		return r.interrupted(err)
	}
	for batch, err := range r.loader.Run(ctx, r.state.Step, r.last(), r.sampler.Batch) {
		if err != nil {
			return r.interrupted(err)
		}
		if err := r.step(batch); err != nil {
			return err
		}
		if r.epochEnds() {
			err = r.endEpoch(ctx)
		} else if every := r.Config.CkptEvery; every > 0 && r.state.Step%every == 0 {
			err = r.save()
		}
		if err != nil {
			return r.interrupted(err)
		}
	}
	if r.saved < r.state.Step { // the last step was in the midst of an epoch
		if err := r.save(); err != nil {
			return err
		}
		return r.draw(AtEnd)
	}
	return nil
}

func (r *run) draw(when When) error {
	if r.Pictures == nil {
		return nil
	}
	return r.Pictures(r.folder.Dir, r.stepper.Model.Teacher, when)
}

// begin measures the baselines of a new run, and ends the epoch of one that was interrupted while it did so.
func (r *run) begin(ctx context.Context) error {
	if r.state.Step >= r.last() && r.state.Meters.Steps == 0 {
		r.Log.Info("this run has made all of its steps", "steps", r.state.Step)
		return nil
	}
	if r.state.Baselines == nil && r.Baseline != nil {
		scores, err := r.Baseline(ctx, r.stepper.Model.Teacher)
		if err != nil {
			return err
		}
		r.state.Baselines = scores
		if err := r.records.write("baseline", r.state.Step, r.state.Epoch, scores, nil); err != nil {
			return err
		}
	}
	if r.state.Step == 0 {
		if err := r.draw(AtStart); err != nil {
			return err
		}
	}
	if r.state.Meters.Steps > 0 && r.epochEnds() {
		return r.endEpoch(ctx)
	}
	r.showEpoch()
	return nil
}

// interrupted saves where the run is, if that is what ctx asked for, and returns the cause.
func (r *run) interrupted(err error) error {
	if !errors.Is(err, context.Canceled) || r.state.Step == r.saved {
		return err
	}
	if saveErr := r.save(); saveErr != nil {
		return saveErr
	}
	r.Log.Info("interrupted; the same command goes on from here", "step", r.state.Step, "of", r.last())
	return err
}

// step makes one step, or skips it where the numbers are not finite.
func (r *run) step(b *hostBatch) error {
	var res Result
	rates := r.schedules.At(b.step)
	err := torch.Run(func() (err error) {
		res, err = r.stepper.Step(r.input.tensors(b, r.stepper.Device), rates, r.Config.seed().Stream("device", b.step, 0))
		return err
	})
	r.state.Step = b.step + 1
	var bad *NonFinite
	switch {
	case errors.As(err, &bad):
		return r.skipped(b, bad)
	case errors.Is(err, torch.ErrOutOfMemory):
		return fmt.Errorf("train: step %d: %w; lower --batch_size_per_gpu, --local_crops_number or --out_dim, or use --precision bf16", b.step, err)
	case err != nil:
		return fmt.Errorf("train: step %d: %w", b.step, err)
	}
	r.state.SkippedInARow = 0
	values := res.values(rates)
	r.state.Meters.add(values, res.Clusters, b.labels)
	r.Bar.Set(r.imagesOfEpoch(), fmt.Sprintf("loss %.3f", res.Loss))
	if r.state.Step%r.Config.LogEvery == 0 {
		return r.records.write("step", r.state.Step, b.epoch, r.timed(values), nil)
	}
	return nil
}

// values lists what a step measured and ran with, under the names of metrics.jsonl.
func (res Result) values(rates Rates) map[string]float64 {
	return map[string]float64{
		"loss": res.Loss, "cls": res.Cls, "patch": res.Patch, "acc": res.Agreement, "entropy": res.Entropy,
		"grad_norm": res.GradNorm, "lr": rates.LR, "wd": rates.WeightDecay, "momentum": rates.Momentum,
		"temp": rates.Temps.Cls, "patch_temp": rates.Temps.Patch,
	}
}

// timed adds the images a second, and the seconds that each step waited for its batch, since the last record.
func (r *run) timed(values map[string]float64) map[string]float64 {
	now, waited := time.Now(), r.loader.Stats().Wait
	steps := float64(r.Config.LogEvery)
	values["img_s"] = steps * float64(r.Config.BatchSize) / now.Sub(r.recorded).Seconds()
	values["data_s"] = (waited - r.waited).Seconds() / steps
	r.recorded, r.waited = now, waited
	return values
}

// skipped notes a step that was not made; after too many in a row it ends the run.
func (r *run) skipped(b *hostBatch, bad *NonFinite) error {
	r.state.Skipped++
	r.state.SkippedInARow++
	images := r.sampler.Batch(b.step)
	r.Log.Warn("step skipped", "step", b.step, "because", bad.What, "first image", r.Images.Name(images[0]))
	if err := r.records.write("skipped", r.state.Step, b.epoch, nil, map[string]string{"reason": bad.What, "first_image": r.Images.Name(images[0])}); err != nil {
		return err
	}
	if r.state.SkippedInARow < maxSkippedInARow {
		return nil
	}
	return fmt.Errorf("train: %d steps in a row were not finite, the last because %s; the latest good checkpoint is of step %d (%s); "+
		"try a lower --lr, a longer --warmup_epochs, --clip_grad 0.3 or --precision fp32", maxSkippedInARow, bad.What, r.saved, LatestCheckpoint(r.folder.Dir))
}

func (r *run) epochEnds() bool { return r.state.Step%r.state.StepsPerEpoch == 0 }

func (r *run) imagesOfEpoch() int {
	return (r.state.Step - r.state.Epoch*r.state.StepsPerEpoch) * r.Config.BatchSize
}

// showEpoch begins the progress line of the epoch.
func (r *run) showEpoch() {
	B := r.Config.BatchSize
	end := min((r.state.Epoch+1)*r.state.StepsPerEpoch, r.last())
	r.Bar.Start(progress.Task{
		Label: fmt.Sprintf("Epoch %d/%d", r.state.Epoch+1, r.Config.Epochs), Unit: "img",
		Total: (end - r.state.Epoch*r.state.StepsPerEpoch) * B, Done: r.imagesOfEpoch(), After: max(0, r.last()-end) * B,
	})
}

// endEpoch scores the teacher, writes the records of the epoch, draws the pictures and saves.
func (r *run) endEpoch(ctx context.Context) (err error) {
	r.Bar.Finish()
	epoch, c := r.state.Step/r.state.StepsPerEpoch-1, r.Config
	if r.means, err = r.state.Meters.means(); err != nil {
		return err
	}
	if r.scores, err = r.evaluate(ctx, epoch); err != nil {
		return err
	}
	for name, score := range r.scores {
		r.means[name] = score
	}
	if err := r.records.write("epoch", r.state.Step, epoch, r.means, nil); err != nil {
		return err
	}
	if err := r.records.writeLog(epoch, r.means); err != nil {
		return err
	}
	r.state.Epoch, r.state.Meters = epoch+1, meters{}
	best := r.isBest()
	if err := r.save(); err != nil {
		return err
	}
	if best {
		if err := r.keep("best.safetensors"); err != nil {
			return err
		}
	}
	if f := c.SaveCkptFreq; f > 0 && epoch%f == 0 && epoch > 0 {
		if err := r.keep(fmt.Sprintf("epoch_%04d.safetensors", epoch)); err != nil {
			return err
		}
	}
	r.Log.Info(fmt.Sprintf("epoch %d/%d", epoch+1, c.Epochs), r.headline()...)
	when := AfterEpoch
	if r.state.Step >= r.last() {
		when = AtEnd
	}
	if err := r.draw(when); err != nil {
		return err
	}
	if err := r.summary().write(r.folder.path(summaryFile)); err != nil {
		return err
	}
	if r.state.Step < r.last() {
		r.showEpoch()
	}
	return nil
}

// evaluate scores the teacher after the epochs that are due, and after the last.
func (r *run) evaluate(ctx context.Context, epoch int) (map[string]float64, error) {
	every := r.Config.KNNEvery
	if r.Evaluate == nil || every == 0 || (epoch+1)%every != 0 && r.state.Step < r.last() {
		return nil, nil
	}
	return r.Evaluate(ctx, r.stepper.Model.Teacher)
}

// isBest notes whether the epoch's k-NN score is the best so far.
func (r *run) isBest() bool {
	knn, ok := r.scores["knn"]
	if !ok || r.state.BestEpoch > 0 && knn <= r.state.BestKNN {
		return false
	}
	r.state.BestKNN, r.state.BestEpoch = knn, r.state.Epoch
	return true
}

// headline is what the log says of an epoch.
func (r *run) headline() []any {
	var out []any
	for _, name := range []string{"loss", "cls", "patch", "acc", "nmi", "knn"} {
		if v, ok := r.means[name]; ok {
			out = append(out, name, fmt.Sprintf("%.4g", v))
		}
	}
	return out
}

// save writes the latest checkpoint.
func (r *run) save() error {
	state := r.state
	state.Seconds += time.Since(r.began).Seconds()
	path := LatestCheckpoint(r.folder.Dir)
	if err := r.stepper.save(path, r.Config, state); err != nil {
		return fmt.Errorf("train: cannot write the checkpoint of step %d: %w; the latest good one is of step %d, and the same command goes on from there",
			r.state.Step, err, r.saved)
	}
	r.saved = r.state.Step
	return nil
}

// keep gives the latest checkpoint a second name, under which it stays when a later one takes its place.
func (r *run) keep(name string) error {
	return linkOrCopy(LatestCheckpoint(r.folder.Dir), filepath.Join(r.folder.Dir, ckptDir, name))
}
