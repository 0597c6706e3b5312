package ckpt_test

import (
	"fmt"
	"reflect"
	"sync"
	"testing"

	"ibot/ckpt"
)

// TestConcurrentReaders reads all arrays from several goroutines at once; the race detector
// looks on.
func TestConcurrentReaders(t *testing.T) {
	for _, file := range []string{"a_vit_ckpt.pth", "a_vit_init.npz"} {
		c := open(t, goldens+file)
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for _, name := range c.Names() {
					if a, err := c.Array(name); err != nil || a.Check() != nil {
						t.Errorf("%s: %q: %v", file, name, err)
					}
				}
			})
		}
		readers.Wait()
	}
}

func TestClose(t *testing.T) {
	c, err := ckpt.Open(goldens + "a_vit_ckpt.pth")
	if err != nil {
		t.Fatal(err)
	}
	a, err := c.Array("ibot_loss.center")
	if err != nil {
		t.Fatal(err)
	}
	own := a.Clone()
	for range 2 { // the second finds nothing to do
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Array("ibot_loss.center"); err == nil || c.Len() != 0 {
		t.Error("a closed checkpoint still has arrays")
	}
	if v, err := own.Float32(); err != nil || len(v) != 128 {
		t.Errorf("the clone has %d numbers, %v", len(v), err)
	}
}

// TestNpzAndPthAgree compares two files of the reference that hold the same weights moved by
// three optimizer steps: same names, shapes and types, other values.
func TestNpzAndPthAgree(t *testing.T) {
	before, after := open(t, goldens+"a_vit_init.npz"), open(t, goldens+"a_vit_ckpt.pth")
	shapes := func(c *ckpt.Checkpoint, prefix string) map[string]string {
		m := map[string]string{}
		for _, s := range c.Specs() {
			if len(s.Name) > len(prefix) && s.Name[:len(prefix)] == prefix {
				m[s.Name[len(prefix):]] = fmt.Sprint(s.DType, s.Shape)
			}
		}
		return m
	}
	for npz, pth := range map[string]string{"student/": "student.module.", "teacher/": "teacher."} {
		x, y := shapes(before, npz), shapes(after, pth)
		if len(x) == 0 || !reflect.DeepEqual(x, y) {
			t.Errorf("%s: %d names before, %d after, not the same", npz, len(x), len(y))
		}
	}
}

// TestThroughSafetensors turns the reference's checkpoint into safetensors and back into memory
// without a single difference.
func TestThroughSafetensors(t *testing.T) {
	c := open(t, goldens+"a_vit_ckpt.pth")
	path, _ := written(t, c)
	if r := ckpt.Diff(c, open(t, path)); !r.Equal() || r.Reordered || len(r.Meta) > 0 {
		t.Error(r)
	}
}
