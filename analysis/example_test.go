package analysis_test

import (
	"fmt"
	"os"
	"path/filepath"

	"ibot/analysis"
)

// The patches that hold 60 % of an attention map of 2 x 3 patches.
func ExampleTopMass() {
	attn := []float64{
		0.05, 0.30, 0.10,
		0.05, 0.35, 0.15,
	}
	top := analysis.TopMass(attn, 0.6)
	fmt.Println(top[:3])
	fmt.Println(top[3:])
	// Output:
	// [false true false]
	// [false true false]
}

// The pictures of a run that has not been evaluated yet.
func ExampleCurves() {
	run, err := os.MkdirTemp("", "run")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(run)
	metrics := `{"kind":"step","step":10,"epoch":0,"loss":11.2,"cls":5.9,"patch":5.3}
{"kind":"step","step":20,"epoch":0,"loss":10.4,"cls":5.6,"patch":4.8}
`
	if err := os.WriteFile(filepath.Join(run, "metrics.jsonl"), []byte(metrics), 0o644); err != nil {
		fmt.Println(err)
		return
	}
	if err := analysis.Curves(run); err != nil {
		fmt.Println(err)
		return
	}
	pictures, _ := filepath.Glob(filepath.Join(run, "*.png"))
	for _, path := range pictures {
		fmt.Println(filepath.Base(path))
	}
	// Output: curves_loss.png
}
