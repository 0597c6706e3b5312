// Float32 matrix products by oneDNN.
//
// libtorch's builds without MKL (Debian's) send float32 products to whatever libblas.so.3 is: the
// slow reference BLAS, or OpenBLAS, whose threads fight libtorch's OpenMP threads for the same
// cores (3 times slower on two cores). oneDNN is there anyway, shares those threads and has
// kernels for the newest instruction sets. The program defines sgemm_ itself, so that the dynamic linker binds
// libtorch's calls to it. Builds with MKL inside never call it. IBOT_GEMM=blas switches it off.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int (*dnnl_sgemm_t)(char transa, char transb, int64_t m, int64_t n, int64_t k, float alpha,
	const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
typedef void (*blas_sgemm_t)(const char *transa, const char *transb, const int *m, const int *n, const int *k,
	const float *alpha, const float *a, const int *lda, const float *b, const int *ldb, const float *beta,
	float *c, const int *ldc);

static dnnl_sgemm_t dnnl;
static blas_sgemm_t blas;

__attribute__((constructor)) static void find_gemm(void) {
	const char *choice = getenv("IBOT_GEMM");
	if (!choice || strcmp(choice, "blas") != 0) dnnl = (dnnl_sgemm_t)dlsym(RTLD_DEFAULT, "dnnl_sgemm");
	blas = (blas_sgemm_t)dlsym(RTLD_NEXT, "sgemm_");
	// Tensors of a step come and go by the hundred; handing each back to the kernel costs a page
	// fault per 4 KiB when it comes again. So: one arena (Go's threads would have one each, of heaps that
	// shrink), no mapping of its own for a tensor below 32 MiB (glibc's limit), and freed memory stays.
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, -1);
}

static int is_transposed(const char *t) { return *t != 'n' && *t != 'N'; }

// Column-major C = alpha op(A) op(B) + beta C is the row-major product of B and A.
__attribute__((visibility("default"))) void sgemm_(const char *transa, const char *transb, const int *m,
	const int *n, const int *k, const float *alpha, const float *a, const int *lda, const float *b, const int *ldb,
	const float *beta, float *c, const int *ldc) {
	if (dnnl && dnnl(is_transposed(transb) ? 'T' : 'N', is_transposed(transa) ? 'T' : 'N', *n, *m, *k, *alpha, b,
			*ldb, a, *lda, *beta, c, *ldc) == 0) {
		return;
	}
	blas(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

// ib_gemm names the library that runs float32 products, as far as it is decided here.
char *ib_gemm(void) {
	if (!blas) return "the engine's own";
	return dnnl ? "oneDNN" : "libblas";
}
