#!/bin/bash
# The Rust components the build needs: the musl target of the shim and the agent, rustfmt and clippy.
set -euo pipefail
target=x86_64-unknown-linux-musl

command -v cargo >/dev/null || { echo "rust.sh: no cargo on PATH; install Rust 1.95 or later (https://rustup.rs)" >&2; exit 1; }
sysroot=$(rustc --print sysroot)
if [[ ! -d $sysroot/lib/rustlib/$target ]]; then
    command -v rustup >/dev/null || { echo "rust.sh: the target $target is not installed and there is no rustup to add it" >&2; exit 1; }
    rustup target add "$target"
fi
for component in rustfmt:rustfmt clippy:cargo-clippy; do
    [[ -x $sysroot/bin/${component#*:} ]] || rustup component add "${component%:*}"
done
