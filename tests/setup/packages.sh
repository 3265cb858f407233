#!/bin/bash
# Downloads Debian packages without installing them and prints their paths.
# usage: packages.sh PACKAGE...   `guest-kernel` means the kernel image that linux-image-cloud-amd64 depends on.
# The kernel is not installed: that would change what the host boots.
set -euo pipefail
dir=${XDG_CACHE_HOME:-$HOME/.cache}/cofferdam/packages
mkdir -p "$dir"
cd "$dir"
exec 9>.lock
flock 9

updated=
update_once() {
    [[ -z $updated ]] || return 1
    updated=1
    apt-get -q -o DPkg::Lock::Timeout=600 update >&2 || true
}

candidate_kernel() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: *\(linux-image-[^ ]*\)$/\1/p' | head -n 1; }

for package in "$@"; do
    pattern=$package
    if [[ $package == guest-kernel ]]; then pattern='linux-image-*-cloud-amd64'; fi
    # shellcheck disable=SC2086
    have=$(ls -t ${pattern}_*.deb 2>/dev/null | head -n 1 || true)
    if [[ -z $have ]]; then
        if [[ $package == guest-kernel ]]; then
            package=$(candidate_kernel)
            if [[ -z $package ]]; then update_once && package=$(candidate_kernel); fi
            [[ -n $package ]] || { echo "packages.sh: no source has linux-image-cloud-amd64" >&2; exit 1; }
        fi
        part=$(mktemp -d part.XXXXXX)
        trap 'rm -rf "$dir/$part"' EXIT
        # A package list can be older than what the archive still holds.
        (cd "$part" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2) || { update_once && (cd "$part" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2); }
        mv "$part"/*.deb .
        rmdir "$part"
        # shellcheck disable=SC2086
        have=$(ls -t ${pattern}_*.deb | head -n 1)
    fi
    echo "$dir/$have"
done
