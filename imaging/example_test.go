package imaging_test

import (
	"fmt"
	"log"
	"math/rand/v2"
	"os"

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

// The augmentations of fine-tuning with BEiT's recipe: RandAugment before, random erasing after
// normalisation, mixup or cutmix over the batch.
func ExampleRandAugment() {
	ra, err := imaging.ParseRandAugment("rand-m9-mstd0.5-inc1")
	if err != nil {
		log.Fatal(err)
	}
	im, err := imaging.DecodeFile("../testdata/goldens/i_image_q88.jpg")
	if err != nil {
		log.Fatal(err)
	}
	r := rand.New(rand.NewPCG(0, 3))
	meanColour := []uint8{124, 116, 104}
	for _, op := range ra.Draw(r) {
		fmt.Printf("%s %.2f\n", op.Name, op.Value)
		im = op.Apply(im, imaging.Bicubic, meanColour)
	}
	fmt.Println(len(imaging.DefaultErasing(1).Draw(r, im.W, im.H)), "box to erase")
	mix := imaging.Mixup{MixupAlpha: 0.8, CutmixAlpha: 1, Prob: 1, SwitchProb: 0.5}.Draw(r, im.W, im.H)
	fmt.Println("lambda is in [0, 1]:", mix.Lambda >= 0 && mix.Lambda <= 1)
	// Output:
	// Contrast 0.13
	// SolarizeAdd 102.00
	// 1 box to erase
	// lambda is in [0, 1]: true
}

// A truncated file is an error, unless its beginning will do.
func ExampleDecodeWith() {
	file, err := os.ReadFile("../testdata/goldens/i_image_q88.jpg")
	if err != nil {
		log.Fatal(err)
	}
	half := file[:len(file)/2]
	_, err = imaging.DecodeWith(half, imaging.Options{})
	fmt.Println(err)
	_, err = imaging.DecodeWith(file, imaging.Options{MaxPixels: 1000})
	fmt.Println(err)
	gray, err := imaging.DecodeWith(file, imaging.Options{Channels: 1})
	fmt.Println(gray.W, gray.H, gray.C, err)
	// Output:
	// imaging: truncated JPEG: there is no marker behind its pixels
	// imaging: JPEG of 160x120 pixels is larger than the 1000 that are taken; scale it down first
	// 160 120 1 <nil>
}
