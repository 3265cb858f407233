#!/bin/bash
# Builds cargo-deny once, outside the tree, and prints its path. Built for a short compile, not for a fast tool.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=versions.env
. "$here/versions.env"
out=${XDG_CACHE_HOME:-$HOME/.cache}/cofferdam/tools/cargo-deny-$CARGO_DENY_VERSION
if [[ ! -x $out/bin/cargo-deny ]]; then
    echo "deny.sh: building cargo-deny $CARGO_DENY_VERSION" >&2
    # Outside the tree, so that the workspace's .cargo/config.toml does not apply.
    cd /
    env -u CARGO_TARGET_DIR -u RUSTFLAGS \
        CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_STRIP=debuginfo \
        nice -n 10 cargo install --quiet --locked --no-track --root "$out" "cargo-deny@$CARGO_DENY_VERSION" >&2
fi
echo "$out/bin/cargo-deny"
