package eval

import (
	"fmt"
	"slices"
	"testing"

	"ibot/internal/golden"
	"ibot/torch"
)

// Labels go from frame to frame as by the reference's label_propagation, and become the same objects.
func TestPropagationEqualsReference(t *testing.T) {
	checkLive(t)
	f := arrays(t, "propagation.npz")
	for _, name := range []string{"small", "anywhere"} {
		t.Run(name, func(t *testing.T) {
			s := readInts(t, f, name+"_settings")
			h, w, patch := s[0], s[1], s[2]
			p := Propagation{Frames: s[3], Radius: s[4], TopK: s[5], Temperature: 0.1}
			features, shape := readFloats(t, f, name+"_features")
			first, labelShape := readFloats(t, f, name+"_first")
			want, wantShape := readFloats(t, f, name+"_labels")
			maps, err := f.Array(name + "_objects")
			if err != nil {
				t.Fatal(err)
			}
			N, D, C := h*w, shape[2], labelShape[1]
			torch.Scope(func() {
				frame := func(i int) *torch.Tensor { return torch.New(features[i*N*D:(i+1)*N*D], N, D) }
				track := newTracker(p, h, w, frame(0), torch.New(first, N, C))
				defer track.close()
				for i := range wantShape[0] {
					got := track.next(frame(i + 1))
					golden.Equal(t, fmt.Sprintf("labels of frame %d", i+1), got, torch.New(want[i*N*C:(i+1)*N*C], N, C), golden.Tolerance{Abs: 1e-5})
					pixels := N * patch * patch
					if got := objects(got, h, w, patch); !slices.Equal(got, maps.Data[i*pixels:(i+1)*pixels]) {
						t.Errorf("objects of frame %d: got %v, want %v", i+1, got, maps.Data[i*pixels:(i+1)*pixels])
					}
				}
			})
		})
	}
}

// A label that is nowhere, or everywhere alike, takes no pixel from the others.
func TestObjectsOfVanishedLabel(t *testing.T) {
	checkLive(t)
	torch.Scope(func() {
		labels := torch.New([]float32{1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0}, 4, 3)
		for i, object := range objects(labels, 2, 2, 3) {
			if object != 0 {
				t.Fatalf("pixel %d belongs to object %d", i, object)
			}
		}
	})
}
