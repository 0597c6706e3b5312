package ckpt_test

import (
	"fmt"
	"os"
	"path/filepath"

	"ibot/ckpt"
)

func Example() {
	dir, err := os.MkdirTemp("", "ckpt")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "teacher.safetensors")

	c := ckpt.New()
	c.Meta["arch"] = "vit_small"
	if err := c.Add("backbone.norm.weight", ckpt.FromFloat32([]int{3}, []float32{1, 0.5, -2})); err != nil {
		fmt.Println(err)
		return
	}
	if err := ckpt.Write(path, c); err != nil {
		fmt.Println(err)
		return
	}

	back, err := ckpt.Open(path)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer back.Close()
	a, err := back.Array("backbone.norm.weight")
	if err != nil {
		fmt.Println(err)
		return
	}
	values, err := a.Float32()
	fmt.Println(back.Format, back.Meta["arch"], a.DType, a.Shape, values, err)
	_, err = back.Array("norm.weight")
	fmt.Println(err)
	// Output:
	// safetensors vit_small float32 [3] [1 0.5 -2] <nil>
	// ckpt: teacher.safetensors has no "norm.weight"; nearest is "backbone.norm.weight" (try --prefix backbone.)
}
