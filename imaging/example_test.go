package imaging_test

import (
	"fmt"
	"log"
	"math/rand/v2"

	"ibot/imaging"
)

// A random resized crop with jittered colours, as the normalised floats that a network takes.
func Example() {
	im, err := imaging.DecodeFile("../testdata/goldens/i_image_q88.jpg")
	if err != nil {
		log.Fatal(err)
	}
	r := rand.New(rand.NewPCG(0, 0))
	box := imaging.DrawResizedCrop(r, im.W, im.H, [2]float64{0.25, 1}, [2]float64{3. / 4, 4. / 3})
	view := im.CropResize(box, 96, 96, imaging.Bicubic)
	imaging.DrawJitter(r, 0.4, 0.4, 0.2, 0.1).Apply(view)
	view.GaussianBlur(1.5)

	floats := make([]float32, 3*96*96) // (C, H, W)
	view.ToCHW(floats, []float32{0.485, 0.456, 0.406}, []float32{0.229, 0.224, 0.225})
	fmt.Println(im.W, im.H, "->", view.W, view.H)
	// Output: 160 120 -> 96 96
}
