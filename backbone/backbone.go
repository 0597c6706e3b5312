package backbone

import (
	"fmt"
	"sort"

	"ibot/internal/nearest"
	"ibot/nn"
	"ibot/torch"
)

// Backbone maps images to tokens.
type Backbone interface {
	// Forward maps images (B, C, H, W) to normed tokens (B, 1+N, D), [CLS] first. mask (B, h, w), bool and on
	// the grid of patches, names the patches that are replaced by the mask embedding; nil masks none.
	Forward(m nn.Mode, x, mask *torch.Tensor) *torch.Tensor
	// LastSelfAttention returns the attention weights of the last block, (B, heads, 1+N, 1+N); of a [Swin], which
	// has no [CLS] there, those within its windows.
	LastSelfAttention(m nn.Mode, x *torch.Tensor) *torch.Tensor
	// IntermediateLayers returns the normed tokens (B, 1+N, D) after each of the last n blocks, first to last, all
	// if there are fewer. Those of a [Swin] differ in N and D from stage to stage.
	IntermediateLayers(m nn.Mode, x *torch.Tensor, n int) []*torch.Tensor
	// EmbedDim is D.
	EmbedDim() int
	// Grid returns the rows and columns of patches of an image of H by W pixels.
	Grid(H, W int) (h, w int)
	// Cell is the side of a cell of the grid in pixels.
	Cell() int
}

// Config is what an architecture is built with. A zero EmbedDim, Depth, Depths or NumHeads stands for the
// architecture's own.
type Config struct {
	Arch        string
	ImgSize     int // pixels a side that the position embedding, or the windows, are laid out for
	PatchSize   int // pixels a side of a patch
	InChans     int
	EmbedDim    int     // of the first stage
	Depth       int     // blocks; not of a Swin
	Depths      []int   // blocks of each stage of a Swin
	NumHeads    int     // of the first stage
	WindowSize  int     // patches a side of a window of a Swin
	DropPath    float64 // rate at the last block, growing linearly from 0 at the first
	LayerScale  float64 // initial value of LayerScale; 0: without
	Masked      bool    // with a mask embedding
	MeanPooling bool    // [CLS] output is the normed mean of the patch tokens, as it always is of a Swin
	Registers   int     // register tokens (Darcet et al. 2024), which no output has
	SwiGLU      bool    // gated MLP (Shazeer 2020) in place of the plain one, as DINOv2's largest
	MLPHidden   int     // width inside of the MLP; 0: 4 EmbedDim
	NormEps     float64 // of the layer norms; 0: 1e-6
}

type builder func(c Config, p *nn.Path) (Backbone, error)

var registry = map[string]builder{}

// Register makes an architecture known by name. It panics if the name is taken.
func Register(name string, build func(c Config, p *nn.Path) (Backbone, error)) {
	if _, taken := registry[name]; taken {
		panic("backbone: " + name + " is registered twice")
	}
	registry[name] = build
}

// Names lists the registered architectures.
func Names() []string {
	names := make([]string, 0, len(registry))
	for name := range registry {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// New builds the architecture c.Arch with its parameters at p.
func New(c Config, p *nn.Path) (Backbone, error) {
	build, ok := registry[c.Arch]
	if !ok {
		hint := ""
		if near, ok := nearest.Word(c.Arch, Names()); ok {
			hint = fmt.Sprintf("; did you mean %q?", near)
		}
		return nil, fmt.Errorf("backbone: unknown architecture %q%s (known: %v)", c.Arch, hint, Names())
	}
	return build(c, p)
}
