// The caches of a core.
#pragma once

#include <cstdint>
#include <unistd.h>

namespace {

struct Caches {
	int64_t nearest, second; // bytes
};

// caches returns what the system says of them; where it says nothing, what every processor has.
inline const Caches &caches() {
	static const Caches found = [] {
		Caches c{32 << 10, 256 << 10};
#ifdef _SC_LEVEL1_DCACHE_SIZE
		const int64_t nearest = sysconf(_SC_LEVEL1_DCACHE_SIZE), second = sysconf(_SC_LEVEL2_CACHE_SIZE);
		if (nearest > c.nearest) c.nearest = nearest;
		if (second > c.second) c.second = second;
#endif
		return c;
	}();
	return found;
}

} // namespace
