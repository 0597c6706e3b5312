// Which of a kernel's instruction sets this machine runs.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <string>

namespace ib {

// BFloat16 is libtorch's, without its functions; see vector.h.
struct BFloat16 {
	uint16_t bits;
};

} // namespace ib

namespace {

using ib::BFloat16;

enum class Isa { baseline, avx2, avx512 };

// isa is the widest set of the processor, or what ATEN_CPU_CAPABILITY holds libtorch to. libtorch's own choice is
// narrower: Debian's stops at AVX2.
inline Isa isa() {
	static const Isa chosen = [] {
#if defined(__x86_64__) && defined(__GNUC__)
		const char *asked = getenv("ATEN_CPU_CAPABILITY");
		const std::string most = asked ? asked : "avx512";
		const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
		if (most == "avx512" && wide && __builtin_cpu_supports("avx512f")) return Isa::avx512;
		if ((most == "avx512" || most == "avx2") && wide) return Isa::avx2;
#endif
		return Isa::baseline;
	}();
	return chosen;
}

// fast_dots reports whether the processor multiplies bfloat16 faster than float32 outside of matrix units. AMD's do, twice as
// fast; Intel's have the same instructions (AVX512_BF16) at half the speed: 84 against 171 GFLOP/s a core, measured.
inline bool fast_dots() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
	return isa() == Isa::avx512 && __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512bf16");
#else
	return false;
#endif
}

// half_products reports whether oneDNN, and so libtorch, multiplies bfloat16 with sums in float32.
inline bool half_products() {
#if defined(__x86_64__) && defined(__GNUC__)
	return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
	return true;
#endif
}

} // namespace
