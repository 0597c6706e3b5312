package metrics_test

import (
	"fmt"

	"ibot/metrics"
)

// Three kinds of animals fall into three clusters, one cat among the dogs.
func Example() {
	labels := []int{0, 0, 0, 1, 1, 1, 2, 2, 2}
	clusters := []int{5, 5, 9, 9, 9, 9, 1, 1, 1}
	table, err := metrics.NewContingency(labels, clusters)
	if err != nil {
		fmt.Println(err)
		return
	}
	accuracy, err := table.Accuracy()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("NMI %.3f  ARI %.3f  FMI %.3f  accuracy %.3f\n", table.NMI(), table.ARI(), table.FMI(), accuracy)
	// Output: NMI 0.786  ARI 0.643  FMI 0.738  accuracy 0.889
}

func ExampleTopK() {
	scores := []float32{
		0.1, 0.7, 0.2, // a hit for label 1
		0.5, 0.1, 0.4, // label 2 comes second
	}
	top, err := metrics.TopK(scores, 3, []int{1, 2}, 1, 2)
	fmt.Println(top, err)
	// Output: [0.5 1] <nil>
}

func ExampleSmoothed() {
	var loss metrics.Smoothed
	for _, v := range []float64{9.5, 9, 8.5, 100, 8} { // one bad step
		loss.Add(v)
	}
	fmt.Println(&loss)
	// Output: 9.000000 (27.000000)
}
