# The commands of the project; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help

PREFIX ?= /usr/local
DESTDIR ?=
MUSL := x86_64-unknown-linux-musl
SETUP := tests/setup
BIN := $(CURDIR)/bin
export COFFERDAM_BIN_DIR := $(BIN)

.PHONY: help build build-deps demo check check-deps test test-kernel test-e2e tools critest conformance bench peer fuzz install uninstall clean

help: ## this list
	sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

build: build-deps ## cofferdam, cofferdam-shim and cofferdam-agent into bin/
	cargo build --locked --release -p cofferdam
	cargo build --locked --profile small --target $(MUSL) -p cofferdam-shim -p cofferdam-agent
	mkdir -p bin
	# Only what changed is replaced, and by rename, since a running binary cannot be written to.
	for file in target/release/cofferdam target/$(MUSL)/small/cofferdam-{shim,agent}; do
	    to=bin/$$(basename $$file)
	    cmp -s $$file $$to || { cp $$file $$to.new; mv $$to.new $$to; }
	done

build-deps:
	$(SETUP)/apt.sh build
	$(SETUP)/rust.sh

demo: build ## two tenants, a VM pod and a namespace pod, one policy (root)
	$(SETUP)/apt.sh run
	tests/demo/run

# A stage prints its time, the outermost recipe a table of them (tests/setup/stages.sh).
STAGES := . $(SETUP)/stages.sh
NEXTEST = "$$($(SETUP)/cargo-tools.sh nextest)" nextest run --locked --workspace --no-tests fail --profile $(if $(CI),ci,default)
E2E := package(cofferdam-e2e) + package(cofferdam-hostile) + package(cofferdam-cluster-tests)
# Suites with a command of their own.
SUITES := $(E2E) + package(cofferdam-critest) + package(cofferdam-peer)

check: check-deps ## what needs no root and no network: fmt, dependencies, clippy, docs, tests
	$(STAGES)
	stage fmt cargo fmt --all --check
	stage deny "$$($(SETUP)/cargo-tools.sh deny)" --locked check --hide-inclusion-graph licenses bans sources
	stage machete "$$($(SETUP)/cargo-tools.sh machete)" cri netpolicy proto sandbox tenant tests
	stage clippy cargo clippy --locked --workspace --all-targets -- -D warnings
	stage doc env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps
	stage test $(NEXTEST)
	stage doctest cargo test --quiet --locked --workspace --doc

check-deps: build-deps
	$(SETUP)/apt.sh check
	$(SETUP)/cargo-tools.sh nextest deny machete >/dev/null

test-kernel: check-deps ## the ignored tests of all crates: kernel, packages (root, network at first)
	$(STAGES)
	$(SETUP)/apt.sh run test
	stage tools make --no-print-directory tools
	stage test-kernel $(NEXTEST) --run-ignored only -E 'not ($(SUITES))'

test-e2e: build ## a daemon with its real clients, both kinds of sandbox (root, network at first)
	$(STAGES)
	$(SETUP)/apt.sh run test check
	stage tools make --no-print-directory tools
	stage test-e2e $(NEXTEST) --run-ignored only -E '$(E2E)'

test: ## everything that must hold before a change lands (root)
	$(STAGES)
	stage dependencies make --no-print-directory check-deps
	$(SETUP)/apt.sh run test
	make --no-print-directory check
	stage build make --no-print-directory build
	make --no-print-directory test-kernel
	make --no-print-directory test-e2e
	stage critest make --no-print-directory critest
	stage peer make --no-print-directory peer

tools: ## the real clients (Go) and test images, cached outside the tree
	$(SETUP)/apt.sh run test
	$(SETUP)/go.sh cri-tools critest cri-api kubelet kubectl control-plane agnhost coredns e2e >/dev/null
	$(SETUP)/busybox.sh >/dev/null
	$(SETUP)/packages.sh guest-kernel >/dev/null

critest: build ## critest of cri-tools against its list of expected failures (root)
	$(SETUP)/apt.sh run test
	$(SETUP)/go.sh cri-tools critest >/dev/null
	cargo test --locked -p cofferdam-critest --test critest -- --include-ignored --nocapture

conformance: build tools ## all of upstream's node conformance tests on a real cluster (root)
	cargo run --locked -p cofferdam-cluster-tests

bench: build ## compare with Debian's containerd and runc (root, idle machine)
	$(SETUP)/apt.sh run bench
	$(SETUP)/go.sh cri-tools >/dev/null
	cargo run --locked --release -p cofferdam-bench

peer: build ## compare with containerd and runc from Go modules, against the lists in tests/peer/differences (root)
	$(SETUP)/apt.sh run test peer
	$(SETUP)/go.sh cri-tools containerd runc >/dev/null
	cargo test --locked -p cofferdam-peer --test families -- --ignored --nocapture --test-threads=2

fuzz: ## one fuzz target under libFuzzer: make fuzz TARGET=spdy_frames SECONDS=60 (nightly, cargo-fuzz)
	test -n "$(TARGET)" || { echo "make fuzz TARGET=NAME; see fuzz/README.md" >&2; exit 2; }
	cargo +nightly fuzz run $(TARGET) -- -max_total_time=$(or $(SECONDS),60)

install: ## bin/ and the systemd unit below PREFIX (default /usr/local)
	test -x bin/cofferdam || { echo "make build comes first" >&2; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)/etc/cofferdam/config.toml.d $(DESTDIR)/etc/cofferdam/cluster.d
	install -m 0755 bin/cofferdam bin/cofferdam-shim bin/cofferdam-agent $(DESTDIR)$(PREFIX)/bin/
	if [[ -f manifests/systemd/cofferdam.service ]]; then
	    install -d $(DESTDIR)/etc/systemd/system
	    sed 's#/usr/local/bin/#$(PREFIX)/bin/#' manifests/systemd/cofferdam.service >$(DESTDIR)/etc/systemd/system/cofferdam.service
	fi

uninstall: ## what install put there; configuration and state stay
	rm -f $(DESTDIR)$(PREFIX)/bin/cofferdam{,-shim,-agent} $(DESTDIR)/etc/systemd/system/cofferdam.service

clean: ## what was built in the tree; the caches outside it stay
	cargo clean
	rm -rf bin
