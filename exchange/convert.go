package exchange

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ibot/backbone"
	"ibot/ckpt"
	"ibot/internal/nearest"
	"ibot/nn"
	"ibot/torch"
	"ibot/train"
)

// Options say what to convert, and into what.
type Options struct {
	In, Out  string // a checkpoint, run or Hugging Face folder; the file or folder to write
	To       string // one of Formats
	Net      string // "teacher" or "student", where In has both
	Force    bool   // replace what stands at Out
	ImgSize  int    // side of the images in pixels, to which the positions are resampled; 0: the file's
	NumHeads int    // attention heads; 0: what the file says, else one for every 64 values
	Dynamic  bool   // ONNX: take images of any size

	Missing, Extra backbone.Patterns // names that may be in the network or in the file alone

	WrittenBy string // the program and its version, for the metadata
	Log       *slog.Logger
}

// Result says what was written.
type Result struct {
	In      string   `json:"in"`
	Out     string   `json:"out"`
	To      string   `json:"to"`
	Arrays  int      `json:"arrays"`
	Bytes   int64    `json:"bytes"`
	Proof   Proof    `json:"proof"`
	LoadBy  string   `json:"load_by,omitempty"` // a line of Python that opens it
	Notes   []string `json:"notes"`
	weights *backbone.Weights
}

// format is a way to write a network. Those that hold a whole checkpoint and not only one network are
// containers.
type format struct {
	help      string
	container bool
	// write puts the network at path, with about among the metadata.
	write func(path string, s *source, about map[string]string) error
	// open makes the network of the file at path again, to be run on images (B, C, H, W) for tokens (B, 1+N, D).
	open func(path string, s *source) (forward, error)
	// loadBy is the line of Python that opens it.
	loadBy func(path string, s *source) string
}

// forward maps images (B, C, H, W) to normed tokens (B, 1+N, D). It is called inside of a scope.
type forward func(x *torch.Tensor) *torch.Tensor

var formats = map[string]*format{}

func register(name string, f *format) { formats[name] = f }

// Formats lists the names of the formats that are written.
func Formats() []string {
	var names []string
	for name := range formats {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// source is what is converted.
type source struct {
	Options
	file    *ckpt.Checkpoint
	weights *backbone.Weights
	path    *nn.Path
	net     *backbone.ViT    // nil in a container that holds no vision transformer
	arrays  *ckpt.Checkpoint // the network's parameters, in its order
}

// Convert writes the checkpoint at o.In in another format, proves the result, and puts it in place.
// Anything that fails leaves what stood at o.Out.
func Convert(ctx context.Context, o Options) (*Result, error) {
	f, ok := formats[o.To]
	if !ok {
		hint := ""
		if near, ok := nearest.Word(o.To, Formats()); ok {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return nil, fmt.Errorf("exchange: unknown format %q%s (known: %s)", o.To, hint, strings.Join(Formats(), ", "))
	}
	if err := free(o); err != nil {
		return nil, err
	}
	s := &source{Options: o}
	defer s.close()
	if err := s.open(f.container); err != nil {
		return nil, err
	}
	r := &Result{In: s.file.Path, Out: o.Out, To: o.To, Notes: []string{}, weights: s.weights}
	if s.weights != nil {
		r.Notes = append(r.Notes, s.weights.Notes...)
		for _, note := range s.weights.Notes {
			o.Log.Info(note)
		}
	}
	if err := s.writeProved(ctx, f, r); err != nil {
		return nil, err
	}
	if f.loadBy != nil {
		r.LoadBy = f.loadBy(o.Out, s)
	}
	return r, nil
}

// free reports what stands in the way of writing.
func free(o Options) error {
	if o.Out == "" {
		return errors.New("exchange: no name for what is to be written")
	}
	if a, err := filepath.Abs(o.In); err == nil {
		if b, err := filepath.Abs(o.Out); err == nil && a == b {
			return fmt.Errorf("exchange: %s would replace itself; name another file", o.In)
		}
	}
	if err := named(o); err != nil {
		return err
	}
	_, err := os.Stat(o.Out)
	switch {
	case err == nil && !o.Force:
		return fmt.Errorf("exchange: %s is there already; name another, or replace it with --force: %w", o.Out, fs.ErrExist)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("exchange: %w", err)
	}
	return errors.Join(o.Missing.Check(), o.Extra.Check())
}

// named reports a name to write that does not go with the format.
func named(o Options) error {
	endings := map[string][]string{
		"safetensors": {".safetensors"}, "onnx": {".onnx"}, "reference": {".pth", ".pt"}, "backbone": {".pth", ".pt"},
		"timm": {".safetensors", ".pth", ".pt", ".bin"},
	}[o.To]
	if len(endings) == 0 || slices.Contains(endings, filepath.Ext(o.Out)) {
		return nil
	}
	return fmt.Errorf("exchange: %s: want a name for %s that ends in %s", o.Out, o.To, strings.Join(endings, " or "))
}

// open reads the checkpoint and builds its network.
func (s *source) open(container bool) (err error) {
	if s.file, err = train.OpenCheckpoint(s.In); err != nil {
		return err
	}
	if s.weights, err = train.ReadWeights(s.file, s.Net); err != nil {
		if container {
			s.weights = nil // there is nothing to run; the bits are compared in any case
			return nil
		}
		if train.IsSwin(s.file, s.Net) {
			return fmt.Errorf("exchange: %s holds a Swin, and %s is for vision transformers here; convert it --to safetensors or reference", s.file.Path, s.To)
		}
		return err
	}
	if c := &s.weights.Config; s.NumHeads > 0 {
		c.NumHeads = s.NumHeads
	} else if s.weights.GuessedHeads {
		s.weights.Notes = append(s.weights.Notes,
			fmt.Sprintf("the file does not say how many attention heads it has: taken as %d, for a width of %d (--num_heads)", c.NumHeads, c.EmbedDim))
	}
	if s.ImgSize > 0 {
		if container {
			return fmt.Errorf("exchange: %s keeps the file as it is; --img_size goes with formats of one network", s.To)
		}
		if err := s.weights.Resample(s.ImgSize); err != nil {
			return err
		}
	}
	extra := s.Extra
	if container {
		extra = append(slices.Clone(extra), "*") // all of it is kept
	}
	s.path = nn.NewPath(0, torch.CPU)
	err = torch.Run(func() (err error) {
		s.net, err = s.weights.Build(s.path, s.Missing, extra)
		return err
	})
	if err != nil {
		return err
	}
	return s.gather()
}

// gather collects the parameters: the file's own bits, and initial values of those that it has not.
func (s *source) gather() error {
	s.arrays = ckpt.New()
	for _, p := range s.path.State() {
		var err error
		if spec, specErr := s.weights.Arrays.Spec(p.Name); specErr == nil {
			err = s.arrays.AddFunc(p.Name, spec.DType, spec.Shape, func() ([]byte, error) {
				a, err := s.weights.Arrays.Array(p.Name)
				return a.Data, err
			})
		} else {
			err = s.arrays.AddFunc(p.Name, ckpt.Float32, p.Shape(), func() ([]byte, error) { return p.Bytes(), nil })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *source) close() {
	if s.path != nil {
		s.path.Free()
	}
	if s.file != nil {
		s.file.Close()
	}
}

// writeProved writes to a name beside Out, proves what stands there, writes it again with the proof
// among its metadata, and renames it.
func (s *source) writeProved(ctx context.Context, f *format, r *Result) error {
	staging, err := os.MkdirTemp(filepath.Dir(s.Out), ".convert-")
	if err != nil {
		return fmt.Errorf("exchange: %w; make the folder first", err)
	}
	defer os.RemoveAll(staging)
	path := filepath.Join(staging, filepath.Base(s.Out))
	about := map[string]string{"written_by": s.WrittenBy, "converted_from": filepath.Base(s.file.Path)}
	if s.net != nil {
		about[backbone.HeadsKey] = strconv.Itoa(s.net.Config.NumHeads)
		if !f.container {
			about["net"] = s.Net
		}
	}
	if err := f.write(path, s, about); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.Proof, err = s.prove(path, f); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	about["proof"] = r.Proof.String()
	if err := f.write(path, s, about); err != nil {
		return err
	}
	again, err := ckpt.Open(path)
	if err != nil {
		return fmt.Errorf("exchange: what was written cannot be opened: %w", err)
	}
	r.Arrays = again.Len()
	for _, spec := range again.Specs() {
		r.Bytes += spec.Bytes
	}
	again.Close()
	return place(path, s.Out)
}

// place moves what was written to its name: a file over a file, and the files of a folder into the
// folder that may be there, where other files stay.
func place(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	there, err := os.Stat(to)
	if err == nil && there.IsDir() != info.IsDir() {
		return fmt.Errorf("exchange: %s is there, and one of the two is a folder; name another", to)
	}
	if err != nil || !info.IsDir() {
		if err := os.Rename(from, to); err != nil {
			return fmt.Errorf("exchange: %w", err)
		}
		return nil
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return fmt.Errorf("exchange: %w", err)
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return fmt.Errorf("exchange: %w", err)
		}
	}
	return nil
}
