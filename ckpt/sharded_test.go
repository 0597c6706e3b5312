package ckpt_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ibot/ckpt"
)

// hfFolder makes a folder of two shards with an index.
func hfFolder(t *testing.T, index string) string {
	t.Helper()
	dir := t.TempDir()
	for file, name := range map[string]string{"m-1.safetensors": "a", "m-2.safetensors": "b"} {
		c := ckpt.New()
		if err := c.Add(name, ckpt.FromFloat32([]int{1}, []float32{float32(name[0])})); err != nil {
			t.Fatal(err)
		}
		if err := ckpt.Write(filepath.Join(dir, file), c); err != nil {
			t.Fatal(err)
		}
	}
	for file, text := range map[string]string{"model.safetensors.index.json": index, "config.json": `{"model_type": "vit"}`} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSharded(t *testing.T) {
	dir := hfFolder(t, `{"metadata": {"total_size": 8}, "weight_map": {"b": "m-2.safetensors", "a": "m-1.safetensors"}}`)
	for _, path := range []string{dir, filepath.Join(dir, "model.safetensors.index.json")} {
		c := open(t, path)
		if got := floats(t, c, "b"); c.Len() != 2 || got[0] != 'b' || c.Meta["index.total_size"] != "8" {
			t.Errorf("%s: %v %v %v", path, c.Names(), got, c.Meta)
		}
	}
	if c := open(t, dir); !strings.Contains(c.Meta[ckpt.ConfigKey], "model_type") {
		t.Errorf("no config.json in %v", c.Meta)
	}
}

func TestShardedRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ index, want string }{
		"another folder":       {`{"weight_map": {"a": "../m-1.safetensors"}}`, "beside it"},
		"an absolute path":     {`{"weight_map": {"a": "/etc/passwd"}}`, "beside it"},
		"no such file":         {`{"weight_map": {"a": "m-3.safetensors"}}`, "m-3.safetensors"},
		"an array too many":    {`{"weight_map": {"a": "m-1.safetensors", "c": "m-1.safetensors", "b": "m-2.safetensors"}}`, `"c"`},
		"an array not listed":  {`{"weight_map": {"x": "m-1.safetensors"}}`, `"a"`},
		"an array elsewhere":   {`{"weight_map": {"a": "m-2.safetensors", "b": "m-1.safetensors"}}`, "does not say"},
		"numbers for files":    {`{"weight_map": {"a": 1}}`, "broken index"},
		"an index of an index": {`{"weight_map": {"a": "model.safetensors.index.json"}}`, "no index in turn"},
	} {
		dir := hfFolder(t, tc.index)
		if _, err := ckpt.Open(dir); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}
