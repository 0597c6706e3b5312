package nearest_test

import (
	"fmt"
	"strings"
	"testing"

	"ibot/internal/nearest"
)

func ExampleWord() {
	fmt.Println(nearest.Word("warmup_epoch", []string{"warmup_epochs", "epochs", "out_dim"}))
	// Output: warmup_epochs true
}

func TestWord(t *testing.T) {
	flags := []string{"global_crops_scale", "global_crops_number", "pred_ratio", "pred_ratio_var", "lr", "out_dim", "arch"}
	for _, tc := range []struct {
		word, want string
	}{
		{"pred_ratio", "pred_ratio"},
		{"pred-ratio", "pred_ratio"},
		{"pred_raito", "pred_ratio"},
		{"Pred_Ratio", "pred_ratio"},
		{"PRED-RATIO-VAR", "pred_ratio_var"},
		{"global_crop_scale", "global_crops_scale"},
		{"gobal_crops_numbr", "global_crops_number"},
		{"rl", "lr"}, // a swap is one mistake
		{"l", "lr"},
		{"lrs", "lr"},
		{"outdim", "out_dim"},
		{"momentum", ""},
		{"", ""},
		{"x", ""},
		{strings.Repeat("a", 100_000), ""},
	} {
		got, found := nearest.Word(tc.word, flags)
		if got != tc.want || found != (tc.want != "") {
			t.Errorf("Word(%.40q) = %q, %v, want %q", tc.word, got, found, tc.want)
		}
	}
}

func TestWordTakesTheNearestAndThenTheFirst(t *testing.T) {
	if got, _ := nearest.Word("vit_smal", []string{"vit_smaller", "vit_small", "vit_smale"}); got != "vit_small" {
		t.Errorf("got %q, want the first of the two at distance one", got)
	}
	if got, ok := nearest.Word("a", nil); ok {
		t.Errorf("got %q out of nothing", got)
	}
}
