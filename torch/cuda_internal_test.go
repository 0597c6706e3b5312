package torch

import (
	"os"
	"testing"
)

// TestAllocatorSettings: segments grow in place where the engine can do that, and the user's settings stay.
func TestAllocatorSettings(t *testing.T) {
	ours := ""
	if atLeast(2, 1) {
		ours = "expandable_segments:True"
	}
	for _, test := range []struct{ name, key, value, want string }{
		{"nothing set", "", "", ours},
		{"older name", "PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:64", "max_split_size_mb:64"},
		{"newer name", "PYTORCH_ALLOC_CONF", "max_split_size_mb:64", ""},
		{"set to nothing", "PYTORCH_CUDA_ALLOC_CONF", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, key := range allocatorKeys {
				t.Setenv(key, "") // restores it at the end
				os.Unsetenv(key)
			}
			if test.key != "" {
				os.Setenv(test.key, test.value)
			}
			setAllocator()
			if got := os.Getenv("PYTORCH_CUDA_ALLOC_CONF"); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
