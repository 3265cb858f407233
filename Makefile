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

.PHONY: help build build-deps demo test test-deps check tools critest bench peer fuzz install uninstall clean

help: ## this list
	sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

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

test: ## everything that must hold before a change lands (root)
	start=$$SECONDS
	step() { echo "== $$* ($$((SECONDS - start)) s)"; }
	step dependencies; make --no-print-directory build-deps; $(SETUP)/apt.sh run test
	step fmt; cargo fmt --all --check
	step clippy; cargo clippy --locked --workspace --all-targets -- -D warnings
	step deny; "$$($(SETUP)/deny.sh)" --locked check licenses bans sources
	step doc; RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	step build; make --no-print-directory build
	step tools; make --no-print-directory tools
	step test; cargo test --locked --workspace --no-fail-fast
	echo "== passed in $$((SECONDS - start)) s"

tools: ## the real clients (Go) and test images, cached outside the tree
	$(SETUP)/go.sh cri-tools critest kubelet cri-api >/dev/null
	$(SETUP)/busybox.sh >/dev/null
	$(SETUP)/packages.sh guest-kernel >/dev/null

critest: build ## critest of cri-tools against its list of expected failures (root)
	$(SETUP)/apt.sh run test
	$(SETUP)/go.sh cri-tools critest >/dev/null
	cargo test --locked -p cofferdam-critest --test critest -- --include-ignored --nocapture

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
