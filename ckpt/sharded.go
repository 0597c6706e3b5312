package ckpt

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxIndex bounds the index of a sharded checkpoint. That of a model of 400 billion parameters has
// a few hundred kilobytes.
const maxIndex = 64 << 20

// openShards opens the files that the index model.safetensors.index.json names, which lie beside it:
//
//	{"metadata": {...}, "weight_map": {"embeddings.cls_token": "model-00001-of-00002.safetensors", ...}}
//
// Every array of the map must be in its file, and every array of the files in the map.
func openShards(path string, data []byte, c *Checkpoint) error {
	c.Format = "safetensors"
	if len(data) > maxIndex {
		return fmt.Errorf("is an index of %d bytes, at most %d are read", len(data), maxIndex)
	}
	var index struct {
		Metadata  map[string]any    `json:"metadata"`
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("is a broken index of a sharded checkpoint: %w", err)
	}
	var files []string
	for name, file := range index.WeightMap {
		if file == "" || file != filepath.Base(file) || strings.HasPrefix(file, ".") || strings.ContainsAny(file, `/\`) {
			return fmt.Errorf("is an index that puts %q into %q; want the name of a file beside it", clip(name), clip(file))
		}
		if !strings.HasSuffix(file, ".safetensors") { // an index in turn could lead in a circle
			return fmt.Errorf("is an index that puts %q into %q; want a safetensors file, no index in turn", clip(name), clip(file))
		}
		if !slices.Contains(files, file) {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	for _, file := range files {
		shard, err := openFile(filepath.Join(filepath.Dir(path), file))
		if err != nil {
			return fmt.Errorf("needs the file %q: %w", clip(file), err)
		}
		c.closers = append(c.closers, shard.closers...)
		for _, name := range shard.names {
			if index.WeightMap[name] != file {
				return fmt.Errorf("does not say that %q is in %s, where it is", clip(name), file)
			}
			if err := c.addEntry(shard.entries[name]); err != nil {
				return err
			}
		}
		for key, text := range shard.Meta {
			c.Meta[key] = text
		}
	}
	for name, file := range index.WeightMap {
		if !c.Has(name) {
			return fmt.Errorf("says that %q is in %s, which has it not", clip(name), file)
		}
	}
	for key, value := range index.Metadata {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		c.Meta["index."+key] = string(text)
	}
	return nil
}

// looksLikeIndex reports whether a file is the index of a sharded checkpoint.
func looksLikeIndex(data []byte) bool {
	head := strings.TrimSpace(string(data[:min(len(data), 4096)]))
	return strings.HasPrefix(head, "{") && (strings.Contains(head, `"weight_map"`) || strings.Contains(head, `"metadata"`))
}

// ConfigKey is the metadata under which Open puts the config.json of a Hugging Face folder.
const ConfigKey = "config.json"

// weightFiles are the files that a Hugging Face folder may have its weights in, the best first.
var weightFiles = []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"}

// IsFolder reports whether path is a Hugging Face folder: one with a config.json and weights.
func IsFolder(path string) bool {
	_, err := weightsOf(path)
	return err == nil
}

// weightsOf finds the weights in a folder.
func weightsOf(folder string) (string, error) {
	if _, err := os.Stat(filepath.Join(folder, ConfigKey)); err != nil {
		return "", fmt.Errorf("ckpt: %s is a folder without a config.json; name the checkpoint file in it", folder)
	}
	for _, name := range weightFiles {
		path := filepath.Join(folder, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("ckpt: %w", err)
		}
	}
	return "", fmt.Errorf("ckpt: %s has a config.json and no weights; want one of %s", folder, strings.Join(weightFiles, ", "))
}

// openFolder opens the weights of a Hugging Face folder, and keeps its config.json as metadata.
func openFolder(path string) (*Checkpoint, error) {
	weights, err := weightsOf(path)
	if err != nil {
		return nil, err
	}
	config, err := mapFile(filepath.Join(path, ConfigKey))
	if err != nil {
		return nil, err
	}
	defer config.Close()
	if len(config.data) > maxIndex || !json.Valid(config.data) {
		return nil, fmt.Errorf("ckpt: %s is no JSON object", filepath.Join(path, ConfigKey))
	}
	c, err := openFile(weights)
	if err != nil {
		return nil, err
	}
	c.Path = path
	c.Meta[ConfigKey] = string(config.data)
	return c, nil
}
