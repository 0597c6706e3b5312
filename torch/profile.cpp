// Times operators where they run: forward, backward and inside one another.

#include "shim.h"

#include <ATen/record_function.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Row {
	int64_t calls = 0;
	double self = 0; // seconds, without those of the operators that it calls
};

std::mutex lock;
std::map<std::string, Row> rows;
at::CallbackHandle handle = 0;
bool running = false;

// Call is an operator under way on a thread; inner collects the time of those that it calls.
struct Call {
	Clock::time_point began;
	double inner;
};
thread_local std::vector<Call> calls;

std::unique_ptr<at::ObserverContext> begin(const at::RecordFunction &) {
	calls.push_back({Clock::now(), 0});
	return nullptr;
}

void end(const at::RecordFunction &fn, at::ObserverContext *) {
	if (calls.empty()) return; // began before the profile did
	const double total = std::chrono::duration<double>(Clock::now() - calls.back().began).count();
	const double self = total - calls.back().inner;
	calls.pop_back();
	if (!calls.empty()) calls.back().inner += total;
	std::lock_guard<std::mutex> hold(lock);
	Row &row = rows[fn.name()];
	row.calls++;
	row.self += self;
}

} // namespace

void ib_profile_begin(void) {
	std::lock_guard<std::mutex> hold(lock);
	if (running) return;
	rows.clear();
	handle = at::addGlobalCallback(at::RecordFunctionCallback(&begin, &end)
		.scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
	running = true;
}

// ib_profile_end returns lines "name\tcalls\tseconds\n", malloc'd.
char *ib_profile_end(void) {
	if (running) at::removeCallback(handle);
	std::lock_guard<std::mutex> hold(lock);
	running = false;
	std::string text;
	for (auto &[name, row] : rows) {
		text += name + "\t" + std::to_string(row.calls) + "\t" + std::to_string(row.self) + "\n";
	}
	return strdup(text.c_str());
}
