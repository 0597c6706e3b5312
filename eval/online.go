package eval

import (
	"context"
	"fmt"
	"slices"

	"ibot/backbone"
	"ibot/data"
	"ibot/imaging"
	"ibot/rng"
)

// Online is a k-NN score that is taken again and again, while a network is trained: on at most Max
// images of a bank and of the queries, the same each time and evenly from all classes. They are
// decoded and cropped once and kept as bytes, so a score costs no more than the forward passes.
type Online struct {
	KNN     KNN // with one number of neighbours
	Extract ExtractOptions
	Notes   []string // what differs from what was asked for

	bank, queries *cropped
}

// OnlineOptions say how an online score is taken.
type OnlineOptions struct {
	Max     int            // images of the bank, and of the queries; 0: 2000
	K       int            // neighbours that vote; 0: 20. A bank with fewer images lowers it, with a note
	Seed    rng.Seed       // chooses the images
	Extract ExtractOptions // Transform is needed, the rest has defaults
}

// Share of the images that is held out to be the queries, where there are no others.
const heldOut = 0.2

// NewOnline loads the images. Where queries is nil, a part of the bank's images is held out for
// them.
//
// It errs where the bank has less than two classes, where the queries have other classes than the
// bank, or too many of the chosen images cannot be read. Images without a label are passed over.
func NewOnline(ctx context.Context, bank, queries data.Dataset, o OnlineOptions) (*Online, error) {
	if o.Max == 0 {
		o.Max = 2000
	}
	if o.K == 0 {
		o.K = 20
	}
	if o.K < 0 || o.Max < 0 {
		return nil, fmt.Errorf("eval: a score of %d images by %d neighbours; want 1 or more of both", o.Max, o.K)
	}
	if err := o.Extract.resolve(); err != nil {
		return nil, err
	}
	if n := len(bank.Classes()); n < 2 {
		return nil, fmt.Errorf("eval: a k-NN needs images of two classes or more, found %d; give a folder with a subfolder for each class", n)
	}
	if queries == nil {
		train, val := data.Holdout(bank, o.Seed, heldOut)
		bank, queries = data.Subset(bank, train), data.Subset(bank, val)
	}
	queries, err := data.WithClasses(queries, bank.Classes())
	if err != nil {
		return nil, err
	}
	s := &Online{KNN: DefaultKNN(), Extract: o.Extract}
	for i, part := range []struct {
		name string
		set  data.Dataset
		to   **cropped
	}{{"bank", bank, &s.bank}, {"queries", queries, &s.queries}} {
		chosen := balanced(part.set, o.Max, o.Seed, i)
		if len(chosen) == 0 {
			return nil, fmt.Errorf("eval: there is no labelled image for the %s of the k-NN; want two images of a class or more", part.name)
		}
		if *part.to, err = crop(ctx, data.Subset(part.set, chosen), s.Extract); err != nil {
			return nil, err
		}
		if bad := len(chosen) - (*part.to).Len(); bad > 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("%d of the %d images for the %s of the k-NN cannot be read and are left out", bad, len(chosen), part.name))
		}
	}
	s.KNN.K = []int{min(o.K, s.bank.Len())}
	if s.KNN.K[0] < o.K {
		s.Notes = append(s.Notes, fmt.Sprintf("k of the k-NN is %d in place of %d, for the bank has no more images", s.KNN.K[0], o.K))
	}
	return s, nil
}

// Score returns the k-NN accuracy of the network on the device of o.Extract, in percent: "knn" is
// top-1, "knn_top5" top-5.
func (o *Online) Score(ctx context.Context, net backbone.Backbone) (map[string]float64, error) {
	return o.score(ctx, func(ds data.Dataset) (*Features, error) { return Extract(ctx, net, ds, o.Extract) })
}

// Pixels returns the scores of raw pixels (see [Pixels], at most [PixelSize] a side), which a
// network has to beat.
func (o *Online) Pixels(ctx context.Context) (map[string]float64, error) {
	return o.score(ctx, func(ds data.Dataset) (*Features, error) {
		return Pixels(ctx, ds, min(o.Extract.Transform.Crop, PixelSize), o.Extract)
	})
}

func (o *Online) score(ctx context.Context, features func(ds data.Dataset) (*Features, error)) (map[string]float64, error) {
	bank, err := features(o.bank)
	if err != nil {
		return nil, err
	}
	defer bank.Close()
	queries, err := features(o.queries)
	if err != nil {
		return nil, err
	}
	defer queries.Close()
	r, err := o.KNN.Classify(ctx, bank, queries)
	if err != nil {
		return nil, err
	}
	return map[string]float64{"knn": r.Scores[0].Top1, "knn_top5": r.Scores[0].Top5}, nil
}

// Len returns how many images the bank and the queries have.
func (o *Online) Len() (bank, queries int) { return o.bank.Len(), o.queries.Len() }

// balanced chooses up to most labelled images of ds, as evenly from the classes as they allow.
// Which ones depends on the seed and part alone. They are sorted.
func balanced(ds data.Dataset, most int, seed rng.Seed, part int) []int {
	members := make([][]int, len(ds.Classes()))
	for i := range ds.Len() {
		if label := ds.Label(i); label >= 0 {
			members[label] = append(members[label], i)
		}
	}
	for class, m := range members {
		seed.Stream("online", part, class).Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
	}
	var chosen []int
	for round := 0; ; round++ { // one image of each class
		before := len(chosen)
		for _, m := range members {
			if round < len(m) && len(chosen) < most {
				chosen = append(chosen, m[round])
			}
		}
		if len(chosen) == before {
			slices.Sort(chosen)
			return chosen
		}
	}
}

// cropped is a set of images in memory, as a transform crops them.
type cropped struct {
	data.Dataset // without the images that could not be read
	images       []*imaging.Image
}

func (c *cropped) Load(i int) (*imaging.Image, error) { return c.images[i], nil }

// crop loads all images of ds.
func crop(ctx context.Context, ds data.Dataset, o ExtractOptions) (*cropped, error) {
	images, unreadable := make([]*imaging.Image, ds.Len()), make([]error, ds.Len())
	loader := data.Loader[struct{}]{
		Workers: o.Workers,
		New:     func() struct{} { return struct{}{} },
		Fill: func(_ context.Context, _ struct{}, _, i int) (err error) {
			images[i], unreadable[i], err = o.Transform.load(ds, i)
			return err
		},
	}
	c := &cropped{}
	var readable []int
	var bad []data.BadImage
	for _, err := range loader.Run(ctx, 0, ds.Len(), func(step int) []int { return []int{step} }) {
		i := len(readable) + len(bad)
		switch {
		case err != nil:
			return nil, err
		case unreadable[i] == nil:
			readable = append(readable, i)
			c.images = append(c.images, images[i])
		default:
			bad = append(bad, data.BadImage{Path: ds.Name(i), Error: unreadable[i].Error(), Index: i})
			if err := tooMany(bad, ds.Len()); err != nil {
				return nil, err
			}
		}
	}
	c.Dataset = data.Subset(ds, readable)
	return c, nil
}
