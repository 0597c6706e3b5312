package eval_test

import (
	"context"
	"fmt"

	"ibot/data/drawn"
	"ibot/eval"
)

// The score of raw pixels. eval.Extract, in the place of eval.Pixels, gives the features of a
// network.
func Example() {
	ctx := context.Background()
	set, err := drawn.New(1, 4, 200, 32)
	if err != nil {
		panic(err)
	}
	bank, queries := set.Split(0.2)
	options := eval.ExtractOptions{Transform: eval.DefaultTransform(32)}
	known, err := eval.Pixels(ctx, bank, 32, options)
	if err != nil {
		panic(err)
	}
	defer known.Close()
	asked, err := eval.Pixels(ctx, queries, 32, options)
	if err != nil {
		panic(err)
	}
	defer asked.Close()
	result, err := eval.KNN{K: []int{20}, Temperature: 0.07}.Classify(ctx, known, asked)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d images in the bank, %d queries of %d classes\n", result.Bank, result.Queries, result.Classes)
	fmt.Println("better than a guess:", result.Scores[0].Top1 > 25)
	// Output:
	// 160 images in the bank, 40 queries of 4 classes
	// better than a guess: true
}
