package main

import (
	"strings"

	"golang.org/x/sys/cpu"
)

// cpuFeatures lists the instruction sets of this CPU that matter to matrix products and pixel
// loops, with a leading separator, or nothing on a CPU without any of them.
func cpuFeatures() string {
	features := []struct {
		name string
		has  bool
	}{
		{"avx2", cpu.X86.HasAVX2},
		{"fma", cpu.X86.HasFMA},
		{"avx512f", cpu.X86.HasAVX512F},
		{"avx512_vnni", cpu.X86.HasAVX512VNNI},
		{"avx512_bf16", cpu.X86.HasAVX512BF16},
		{"amx_bf16", cpu.X86.HasAMXBF16},
		{"neon", cpu.ARM64.HasASIMD},
		{"sve", cpu.ARM64.HasSVE},
	}
	var found []string
	for _, f := range features {
		if f.has {
			found = append(found, f.name)
		}
	}
	if found == nil {
		return ""
	}
	return ", " + strings.Join(found, " ")
}
