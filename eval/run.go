package eval

import (
	"context"
	"fmt"

	"ibot/data"
	"ibot/internal/progress"
	"ibot/torch"
	"ibot/train"
)

// Run is what a protocol works with: a network, a device, and features that were computed before.
type Run struct {
	Net       *train.Net // found, and loaded by [Evaluate]
	Device    torch.Device
	Precision torch.DType // of the matrix products: torch.BFloat16, or torch.Float32 in any other case
	BatchSize int         // images a forward pass; 0: 64
	Workers   int         // goroutines that decode; 0: one for each CPU
	Bar       *progress.Bar

	// Cache is the folder in which features are kept, for other protocols and for the next time. It
	// is made when it is missing; with "" none are kept.
	Cache string
	Note  func(note string) // called with what is worth a word, such as features of other weights; may be nil

	untrained *train.Net        // nil until it is asked for
	digests   map[string]string // of the weights, by source
	loaded    bool
}

// Close frees the networks.
func (r *Run) Close() {
	r.Net.Close()
	if r.untrained != nil {
		r.untrained.Close()
	}
}

// sets say how images are decoded for the network.
func (r *Run) sets() data.Options { return data.Options{Decode: r.Net.Config.Sets().Decode} }

// load reads the network's weights, once.
func (r *Run) load() error {
	if r.loaded {
		return nil
	}
	err := torch.Run(func() error { return r.Net.Load(r.Device) })
	r.loaded = err == nil
	return err
}

// The sources of features.
const (
	Trained   = "trained"
	Untrained = "untrained" // the same network with fresh initial values
	RawPixels = "pixels"    // see [Pixels]
)

// FeatureSettings are the settings of protocols that classify features. A protocol embeds them.
type FeatureSettings struct {
	AvgPool    int  `name:"avgpool" alias:"avgpool_patchtokens" group:"Features" range:"[0,2]" help:"features: 0 [CLS]; 1 mean of the patches; 2 both"`
	LastBlocks int  `name:"n_last_blocks" range:"[0,)" help:"take [CLS] of the last N blocks; 0: what is published for protocol and architecture"`
	ImgSize    int  `name:"img_size" range:"[0,8192]" help:"side of the images in pixels; 0: what the network was trained on"`
	Baselines  bool `name:"baselines" help:"score raw pixels and the untrained network too"`
}

// Sources are whose features are scored: those of the trained network, and with Baselines the others.
func (s FeatureSettings) Sources() []string {
	if s.Baselines {
		return []string{Trained, Untrained, RawPixels}
	}
	return []string{Trained}
}

// eachSource calls score with the source of each of the features, until one fails.
func (s FeatureSettings) eachSource(score func(source string) error) error {
	for _, source := range s.Sources() {
		if err := score(source); err != nil {
			return err
		}
	}
	return nil
}

// Size is the side of the images that the network is given: size, or where that is 0 what the
// network was trained on.
func (r *Run) Size(size int) (int, error) {
	if size == 0 {
		return r.Net.Config.ImgSize, nil
	}
	if patch := r.Net.Config.PatchSize; size < patch {
		return 0, badSetting("img_size", "%d is smaller than a patch of the network, %d pixels", size, patch)
	}
	return size, nil
}

// Options are what the features of s are extracted with.
func (r *Run) Options(s FeatureSettings) (ExtractOptions, error) {
	size, err := r.Size(s.ImgSize)
	if err != nil {
		return ExtractOptions{}, err
	}
	o := ExtractOptions{
		Transform: DefaultTransform(size), AvgPool: s.AvgPool, LastBlocks: s.LastBlocks,
		BatchSize: r.BatchSize, Workers: r.Workers, Device: r.Device, Precision: r.Precision,
	}
	o.Transform.Mean, o.Transform.Std = r.Net.Config.Normalisation()
	return o, nil
}

// Features are the features of ds from one of the sources of s. part is what the images are called
// in the line of progress. They are taken from the cache where it has them. The caller closes them.
func (r *Run) Features(ctx context.Context, source, part string, ds data.Dataset, s FeatureSettings) (*Features, error) {
	f, err := r.rows(ctx, source, part, ds, s)
	if err != nil {
		return nil, err
	}
	return f, f.load()
}

// rows are Features that may stay in the file of the cache; see [Features.Rows].
func (r *Run) rows(ctx context.Context, source, part string, ds data.Dataset, s FeatureSettings) (*Features, error) {
	embed, o, err := r.embedder(source, s)
	if err != nil {
		return nil, err
	}
	start := func(done int) {
		r.Bar.Start(progress.Task{Label: source + ", " + part, Unit: "img", Total: ds.Len(), Done: done})
	}
	o.Progress = func(done int) { r.Bar.Set(done, "") }
	if r.Cache == "" {
		start(0)
		return collect(ctx, ds, o, embed)
	}
	return r.cached(ctx, source, ds, o, s.about(source), embed, start)
}

// about says what of the tokens is taken.
func (s FeatureSettings) about(source string) About {
	if source == RawPixels {
		return About{Feature: RawPixels}
	}
	return About{Feature: fmt.Sprintf("avgpool %d", s.AvgPool), LastBlocks: max(1, s.LastBlocks)}
}

// network is the network of a source of features, nil for pixels.
func (r *Run) network(source string) (net *train.Net, err error) {
	switch source {
	case Trained:
		return r.Net, nil
	case Untrained:
		if r.untrained == nil {
			r.untrained, err = r.Net.Untrained(r.Device)
		}
		return r.untrained, err
	case RawPixels:
		return nil, nil
	}
	return nil, fmt.Errorf("eval: there are no features called %q; want %s, %s or %s", source, Trained, Untrained, RawPixels)
}

// embedder maps images (B, C, S, S), as the options that come with it bring them, to features (B, D) from a
// source.
func (r *Run) embedder(source string, s FeatureSettings) (embedder, ExtractOptions, error) {
	o, err := r.Options(s)
	if err != nil {
		return nil, o, err
	}
	net, err := r.network(source)
	if err != nil {
		return nil, o, err
	}
	if net == nil {
		o.Transform.Crop = min(o.Transform.Crop, PixelSize)
		o.Transform.Resize = o.Transform.Crop
		return flatten, o, nil
	}
	return o.embedder(net.Backbone), o, nil
}

// weights is the digest of a source's weights.
func (r *Run) weights(source string) (string, error) {
	if digest, ok := r.digests[source]; ok {
		return digest, nil
	}
	net, err := r.network(source)
	digest := RawPixels
	if err == nil && net != nil {
		digest, err = WeightsDigest(net)
	}
	if r.digests == nil {
		r.digests = map[string]string{}
	}
	r.digests[source] = digest
	return digest, err
}
