# SPDX-License-Identifier: MIT
# Thin front for people: every target is one or two commands of CMake, CTest or a script that you can type yourself.
#
#   make transcribe [AUDIO=file] [MODEL=tiny.en]   transcribe a recording, from nothing
#   make test                                      build and run every test that this machine can run
#   make serve                                     run the daemon here until Ctrl-C
#   make help                                      the rest

PRESET ?= release
MODEL ?= tiny.en
ADDRESS ?= 127.0.0.1:8177
PREFIX ?= /usr/local
BUILD := build/$(PRESET)
BIN := $(BUILD)/bin
PYTHON := .venv/bin/python
export PATH := $(PATH):/usr/sbin:/sbin

.NOTPARALLEL:
.DEFAULT_GOAL := build
.PHONY: help deps test-deps build models transcribe serve test lint asan tsan valgrind fuzz coverage bench wer install clean test-docker test-isa test-packages test-reproducible

help:
	@sed -n 's/^#   //p' Makefile
	@echo "make build | deps | install [PREFIX=/usr/local] | lint | asan | tsan | valgrind | fuzz [SECONDS=60] | coverage | bench | wer | test-docker | test-isa | test-packages | test-reproducible | clean"

deps:
	@tools/deps build fetch

test-deps:
	@tools/deps build fetch test

$(BUILD)/CMakeCache.txt:
	@mkdir -p $(BUILD)
	@cmake --preset $(PRESET) >$(BUILD)/configure.log 2>&1 || { tail -20 $(BUILD)/configure.log; exit 1; }

build: deps $(BUILD)/CMakeCache.txt
	@echo "build: $(PRESET) into $(BIN)"
	@cmake --build --preset $(PRESET) -- --quiet

models: deps
	@models/fetch $(MODEL) silero-vad

transcribe: build models
	@audio='$(AUDIO)'; audio=$${audio:-$$(tools/sample)} && tools/transcribe $(BIN) $(MODEL) $(ADDRESS) "$$audio"

serve: build models
	@echo "serve: http://$(ADDRESS) with $(MODEL), Ctrl-C ends it"
	@exec $(BIN)/sottod --model $(MODEL) --listen $(ADDRESS)

# The virtual environment of the tests, made again when its list changes.
.venv/.complete: tests/requirements.txt
	@echo "test: Python packages of tests/requirements.txt into .venv"
	@rm -rf .venv && python3 -m venv .venv
	@.venv/bin/pip install -q --disable-pip-version-check -r tests/requirements.txt
	@touch $@

# Without it the tests that compare with it are skipped and say so; it is tried again the next time.
.venv/.alone: .venv/.complete tests/requirements-alone.txt
	@if .venv/bin/pip install -q --disable-pip-version-check --no-deps -r tests/requirements-alone.txt; then touch $@; \
	    else echo "test: openai-whisper's text normalisers could not be fetched; reference-score will be skipped"; fi

# TESTS: further options of ctest, for example TESTS='-R unit-'.
test: test-deps $(BUILD)/CMakeCache.txt
	@$(MAKE) --no-print-directory .venv/.alone build
	@models/fetch tiny.en base silero-vad
	@cmake -DSOTTO_TEST_PYTHON=$(CURDIR)/$(PYTHON) $(BUILD) >>$(BUILD)/configure.log
	@tests/run $(PRESET) $(TESTS)

# Format, and clang-tidy's defects (.clang-tidy), of all C; make fuzz compiles all of it with Clang, warnings as errors.
lint: deps $(BUILD)/CMakeCache.txt
	@tools/deps lint
	@tools/lint $(BUILD)

# Every test under AddressSanitizer with leak checking and UBSan, and under ThreadSanitizer: half an hour and more each.
# Left out: http-faults, which has an allocator of its own; packages, which are made of other builds; emulated machines.
NOT_SANITIZED := -E '^(isa-|http-faults|install-package)'
asan:
	@$(MAKE) --no-print-directory test PRESET=asan TESTS="$(NOT_SANITIZED) $(TESTS)"

# The loops of the kernel tables are looked into only by the tests that are about them and the threads that share them.
tsan:
	@$(MAKE) --no-print-directory test PRESET=tsan TESTS="$(NOT_SANITIZED) $(TESTS)"
	@$(MAKE) --no-print-directory test PRESET=tsan-kernels TESTS="-R '^unit-(ops|packed|parallel|model|batch)'"

# A transcription by client and by daemon under memcheck.
valgrind: deps build
	@tools/deps valgrind
	@models/fetch tiny.en silero-vad
	@SOTTO_MODELS=$${SOTTO_MODELS:-models} tests/valgrind/run $(BUILD)

# libFuzzer on every parser that meets bytes from outside, SECONDS each.
SECONDS ?= 60
fuzz: test-deps
	@tools/deps fuzz
	@$(MAKE) --no-print-directory build PRESET=fuzz
	@tests/fuzz/run $(SECONDS)

# How much of each parser of outside bytes its fuzz target and the unit tests run; at least 90 % of the lines. Left out is
# what meets no such bytes and takes minutes when every line is counted.
coverage: test-deps
	@tools/deps coverage
	@$(MAKE) --no-print-directory build PRESET=coverage
	@find build/coverage -name '*.gcda' -delete
	@tests/run coverage -R '^(unit|fuzz)-' -E '^unit-(batch|checkpoint|draft|live|long|ops|packed|parallel|search|transcribe|vad)$$' \
		>build/coverage/tests.txt || { tail -40 build/coverage/tests.txt; exit 1; }
	@tests/fuzz/coverage build/coverage

# The kernel tables of other machines: what `make test` runs of them, and an emulated Ice Lake, some minutes.
test-isa: test-deps $(BUILD)/CMakeCache.txt
	@tools/deps emulate
	@$(MAKE) --no-print-directory build
	@tests/run $(PRESET) -C emulated -L isa

bench: build
	@models/fetch tiny.en base
	@bench/compare

# Word error rate beside openai-whisper's, whose normaliser comes with it (and torch: a large download). Not in `test`.
SPEECH ?= ../shared/speech/dev
build/wer-venv/.complete:
	@rm -rf build/wer-venv && python3 -m venv build/wer-venv
	@build/wer-venv/bin/pip install -q --disable-pip-version-check openai-whisper jiwer soundfile
	@touch $@

wer: build build/wer-venv/.complete
	@models/fetch tiny.en base
	@for m in tiny.en base; do build/wer-venv/bin/python tests/wer/wer.py --refs $(SPEECH)/refs.tsv --sotto $(BIN)/sotto \
	    --model $$m --option=--precision=f32 --option=--full-window --option=--sequential \
	    --check tests/wer/reference/$$m-greedy.tsv || exit 1; done

install: build
	@cmake --install $(BUILD) --prefix $(PREFIX)

test-docker:
	@tests/docker/run_steps

# Debian packages, installed, tried also as a booted system's service, and purged in a bare Debian 12. As root.
test-packages: build
	@tools/deps packages
	@models/fetch tiny.en
	@cd $(BUILD) && cpack -G DEB >cpack.log || { tail -20 cpack.log; exit 1; }
	@tests/install/in_a_fresh_root $(BUILD) $${SOTTO_MODELS:-models}

# This commit built twice in different surroundings: are the programs, the library and the packages the same bytes?
test-reproducible: deps
	@tools/reproduce

clean:
	@rm -rf build .venv .cache
