package eval

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"

	"ibot/data"
	"ibot/torch"
	"ibot/train"
)

// About says how the features of a file were made: which weights made them, of which images, in which
// way. It stands in the file or beside it.
type About struct {
	Checkpoint string `json:"checkpoint"` // where the weights were found
	Net        string `json:"net"`        // "teacher" or "student"; in a cache the source, such as Trained
	Weights    string `json:"weights"`    // their digest; see WeightsDigest
	Data       string `json:"data"`       // where the images were found
	Images     string `json:"images"`     // their digest; see ImagesDigest

	Feature    string    `json:"feature"` // the name of the choice
	LastBlocks int       `json:"n_last_blocks"`
	Power      float64   `json:"gem_power,omitempty"`
	Scales     []float64 `json:"scales,omitempty"`
	Precision  string    `json:"precision"`

	Resize   int       `json:"resize"`
	Crop     int       `json:"crop"`
	Multiple int       `json:"multiple,omitempty"` // see Transform
	Longest  int       `json:"longest,omitempty"`
	Square   bool      `json:"square,omitempty"`
	Mean     []float32 `json:"mean"`
	Std      []float32 `json:"std"`

	Classes []string `json:"classes,omitempty"`
}

// setTransform notes how images are brought to the network.
func (a *About) setTransform(t Transform) {
	a.Resize, a.Crop, a.Multiple, a.Longest, a.Square, a.Mean, a.Std = t.Resize, t.Crop, t.Multiple, t.Longest, t.Square, t.Mean, t.Std
}

// transform is what setTransform noted.
func (a About) transform() Transform {
	return Transform{
		Resize: a.Resize, Crop: a.Crop, Multiple: a.Multiple, Longest: a.Longest, Square: a.Square, Mean: a.Mean, Std: a.Std,
	}
}

// key is equal for features that are equal: places are left out, contents are in.
func (a About) key() string {
	a.Checkpoint, a.Net, a.Data = "", "", ""
	text, err := json.Marshal(a)
	if err != nil { // cannot be: all fields have a form, for the transform was validated
		panic(err)
	}
	return string(text)
}

// difference says in which way features that were made as a says are not those that b asks for; ""
// where they are.
func (a About) difference(b About) string {
	switch {
	case a.key() == b.key():
		return ""
	case a.Weights != b.Weights:
		return "they are of other weights"
	case a.Images != b.Images:
		return "they are of other images"
	case a.Feature != b.Feature || a.LastBlocks != b.LastBlocks || a.Power != b.Power:
		return fmt.Sprintf("they are of another choice, %s of the last %d blocks", a.Feature, a.LastBlocks)
	}
	return "they were made with other settings"
}

// WeightsDigest identifies a network: a hash over its architecture and its parameters.
func WeightsDigest(net *train.Net) (digest string, err error) {
	h := sha256.New()
	c := net.Config.Backbone()
	fmt.Fprintf(h, "%s %d %d %d %d %d %d\n", c.Arch, c.ImgSize, c.PatchSize, c.InChans, c.EmbedDim, c.Depth, c.NumHeads)
	err = torch.Run(func() error {
		for _, s := range net.State() {
			fmt.Fprintf(h, "%s %v\n", s.Name, s.Tensor.Shape())
			torch.Scope(func() { h.Write(s.Tensor.ToDevice(torch.CPU).Contiguous().Bytes()) })
		}
		return nil
	})
	return shortened(h), err
}

const sampledImages = 16

// ImagesDigest identifies a set: a hash over the names and labels of all images, and over the pixels
// of a few.
func ImagesDigest(ds data.Dataset) string {
	h := sha256.New()
	line := func(text string) {
		binary.Write(h, binary.LittleEndian, int64(len(text)))
		io.WriteString(h, text)
	}
	n := ds.Len()
	for _, class := range ds.Classes() {
		line(class)
	}
	for i := range n {
		line(ds.Name(i))
		binary.Write(h, binary.LittleEndian, int64(ds.Label(i)))
	}
	for i := range min(n, sampledImages) {
		im, err := ds.Load(i * n / min(n, sampledImages))
		if err != nil {
			line("unreadable")
			continue
		}
		binary.Write(h, binary.LittleEndian, [3]int64{int64(im.W), int64(im.H), int64(im.C)})
		h.Write(im.Pix)
	}
	return shortened(h)
}

func shortened(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:16]) }
