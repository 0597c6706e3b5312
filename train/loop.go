package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"ibot/data"
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
		if r.epochEnded() {
			err = r.endEpoch(ctx)
		} else if every := r.Config.CkptEvery; every > 0 && r.state.Step%every == 0 && !r.suspect() {
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
		if err := r.summary().write(r.folder.path(summaryFile)); err != nil { // pictures speak of it
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
	if r.state.Step >= r.last() && !r.epochEnded() {
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
	if r.epochEnded() {
		return r.endEpoch(ctx)
	}
	r.showEpoch()
	return nil
}

// interrupted saves where the run is, if the cause lies outside of it: ctx was cancelled, or too many images cannot
// be read. It returns the cause.
func (r *run) interrupted(cause error) error {
	var unreadable *data.TooManyBad
	outside := errors.Is(cause, context.Canceled) || errors.As(cause, &unreadable)
	if !outside {
		return cause
	}
	if r.state.Step != r.saved {
		if err := r.finish(0); err != nil {
			return err
		}
		if err := r.save(); err != nil {
			return err
		}
	}
	switch {
	case r.state.Step == 0:
	case unreadable != nil:
		r.Log.Info("saved; when the images are in order, the same command goes on from here", "step", r.state.Step, "of", r.last())
	default:
		r.Log.Info("interrupted; the same command goes on from here", "step", r.state.Step, "of", r.last())
	}
	return cause
}

// startedStep is a step of the run that was started, with what is needed to record it.
type startedStep struct {
	*Started
	step, epoch int
	labels      []int // (B)
	rates       Rates
	failed      error // why it was not started
}

// step starts a step and finishes those before it: on a GPU one is left under way, so that the next can be queued behind
// it and the device never waits. Where something is due that must see the end of all steps, none is left.
func (r *run) step(b *hostBatch) error {
	s := &startedStep{step: b.step, epoch: b.epoch, labels: slices.Clone(b.labels), rates: r.schedules.At(b.step)}
	s.failed = torch.Run(func() (err error) {
		s.Started, err = r.stepper.Start(hostImages{r.input, b, r.stepper.Device}, s.rates, r.Config.seed().Stream("device", b.step, 0))
		return err
	})
	r.state.Step = b.step + 1
	r.underWay = append(r.underWay, s)
	left := 0
	if s.failed == nil && s.Late() && !r.due() {
		left = 1
	}
	return r.finish(left)
}

// due reports whether a checkpoint or the end of an epoch or of the run follows the step that was started last.
func (r *run) due() bool {
	every := r.Config.CkptEvery
	return r.epochEnded() || every > 0 && r.state.Step%every == 0 || r.state.Step >= r.last()
}

// finish waits for the steps under way, but for so many, and records them.
func (r *run) finish(left int) error {
	for len(r.underWay) > left {
		s := r.underWay[0]
		r.underWay = r.underWay[1:]
		if err := r.finishStep(s); err != nil {
			return err
		}
	}
	return nil
}

// finishStep records a step, or that it was skipped where the numbers are not finite.
func (r *run) finishStep(s *startedStep) error {
	var res Result
	err := s.failed
	if err == nil {
		err = torch.Run(func() (err error) {
			res, err = s.Wait()
			return err
		})
	}
	var bad *NonFinite
	var overflow *Overflow
	switch {
	case errors.As(err, &bad):
		return r.skipped(s, bad)
	case errors.As(err, &overflow):
		r.state.Skipped++
		r.Log.Info("step skipped", "step", s.step, "because", overflow, "loss scale", overflow.From, "now", overflow.To)
		return r.records.write("skipped", s.step+1, s.epoch, nil, map[string]string{"reason": overflow.Error()})
	case errors.Is(err, torch.ErrOutOfMemory):
		return fmt.Errorf("train: step %d: %w; use --recompute true, --head_chunk 256 or --precision bf16, or lower --batch_size_per_gpu, --local_crops_number or --out_dim", s.step, err)
	case err != nil:
		return fmt.Errorf("train: step %d: %w", s.step, err)
	}
	r.state.SkippedInARow = 0
	values := res.values(s.rates)
	r.state.Meters.add(values, res.Clusters, s.labels)
	r.Bar.Set(r.imagesOfEpoch(), fmt.Sprintf("loss %.3f", res.Loss))
	if (s.step+1)%r.Config.LogEvery == 0 {
		return r.records.write("step", s.step+1, s.epoch, r.timed(values), nil)
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
func (r *run) skipped(s *startedStep, bad *NonFinite) error {
	r.state.Skipped++
	r.state.SkippedInARow++
	images := r.sampler.Batch(s.step)
	r.Log.Warn("step skipped", "step", s.step, "because", bad.What, "first image", r.Images.Name(images[0]))
	if err := r.records.write("skipped", s.step+1, s.epoch, nil, map[string]string{"reason": bad.What, "first_image": r.Images.Name(images[0])}); err != nil {
		return err
	}
	if r.state.SkippedInARow < maxSkippedInARow {
		return nil
	}
	good := "there is no checkpoint yet"
	if r.saved > 0 {
		good = fmt.Sprintf("the latest good checkpoint is of step %d (%s)", r.saved, LatestCheckpoint(r.folder.Dir))
	}
	return fmt.Errorf("train: %d steps in a row were not finite, the last because %s; %s; "+
		"try a lower --lr, a longer --warmup_epochs, --clip_grad 0.3 or --precision fp32", maxSkippedInARow, bad.What, good)
}

// suspect reports whether the weights may be broken, for no step was finite since they were made. While the run
// may yet stop for that, the latest checkpoint stays the one from before.
func (r *run) suspect() bool { return r.state.SkippedInARow > 0 && r.state.Step < r.last() }

// epochEnded reports whether all steps of the epoch under way are made: what is left of it is [run.endEpoch].
func (r *run) epochEnded() bool { return r.state.Step == (r.state.Epoch+1)*r.state.StepsPerEpoch }

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

// endEpoch scores the teacher, writes the records of the epoch, saves and draws the pictures.
func (r *run) endEpoch(ctx context.Context) error {
	r.Bar.Finish()
	epoch := r.state.Epoch
	means, err := r.state.Meters.means()
	if err != nil {
		return err
	}
	scores, err := r.evaluate(ctx, epoch)
	if err != nil {
		return err
	}
	maps.Copy(means, scores)
	if err := r.records.write("epoch", r.state.Step, epoch, means, nil); err != nil {
		return err
	}
	if err := r.records.writeLog(epoch, means); err != nil {
		return err
	}
	r.state.Epoch, r.state.Meters, r.state.LastEpoch = epoch+1, meters{}, finiteOnly(means)
	if !r.suspect() {
		if err := r.save(r.keepsakes(scores)...); err != nil {
			return err
		}
	}
	r.Log.Info(fmt.Sprintf("epoch %d/%d", epoch+1, r.Config.Epochs), r.headline()...)
	when := AfterEpoch
	if r.state.Step >= r.last() {
		when = AtEnd
	}
	if err := r.summary().write(r.folder.path(summaryFile)); err != nil { // pictures speak of it
		return err
	}
	if err := r.draw(when); err != nil {
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

// keepsakes names the files under which the checkpoint of the epoch that has ended stays when a later one becomes the
// latest: the best by its k-NN score, which it notes, and every saveckp_freq-th, numbered from 0 as in the reference.
func (r *run) keepsakes(scores map[string]float64) (names []string) {
	if knn, ok := scores["knn"]; ok && (r.state.BestEpoch == 0 || knn > r.state.BestKNN) {
		r.state.BestKNN, r.state.BestEpoch = knn, r.state.Epoch
		names = append(names, bestFile)
	}
	epoch := r.state.Epoch - 1
	if f := r.Config.SaveCkptFreq; f > 0 && epoch%f == 0 && epoch > 0 {
		names = append(names, fmt.Sprintf("epoch_%04d.safetensors", epoch))
	}
	return names
}

// headline is what the log says of an epoch.
func (r *run) headline() []any {
	var out []any
	for _, name := range []string{"loss", "cls", "patch", "acc", "nmi", "knn"} {
		if v, ok := r.state.LastEpoch[name]; ok {
			out = append(out, name, fmt.Sprintf("%.4g", v))
		}
	}
	return out
}

// save writes a checkpoint under the names of its keepsakes and, last of all, as the latest: a run that is killed in
// between goes on from the one before, and comes to write them again.
func (r *run) save(keepsakes ...string) error {
	state := r.state
	state.Seconds += time.Since(r.began).Seconds()
	names := append(keepsakes, latestFile)
	first := r.folder.path(ckptDir, names[0])
	err := r.stepper.save(first, r.Config, state)
	for _, name := range names[1:] {
		if err == nil {
			err = linkOrCopy(first, r.folder.path(ckptDir, name))
		}
	}
	if err != nil {
		return fmt.Errorf("train: cannot write the checkpoint of step %d: %w; the latest good one is of step %d, and the same command goes on from there",
			r.state.Step, err, r.saved)
	}
	r.saved = r.state.Step
	return nil
}
