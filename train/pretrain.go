package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"ibot/ckpt"
	"ibot/data"
	"ibot/internal/progress"
	"ibot/method"
	"ibot/torch"
)

// Evaluate scores the teacher: {"knn": 71.2} and the like, in percent.
type Evaluate func(ctx context.Context, teacher *method.Net) (map[string]float64, error)

// When is the moment of a call.
type When int

// The moments at which pictures are drawn.
const (
	AtStart When = iota
	AfterEpoch
	AtEnd
)

// Options are what a pre-training run is given. Config must be resolved.
type Options struct {
	Config   Config
	Images   data.Dataset
	Baseline Evaluate // once, before the first step; nil: none
	Evaluate Evaluate // every knn_every epochs; nil: none
	// Pictures draws what the records and the teacher say into the run's folder; nil: nothing. It is called before the
	// first step, after every epoch and at the end.
	Pictures func(run string, teacher *method.Net, when When) error
	About    []string // comments at the head of config.yaml: versions, machine
	Log      *slog.Logger
	Bar      *progress.Bar
}

// Run is a pre-training run under way.
type run struct {
	Options
	folder    *Folder
	records   *records
	stepper   *Stepper
	underWay  []*startedStep // steps that are not finished
	schedules Schedules
	sampler   *data.Sampler
	input     *input
	loader    *data.Loader[*hostBatch]
	state     progressState
	began     time.Time
	waited    time.Duration // for input, as of the last record
	recorded  time.Time
	saved     int // the step of the latest checkpoint
}

// Pretrain trains, from the start or from where the run in Config.Out was, until the last step or until
// ctx is done. Then it finishes the step, writes a checkpoint and returns the cause.
func Pretrain(ctx context.Context, o Options) (Summary, error) {
	r := &run{Options: o, began: time.Now(), recorded: time.Now()}
	if err := r.open(); err != nil {
		r.close()
		return Summary{}, err
	}
	defer r.close()
	err := r.train(ctx)
	r.Bar.Finish()
	summary := r.summary()
	if writeErr := summary.write(r.folder.path(summaryFile)); err == nil {
		err = writeErr
	}
	return summary, err
}

// open takes hold of the folder and builds all that the run needs.
func (r *run) open() (err error) {
	c := r.Config
	device, err := torch.ParseDevice(c.Device)
	if err != nil {
		return err
	}
	if r.folder, err = OpenFolder(c.Out); err != nil {
		return err
	}
	if err := r.choosePrecision(device); err != nil {
		return err
	}
	c = r.Config
	if err := r.openSampler(); err != nil {
		return err
	}
	model, err := method.NewModel(c.Model(), c.seed(), device)
	if err != nil {
		return err
	}
	if r.stepper, err = c.stepper(model, device); err != nil {
		model.Free()
		return err
	}
	r.stepper.Shrunk = func(from, to int) {
		r.Log.Warn("out of memory: the step is made again with smaller micro-batches", "images", from, "now", to)
	}
	if r.stepper.graphs != nil {
		r.stepper.graphs.note = func(why error) {
			r.Log.Warn("cuda_graphs: steps go on without graphs", "because", why)
		}
	}
	if err := r.fit(); err != nil {
		return err
	}
	r.schedules = NewSchedules(c, r.sampler.StepsPerEpoch(), c.BatchSize)
	if err := r.resume(); err != nil {
		return err
	}
	if c.Precision == "fp16" && r.state.Scaler == nil {
		r.state.Scaler = NewScaler()
	}
	r.stepper.Scaler = r.state.Scaler
	if err := r.folder.writeConfig(c, r.About); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if r.records, err = openRecords(r.folder, r.state); err != nil {
		return err
	}
	return r.openInput()
}

// openSampler decides which images make the batch of each step.
func (r *run) openSampler() (err error) {
	c := r.Config
	if r.sampler, err = data.NewSampler(c.seed(), r.Images.Len(), c.BatchSize, 0, 1); err != nil {
		return fmt.Errorf("%w; lower --batch_size_per_gpu", err)
	}
	if c.ShardBuffer == 0 {
		return nil
	}
	set, ok := r.Images.(data.Sharded)
	if !ok {
		return fmt.Errorf("train: shard_buffer %d is for sets of large files (tar shards, Parquet, zip); %s is none: leave the setting out", c.ShardBuffer, c.Data)
	}
	return r.sampler.ByShard(set.Shards(), c.ShardBuffer)
}

// openInput builds the way from files to batches.
func (r *run) openInput() (err error) {
	c := r.Config
	r.input = &input{
		seed: c.seed(), views: c.Views(), masks: c.Masks(), masked: c.UseMaskedIM, grid: r.grid(), chans: c.InChans,
		batch: c.BatchSize, images: r.Images, epoch: r.sampler.Epoch, drafts: c.augmentsOn(r.stepper.Device),
	}
	if r.input.bad, err = data.OpenBadImages(r.folder.path(badFile), r.Images); err != nil {
		return err
	}
	workers := c.Workers
	if workers == 0 {
		workers = runtime.NumCPU()
	}
	renderer := "workers"
	if r.input.drafts {
		renderer = r.stepper.Device.String()
	}
	r.Log.Info("views", "rendered by", renderer, "workers", workers)
	r.loader = &data.Loader[*hostBatch]{Workers: workers, Ahead: c.Prefetch, New: r.input.new, Begin: r.input.begin, Fill: r.input.fill}
	return nil
}

func (r *run) grid() int {
	h, _ := r.stepper.Model.Student.Backbone.Grid(r.Config.ImgSize, r.Config.ImgSize)
	return h
}

func (r *run) close() {
	if r.input != nil && r.input.bad != nil {
		r.input.bad.Close()
	}
	if r.records != nil {
		r.records.Close()
	}
	for _, s := range r.underWay { // the run has failed
		if s.failed == nil {
			s.Free()
		}
	}
	if r.stepper != nil {
		r.stepper.Free()
		r.stepper.Model.Free()
	}
	if r.folder != nil {
		r.folder.Close()
	}
}

// resume goes on from the checkpoint that the settings ask for, if there is one.
func (r *run) resume() error {
	r.state = progressState{StepsPerEpoch: r.sampler.StepsPerEpoch(), Images: r.Images.Len(), ShardBuffer: r.Config.ShardBuffer}
	path := r.Config.Resume
	switch path {
	case "never":
		old, err := r.folder.SetAside()
		if err == nil && old != "" {
			r.Log.Info("the earlier run in this folder was set aside", "in", filepath.Join(r.folder.Dir, old))
		}
		return err
	case "auto":
		path = LatestCheckpoint(r.folder.Dir)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	f, err := ckpt.Open(path)
	if err != nil {
		return fmt.Errorf("%w; to go on from another checkpoint use --resume FILE, to start anew --resume never", err)
	}
	defer f.Close()
	state, err := r.readState(f)
	if err != nil {
		return err
	}
	if err := r.stepper.Load(f); err != nil {
		if errors.Is(err, errArchitecture) {
			return fmt.Errorf("train: cannot go on from %s: %w; or name another folder with --out", path, err)
		}
		return err
	}
	if state.StepsPerEpoch != r.state.StepsPerEpoch || state.Images != r.state.Images || state.ShardBuffer != r.state.ShardBuffer {
		state.restartEpoch(r.state)
		r.Log.Warn("images, batch size or shard_buffer changed since the checkpoint: going on at the start of its epoch", "epoch", state.Epoch+1)
	}
	r.state, r.saved = state, state.Step
	r.Log.Info("going on", "from", path, "step", state.Step, "epoch", state.Epoch+1)
	return nil
}

// readState reads where the run of a checkpoint was. The reference saves at the end of epochs, and
// says nothing but the number of the next.
func (r *run) readState(f *ckpt.Checkpoint) (state progressState, err error) {
	if !isReference(f) {
		return readProgress(f)
	}
	state = r.state
	state.Epoch, err = referenceEpoch(f)
	state.Step = state.Epoch * state.StepsPerEpoch
	return state, err
}

// restartEpoch moves the state to the start of its epoch in a run of other steps, whose fresh state is given.
func (s *progressState) restartEpoch(fresh progressState) {
	s.StepsPerEpoch, s.Images, s.ShardBuffer = fresh.StepsPerEpoch, fresh.Images, fresh.ShardBuffer
	s.Step, s.Meters = s.Epoch*s.StepsPerEpoch, meters{}
}

// last is the step that the run ends before.
func (r *run) last() int {
	last := r.schedules.Steps()
	if r.Config.Steps > 0 {
		last = min(last, r.Config.Steps)
	}
	return last
}
