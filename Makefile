# The commands of this project; `make help` lists them. All of them can be repeated at any time.

# A folder without a git history, or one that git does not trust, is built without its stamp.
VCS := $(shell git log -1 >/dev/null 2>&1 || echo -buildvcs=false)

# Generated files are left out: they carry whatever flags the machine needs.
GOFILES = $(shell find . -name '*.go' -not -path './.*' -not -name 'zengine.go')

.DEFAULT_GOAL := build
.PHONY: build bench-peers demo test test-engines test-units test-browser race fuzz lint fmt engine engine-cached clean help

build: engine-cached ## find the engine and build the program (the default)
	go build $(VCS) -o ibot ./cmd/ibot

demo: build ## build, then watch a small iBOT learn: three minutes on two cores
	./ibot demo

test: lint ## everything a fresh machine needs, then all checks and tests
	go test ./...

test-engines: ## the tests that need libtorch, on Debian's 1.13 and on the newest wheel
	scripts/test-engines

test-units: engine-cached ## the kernels for matrix units, which this machine may lack, emulated
	CGO_CXXFLAGS="-DIB_EMULATE_UNITS -Wno-psabi" go test ./torch

test-browser: engine-cached ## the report in headless Chromium, installed from apt where it is missing
	scripts/chromium
	go test -count=1 -tags browser -run TestReportInBrowser ./cmd/ibot

race: ## the tests of the rooms that know no engine, under the race detector
	go test -race $$(go list ./imaging/... ./metrics/... ./rng/... ./ckpt/... ./data/... ./internal/... | grep -v internal/golden)

FUZZTIME := 10s
fuzz: engine-cached ## each fuzz target for FUZZTIME (10s)
	@grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' . | sed 's,/[^/]*:func, ,' | \
	while read -r folder name; do \
		echo "fuzz: $$name in $$folder"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$folder || exit 1; \
	done

bench-peers: build ## ours and the published code in turn: make bench-peers IBOT=CHECKOUT [PHOTOS=DIR]
	PYTHON="$(or $(PYTHON),python3)" scripts/bench-peers "$(IBOT)" $(PHOTOS)

lint: engine-cached ## vet, gofumpt and staticcheck
	go vet ./...
	@unformatted=$$(go tool gofumpt -l $(GOFILES)) && [ -z "$$unformatted" ] || \
		{ echo "gofumpt: not formatted (make fmt does it):" $$unformatted; exit 1; }
	go tool staticcheck ./...

fmt: ## format all Go files
	go tool gofumpt -w $(GOFILES)

engine: ## look for libtorch again, after one came or went
	@scripts/engine again

engine-cached:
	@scripts/engine

clean: ## remove what was built and what the engine search left, but no downloaded engine
	rm -rf ibot torch/zengine.go imaging/zengine.go .engine/found

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
