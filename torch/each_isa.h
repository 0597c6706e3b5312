// Compiles the header IB_KERNEL once for each instruction set, in namespaces baseline, avx2 and avx512 with vectors of
// WIDTH floats, and defines IB_RUN to call the widest that the processor has. ROWS is the height of a tile of sums
// that the registers hold beside two vectors of one factor and one of the other. isa.h is included before.

#pragma GCC push_options
#pragma GCC optimize("O3,no-math-errno") // O3 unrolls the tiles
#define WIDTH 4
#define ROWS 6
namespace baseline {
#include IB_KERNEL
}
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC target("avx2,fma")
#undef WIDTH
#define WIDTH 8
namespace avx2 {
#include IB_KERNEL
}
#pragma GCC target("avx512f")
#undef WIDTH
#undef ROWS
#define WIDTH 16
#define ROWS 12
namespace avx512 {
#include IB_KERNEL
}
#define IB_RUN(call) (isa() == Isa::avx512 ? avx512::call : isa() == Isa::avx2 ? avx2::call : baseline::call)
#else
#define IB_RUN(call) baseline::call
#endif
#pragma GCC pop_options
