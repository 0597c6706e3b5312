// The kernels for the processor's matrix units, and whether they run here. With IB_EMULATE_UNITS, which is for tests, AVX2 is enough.
#pragma once

#include "isa.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define IB_AMX
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

#pragma GCC push_options
#pragma GCC optimize("O3,no-math-errno")
#ifdef IB_EMULATE_UNITS
#pragma GCC target("avx2,fma")
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,amx-tile,amx-bf16")
#endif
#pragma push_macro("WIDTH")
#undef WIDTH
#define WIDTH 16
namespace amx {
#ifdef IB_EMULATE_UNITS
#include "emulated_units.h"
#endif
#include "pointwise_kernel.h"
#include "amx_kernel.h"
#include "amx_attention_kernel.h"
} // namespace amx
#pragma pop_macro("WIDTH")
#pragma GCC pop_options

// units reports whether the processor has matrix units and the system lets this process use them.
inline bool units() {
	static const bool usable = [] {
#ifdef IB_EMULATE_UNITS
		return isa() != Isa::baseline && getenv("ATEN_CPU_CAPABILITY") == nullptr;
#else
		constexpr long request = 0x1023, tiles = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
		return isa() == Isa::avx512 && __builtin_cpu_supports("amx-bf16") && __builtin_cpu_supports("avx512bf16") &&
			__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
			syscall(SYS_arch_prctl, request, tiles) == 0;
#endif
	}();
	return usable;
}

} // namespace
#endif
