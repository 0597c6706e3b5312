package eval

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"ibot/data"
	"ibot/imaging"
	"ibot/internal/progress"
	"ibot/torch"
)

// DAVIS2017 is the set of the published numbers of video object segmentation.
const DAVIS2017 = "DAVIS-2017 val"

func init() {
	Register(Kind{
		Name:  "davis",
		Short: "follow objects through videos from their first masks",
		Long: "Propagates the masks of the first frame through a video by the similarity of\n" +
			"frozen patch features (DAVIS-2017, semi-supervised), and scores the masks by\n" +
			"region J, boundary F and their mean, as the public scorer does, where later\n" +
			"frames have masks too. With --out the masks are written as PNG.",
		Example: "  ibot eval davis --ckpt checkpoint.pth --data DAVIS --out masks\n" +
			"  ibot eval davis --ckpt runs/photos --data my_videos --short_side 240 --json",
		Data: "videos: a folder with JPEGImages/VIDEO/*.jpg and Annotations/VIDEO/*.png, or the same with 480p between, as DAVIS has",
		New: func() Protocol {
			published := DefaultPropagation()
			return &davisProtocol{
				ShortSide: 480, Frames: published.Frames, Radius: published.Radius, TopK: published.TopK,
				Temperature: published.Temperature,
			}
		},
		Published: []Published{ // Zhou et al. (2022), Table 12
			{DAVIS2017, "vit_small/16", "J&F", 61.8},
			{DAVIS2017, "vit_small/16", "J", 60.4},
			{DAVIS2017, "vit_small/16", "F", 63.2},
		},
	})
}

// davisProtocol is video object segmentation by label propagation; see [Propagation].
type davisProtocol struct {
	Out         string  `name:"out" alias:"output_dir" group:"Propagation" arg:"DIR" help:"write the masks here, as VIDEO/FRAME.png; empty: nowhere"`
	List        string  `name:"list" arg:"FILE" help:"names of the videos; empty: ImageSets/2017/val.txt where there is one, else all"`
	ShortSide   int     `name:"short_side" range:"[16,4096]" help:"pixels of a frame's shorter side; the longer one is cut to a multiple of 64"`
	Frames      int     `name:"n_last_frames" range:"[0,1000]" help:"frames before, beside the first, that labels come from"`
	Radius      int     `name:"size_mask_neighborhood" range:"[0,10000]" help:"patches away that labels may come from; 0: any"`
	TopK        int     `name:"topk" range:"[1,10000]" help:"patches that labels come from"`
	Temperature float64 `name:"temperature" arg:"T" range:"(0,)" help:"a patch counts with exp(similarity/T)"`

	videos []video
}

func (p *davisProtocol) Check() error {
	if 2/p.Temperature > 80 { // exp of it must be a float32
		return badSetting("temperature", "want %g or more, found %v: exp(1/T) is too large for a number", 2./80, p.Temperature)
	}
	return nil
}

func (p *davisProtocol) Open(dir string, _ data.Options) (err error) {
	if p.videos, err = openVideos(dir, p.List); err != nil || p.Out == "" {
		return err
	}
	for _, v := range p.videos {
		truth, err := os.Stat(filepath.Dir(v.masks[0]))
		if err != nil {
			return fmt.Errorf("eval: %w", err)
		}
		if target, err := os.Stat(filepath.Join(p.Out, v.name)); err == nil && os.SameFile(truth, target) {
			return badSetting("out", "%s holds the true masks of %s, which would be overwritten; name another folder", p.Out, v.name)
		}
	}
	return nil
}

// DavisReport is the report of the protocol davis. Scores are in percent, and absent where no frame
// but the first has a mask.
type DavisReport struct {
	Frames   int            `json:"frames"`
	Objects  int            `json:"objects"` // that were scored
	JF       *float64       `json:"j_and_f"` // mean of J and F
	J        *OverVideos    `json:"j"`
	F        *OverVideos    `json:"f"`
	Videos   []VideoScores  `json:"videos"`
	Settings map[string]any `json:"settings"`
	Out      string         `json:"out"`
	Notes    []string       `json:"notes"`

	set string
}

// OverVideos are means over all objects of all videos; see [metrics.OverTime].
type OverVideos struct {
	Mean   float64 `json:"mean"`
	Recall float64 `json:"recall"`
	Decay  float64 `json:"decay"`
}

// VideoScores are those of one video: the means of its objects.
type VideoScores struct {
	Name    string        `json:"name"`
	Frames  int           `json:"frames"`
	Scored  int           `json:"scored_frames"`
	Objects []ObjectScore `json:"objects"`
}

// ObjectScore is the mean over the frames of one object's video.
type ObjectScore struct {
	Object int     `json:"object"` // its number in the masks
	J      float64 `json:"j"`
	F      float64 `json:"f"`
}

func (p *davisProtocol) Run(ctx context.Context, r *Run) (Report, error) {
	report := &DavisReport{
		Out: p.Out, Notes: []string{}, set: p.setName(),
		Settings: map[string]any{
			"short_side": p.ShortSide, "n_last_frames": p.Frames, "size_mask_neighborhood": p.Radius, "topk": p.TopK,
			"temperature": p.Temperature, "precision": ExtractOptions{Precision: r.Precision}.numbers().Precision,
		},
	}
	frames := 0
	for _, v := range p.videos {
		frames += len(v.frames)
	}
	var sum davisSum
	for i := range p.videos {
		v := &p.videos[i]
		r.Bar.Start(progress.Task{
			Label: fmt.Sprintf("%s (%d of %d)", v.name, i+1, len(p.videos)), Unit: "frame",
			Total: len(v.frames), After: frames - report.Frames - len(v.frames),
		})
		scores, err := p.follow(ctx, r, v, &sum)
		if err != nil {
			return nil, fmt.Errorf("%w (in video %s)", err, v.name)
		}
		report.Videos = append(report.Videos, scores)
		report.Frames += len(v.frames)
		if scores.Scored == 0 {
			report.Notes = append(report.Notes, fmt.Sprintf("%s is not scored: between its first mask and its last no frame has one", v.name))
		}
	}
	sum.into(report)
	return report, nil
}

// setName recognises the validation videos of DAVIS-2017, at their published settings.
func (p *davisProtocol) setName() string {
	has := func(name string, frames int) bool {
		return slices.ContainsFunc(p.videos, func(v video) bool { return v.name == name && len(v.annotated()) == frames })
	}
	published := DefaultPropagation()
	same := p.ShortSide == 480 && Propagation{p.Frames, p.Radius, p.TopK, p.Temperature} == published
	if same && len(p.videos) == 30 && has("bike-packing", 69) && has("soapbox", 99) {
		return DAVIS2017
	}
	return ""
}

// follow propagates the objects of a video, writes the masks, and scores them.
func (p *davisProtocol) follow(ctx context.Context, r *Run, v *video, sum *davisSum) (VideoScores, error) {
	first, white, err := v.firstMask()
	if err != nil {
		return VideoScores{}, err
	}
	s := newVideoScorer(v, first, white)
	if err := p.write(v, 0, first); err != nil {
		return VideoScores{}, err
	}
	var track *tracker
	defer func() {
		if track != nil {
			track.close()
		}
	}()
	for i, path := range v.frames {
		if err := ctx.Err(); err != nil {
			return VideoScores{}, err
		}
		im, err := imaging.DecodeFileWith(path, r.Net.Config.Sets().Decode)
		if err != nil {
			return VideoScores{}, fmt.Errorf("eval: %w", err)
		}
		if im.W != first.W || im.H != first.H {
			return VideoScores{}, fmt.Errorf("eval: %s is %d x %d pixels, but the mask of the first frame %d x %d; give the frames of a video one size",
				path, im.W, im.H, first.W, first.H)
		}
		var found *imaging.Indexed
		err = torch.Run(func() (err error) {
			torch.NoGrad(func() { found, err = p.step(r, &track, im, first) })
			return err
		})
		if err != nil {
			return VideoScores{}, err
		}
		if i > 0 {
			if err := p.write(v, i, found); err != nil {
				return VideoScores{}, err
			}
			if err := s.score(i, found); err != nil {
				return VideoScores{}, err
			}
		}
		r.Bar.Set(i+1, "")
	}
	return s.done(sum), nil
}

// step finds the objects in the next frame; of the first frame, whose mask is known, it is nil.
func (p *davisProtocol) step(r *Run, track **tracker, im *imaging.Image, first *imaging.Indexed) (*imaging.Indexed, error) {
	patch := r.Net.Config.PatchSize
	H, W, err := p.frameSize(im.W, im.H, patch)
	if err != nil {
		return nil, err
	}
	h, w := r.Net.Backbone.Grid(H, W)
	if h*patch != H || w*patch != W {
		return nil, fmt.Errorf("eval: %s gives %d x %d tokens for a frame of %d x %d pixels; labels are propagated between patches, so use a vision transformer",
			r.Net.Config.Arch, h, w, H, W)
	}
	features, err := p.features(r, im.ResizeOpenCV(W, H))
	if err != nil {
		return nil, err
	}
	if *track == nil {
		small := first.Resize(w, h)
		labels := make([]int64, len(small.Pix))
		for i, object := range small.Pix {
			labels[i] = int64(object)
		}
		oneHot := torch.New(labels, len(labels)).OneHot(int(slices.Max(first.Pix)) + 1).To(torch.Float32).ToDevice(r.Device)
		*track = newTracker(Propagation{p.Frames, p.Radius, p.TopK, p.Temperature}, h, w, features, oneHot)
		return nil, nil
	}
	large := &imaging.Indexed{W: W, H: H, Pix: objects((*track).next(features), h, w, patch), Palette: first.Palette}
	return large.Resize(im.W, im.H), nil
}

// frameSize is the size at which the network sees a frame: the shorter side ShortSide, the longer
// one in proportion and cut to a multiple of 64; both cut to whole patches.
func (p *davisProtocol) frameSize(w, h, patch int) (H, W int, err error) {
	long := func(long, short int) int { return p.ShortSide * long / short / 64 * 64 / patch * patch }
	short := p.ShortSide / patch * patch
	if H, W = short, long(w, h); h > w {
		H, W = long(h, w), short
	}
	switch {
	case min(H, W) < patch:
		return 0, 0, badSetting("short_side", "frames of %d x %d pixels become %d x %d, without a whole patch of %d pixels; want more, such as 480",
			w, h, W, H, patch)
	case max(H, W) > 16*p.ShortSide:
		return 0, 0, fmt.Errorf("eval: a frame of %d x %d pixels is no video's", w, h)
	}
	return H, W, nil
}

// features are the normed patch tokens of the last block, (N, D).
func (p *davisProtocol) features(r *Run, im *imaging.Image) (features *torch.Tensor, err error) {
	mean, std := r.Net.Config.Normalisation()
	if std[0] == 0.229 {
		std = append([]float32{0.228}, std[1:]...) // as the reference's script for video, by a slip
	}
	pixels := make([]float32, len(im.Pix))
	im.ToCHW(pixels, mean, std)
	embed := Choice{Feature: "patches", LastBlocks: 1}.embedder(r.Net.Backbone, ExtractOptions{Device: r.Device, Precision: r.Precision})
	return torch.Tidy(func() *torch.Tensor {
		x := torch.New(pixels, 1, im.C, im.H, im.W).ToDevice(r.Device)
		var patches *torch.Tensor // (1, N, D)
		if patches, err = embed(x); err != nil {
			return nil
		}
		return patches.Select(0, 0)
	}), err
}

// write stores the mask of a frame under Out.
func (p *davisProtocol) write(v *video, frame int, mask *imaging.Indexed) error {
	if p.Out == "" {
		return nil
	}
	dir := filepath.Join(p.Out, v.name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("eval: cannot write masks: %w", err)
	}
	name := filepath.Base(v.frames[frame])
	return mask.Write(filepath.Join(dir, strings.TrimSuffix(name, filepath.Ext(name))+".png"))
}

// Scores are J&F, J and F; none where nothing could be scored.
func (r *DavisReport) Scores() []Score {
	if r.JF == nil {
		return nil
	}
	return []Score{{"J&F", Trained, *r.JF, r.set}, {"J", Trained, r.J.Mean, r.set}, {"F", Trained, r.F.Mean, r.set}}
}

// Write prints the report for people.
func (r *DavisReport) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d videos, %d frames\n\n", len(r.Videos), r.Frames)
	if r.JF != nil {
		fmt.Fprint(w, "\tobjects\tJ&F\tJ\tF\t\n")
		for _, v := range r.Videos {
			var j, f float64
			for _, o := range v.Objects {
				j, f = j+o.J/float64(len(v.Objects)), f+o.F/float64(len(v.Objects))
			}
			if v.Scored > 0 {
				fmt.Fprintf(w, "%s\t%d\t%.1f\t%.1f\t%.1f\t\n", v.Name, len(v.Objects), (j+f)/2, j, f)
			}
		}
		fmt.Fprintf(w, "all objects\t%d\t%.1f\t%.1f\t%.1f\t\n", r.Objects, *r.JF, r.J.Mean, r.F.Mean)
		fmt.Fprintf(w, "recall\t\t\t%.1f\t%.1f\t\ndecay\t\t\t%.1f\t%.1f\t\n", r.J.Recall, r.F.Recall, r.J.Decay, r.F.Decay)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Out != "" {
		fmt.Fprintf(out, "masks are in %s\n", r.Out)
	}
	return writeRemarks(out, r.Notes, nil)
}
