package eval

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"ibot/data"
	"ibot/imaging"
	"ibot/torch"
)

// Embedding says how images become the rows of a file.
type Embedding struct {
	Choice  Choice
	Options ExtractOptions // how images come to the network; AvgPool and LastBlocks do not count
	About   About          // of the network and the images; the rest is filled in
}

// Embedded says what was done.
type Embedded struct {
	About  About
	Images int  // rows of the file
	Bad    int  // images that could not be read, listed in BadList of the file
	Before int  // images that an earlier, interrupted call had done
	Ready  bool // the file was there already, with these very features
}

// PartialPath is the folder in which the features of a file grow.
func PartialPath(path string) string { return path + ".partial" }

// BadList is the file that lists the images which could not be read: a line of JSON each.
func BadList(path string) string { return path + ".bad.jsonl" }

// Embed computes the features of all images of ds and writes them to the file at path, whose ending
// says in which format (see [FormatOf]). Memory does not grow with the number of images.
//
// Images of any number that cannot be read are left out and listed, unless none can be. When ctx is
// done, or anything fails, what was computed stays in a folder beside the file, and the next call
// goes on from there. A file that holds other features is left alone.
func (r *Run) Embed(ctx context.Context, ds data.Dataset, path string, e Embedding) (*Embedded, error) {
	if err := e.Choice.Validate(); err != nil {
		return nil, err
	}
	format, err := FormatOf(path)
	if err != nil {
		return nil, err
	}
	if err := r.load(); err != nil {
		return nil, err
	}
	if e.About, err = r.about(ds, e); err != nil {
		return nil, err
	}
	done := &Embedded{About: e.About}
	was, err := format.about(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("eval: %s is there already and is no file of features: %w; remove it, or name another file", path, err)
	default:
		if why := was.difference(e.About); why != "" {
			return nil, &otherFeatures{path, why}
		}
		done.Ready = true
		return done, nil
	}
	g, err := grow(PartialPath(path), e.About)
	if err != nil {
		return nil, err
	}
	defer g.Close()
	done.Before = g.next
	o, patches := e.Options, e.Choice.Feature == "patches"
	o.anyBad = true
	err = o.grow(ctx, ds, g, e.Choice.embedder(r.Net.Backbone, o), func(record *Record, s *slot) {
		if patches {
			record.Rows, record.Cols = r.Net.Backbone.Grid(s.h, s.w)
		}
	})
	if err != nil {
		return nil, err
	}
	done.Images, done.Bad = ds.Len()-g.bad, g.bad
	if done.Images == 0 {
		return nil, fmt.Errorf("eval: none of %d images can be read; see %s", ds.Len(), g.lines.Name())
	}
	return done, g.finish(path, format, e.About)
}

// about is what a file of features says about them.
func (r *Run) about(ds data.Dataset, e Embedding) (a About, err error) {
	a = e.About
	if a.Weights, err = r.weights(Trained); err != nil {
		return a, err
	}
	a.Checkpoint, a.Images, a.Classes = r.Net.Source, ImagesDigest(ds), ds.Classes()
	a.Feature, a.LastBlocks, a.Scales = e.Choice.Feature, e.Choice.LastBlocks, e.Choice.Scales
	if e.Choice.pools() {
		a.Power = e.Choice.Power
	}
	a.Precision = e.Options.numbers().Precision
	a.setTransform(e.Options.Transform)
	return a, e.Options.Transform.Validate()
}

// grow embeds the images that g has not. describe adds to the record of each.
func (o ExtractOptions) grow(ctx context.Context, ds data.Dataset, g *growing, embed embedder, describe func(record *Record, s *slot)) error {
	return o.stream(ctx, ds, g.next, embed, func(b *batch, features []*torch.Tensor) error {
		var records []Record
		var numbers []float32
		for i := range b.slots {
			s, image := &b.slots[i], b.images[i]
			record := Record{Index: image, Name: ds.Name(image), Label: ds.Label(image)}
			if s.err != nil {
				record.Error = s.err.Error()
			} else {
				feature := features[i].Floats()
				record.Width, record.Height, record.Len = s.width, s.height, len(feature)
				describe(&record, s)
				numbers = append(numbers, feature...)
			}
			records = append(records, record)
		}
		if err := g.add(records, numbers); err != nil {
			return err
		}
		if o.Progress != nil {
			o.Progress(g.next)
		}
		return nil
	})
}

// EmbedImages computes the features of images that are in memory or few, as those of a file were made
// whose about is given: (n, D) in the order of images.
func (r *Run) EmbedImages(images []*imaging.Image, about About) ([]float32, error) {
	if err := r.load(); err != nil {
		return nil, err
	}
	digest, err := r.weights(Trained)
	if err != nil {
		return nil, err
	}
	if digest != about.Weights {
		return nil, fmt.Errorf("eval: the features were made by other weights, those of %s, than %s holds now; name that checkpoint, or embed the images anew", about.Checkpoint, r.Net.Source)
	}
	choice := Choice{Feature: about.Feature, LastBlocks: about.LastBlocks, Power: about.Power, Scales: about.Scales}
	o, t := ExtractOptions{Device: r.Device, Precision: r.Precision}, about.transform()
	embed := choice.embedder(r.Net.Backbone, o)
	var rows []float32
	for _, im := range images {
		if im.C != len(t.Mean) {
			return nil, fmt.Errorf("eval: an image of %d channels, but the network takes %d", im.C, len(t.Mean))
		}
		var s slot
		s.set(t.Pixels(im), t)
		err := torch.Run(func() (err error) {
			torch.NoGrad(func() {
				var y *torch.Tensor
				if y, err = embed(torch.New(s.pixels, 1, len(t.Mean), s.h, s.w).ToDevice(r.Device)); err == nil {
					rows = append(rows, y.To(torch.Float32).Floats()...)
				}
			})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}
