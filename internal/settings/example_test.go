package settings_test

import (
	"fmt"

	"github.com/spf13/pflag"

	"ibot/internal/settings"
)

func Example() {
	c := struct {
		Epochs int        `name:"epochs" group:"Training" range:"[1,)" help:"passes over the images"`
		Scale  [2]float64 `name:"global_crops_scale" range:"(0,1]" help:"share of the image's area that a crop covers"`
		Shared bool       `name:"shared_head" help:"one head for both losses"`
	}{Epochs: 100, Scale: [2]float64{0.14, 1}}

	flags := pflag.NewFlagSet("pretrain", pflag.ContinueOnError)
	settings.Bind(flags, &c)
	fmt.Print(settings.Usage(flags, 80))

	args := []string{"--global-crops-scale", "0.25", "1", "--shared_head", "true"}
	if err := flags.Parse(settings.Args(flags, args)); err != nil {
		fmt.Println(settings.FlagError(flags, err))
	}
	fmt.Println(c.Epochs, c.Scale, c.Shared)

	err := settings.DecodeYAML("my.yaml", []byte("epochs: 300\nshard_head: true\n"), &c)
	fmt.Println(err)
	// Output:
	// Training
	//   --epochs N                  passes over the images [100]
	//   --global_crops_scale LO HI  share of the image's area that a crop covers [0.14
	//                               1]
	//   --shared_head               one head for both losses
	// 100 [0.25 1] true
	// my.yaml:2: unknown key "shard_head"; did you mean "shared_head"?
}
