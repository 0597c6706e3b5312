package data_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ibot/data"
	"ibot/data/drawn"
	"ibot/rng"
)

// A set in class folders, as ImageNet has them.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "set")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"dog/rex.jpg", "cat/tom.jpg", "cat/kit.jpg"} {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		os.WriteFile(path, nil, 0o644) // images are not read before they are loaded
	}
	ds, err := data.Open(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range ds.Len() {
		fmt.Println(ds.Name(i), ds.Classes()[ds.Label(i)])
	}
	// Output:
	// cat/kit.jpg cat
	// cat/tom.jpg cat
	// dog/rex.jpg dog
}

// Batches of pixels, loaded by four workers.
func ExampleLoader() {
	const batch, size = 4, 8
	ds, err := drawn.New(rng.Seed(0), 10, 100, size)
	if err != nil {
		fmt.Println(err)
		return
	}
	bad, err := data.OpenBadImages("", ds)
	if err != nil {
		fmt.Println(err)
		return
	}
	sampler, err := data.NewSampler(rng.Seed(0), ds.Len(), batch, 0, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	loader := &data.Loader[[][]uint8]{
		Workers: 4,
		New:     func() [][]uint8 { return make([][]uint8, batch) },
		Fill: func(_ context.Context, b [][]uint8, slot, image int) error {
			im, _, err := bad.Load(image)
			if err == nil {
				b[slot] = im.Pix
			}
			return err
		},
	}
	for pixels, err := range loader.Run(context.Background(), 0, 2, sampler.Batch) {
		fmt.Println(len(pixels), len(pixels[0]), err)
	}
	// Output:
	// 4 192 <nil>
	// 4 192 <nil>
}

// What is wrong with a set.
func ExampleCheck() {
	dir, err := os.MkdirTemp("", "set")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg", "val/dog/2.jpg"} {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		os.WriteFile(path, []byte("not an image"), 0o644)
	}
	val, err := data.OpenSplit(dir, "val")
	if err != nil {
		fmt.Println(err)
		return
	}
	report, err := data.Check(context.Background(), []data.Part{{Name: "val", Set: val}}, data.CheckOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(report.Unreadable), report.Unreadable[0].Path)
	fmt.Println(report.Advice[0])
	// Output:
	// 2 val/cat/2.jpg
	// 2 of 2 images of val cannot be read. Training stops above 1: repair or remove them.
}
