package recipes_test

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"ibot/recipes"
)

func Example() {
	r, err := recipes.Load("vit_small_800ep")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Title)
	fmt.Println(r.Expect)
	// Output:
	// ViT-S/16 on ImageNet-1K, 800 epochs: the released recipe.
	// k-NN 75.2, linear 77.9, fine-tuned 82.3 (top-1, published)
}

func TestEveryFileIsListed(t *testing.T) {
	paths, err := fs.Glob(os.DirFS("."), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range paths {
		want = append(want, strings.TrimSuffix(p, ".yaml"))
	}
	got := recipes.Names()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("recipes: Names has %q, the folder %q", got, want)
	}
}

func TestHeads(t *testing.T) {
	for _, name := range recipes.Names() {
		r, err := recipes.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if r.Name != name || r.Title == "" || r.Expect == "" || !strings.HasPrefix(r.Command, "ibot ") {
			t.Errorf("%s: want a head with title, command and expect, got %+v", name, r)
		}
		for i, line := range strings.Split(string(r.YAML), "\n") {
			if len(line) > 100 {
				t.Errorf("%s:%d: longer than 100 columns", r.File(), i+1)
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	for name, want := range map[string]string{
		"vit_smal_800ep": `recipes: unknown recipe "vit_smal_800ep"; did you mean "vit_small_800ep"?`,
		"zzzzzzzzzzzz":   `recipes: unknown recipe "zzzzzzzzzzzz"; there are ` + strings.Join(recipes.Names(), ", "),
		"../recipes/demo.yaml": `recipes: unknown recipe "../recipes/demo.yaml"; there are ` +
			strings.Join(recipes.Names(), ", "),
	} {
		if _, err := recipes.Load(name); err == nil || err.Error() != want {
			t.Errorf("Load(%q): got %v, want %s", name, err, want)
		}
	}
}
