// Errors of C++ on their way to Go.
#pragma once

#include "shim.h"

#include <c10/util/Exception.h>

#include <cstring>
#include <new>
#include <string>

namespace {

inline char *copy(const std::string &s) { return strdup(s.c_str()); }

// first_lines drops the C++ backtrace that libtorch appends to its messages.
inline std::string first_lines(std::string msg) {
	for (const char *mark : {"\nException raised from", "\n\nDebug information", "\nCUDA kernel errors might"}) {
		auto at = msg.find(mark);
		if (at != std::string::npos) msg.resize(at);
	}
	return msg;
}

inline bool looks_like_oom(const std::string &msg) {
	return msg.find("out of memory") != std::string::npos || msg.find("can't allocate memory") != std::string::npos ||
		msg.find("not enough memory") != std::string::npos;
}

// guarded calls f, which returns how many results it wrote, and catches what it throws.
template <class F>
ib_result guarded(F f) {
	ib_result r{nullptr, ib_scope(), 0, 0};
	try {
		r.n = f();
	} catch (const c10::Error &e) {
		std::string msg = first_lines(e.what_without_backtrace());
		r.oom = looks_like_oom(msg);
		r.err = copy(msg);
	} catch (const std::bad_alloc &) {
		r.oom = 1;
		r.err = copy("out of memory");
	} catch (const std::exception &e) {
		std::string msg = first_lines(e.what());
		r.oom = looks_like_oom(msg);
		r.err = copy(msg);
	} catch (...) {
		r.err = copy("unknown C++ exception");
	}
	return r;
}

} // namespace
