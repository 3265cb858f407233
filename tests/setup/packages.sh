#!/bin/bash
# Downloads Debian packages without installing them and prints their paths.
# usage: packages.sh PACKAGE...   `guest-kernel` means the kernel image that linux-image-cloud-amd64 depends on,
#   `src:NAME` a source package, of which the path of the .dsc is printed.
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

# Debian's own entries of the system's sources, as deb-src, in a list of their own: most systems have no deb-src.
source_options() {
    local list=$1/sources.list
    mkdir -p "$1/lists/partial"
    debian_sources >"$list"
    # Which of them are Debian's is known once their lists have been fetched.
    [[ -s $list ]] || { update_once && debian_sources >"$list"; }
    [[ -s $list ]] || { echo "packages.sh: no source of packages is Debian's" >&2; return 1; }
    options=(-qq -o APT::Sandbox::User=root -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$1/lists")
}

debian_sources() {
    apt-get indextargets --format '$(ORIGIN) deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
        sed -n 's/^Debian deb-src /deb-src /p' | sort -u
}

# source_package NAME: downloads it and prints the path of its .dsc.
source_package() {
    local name=$1 have part options
    have=$(ls -t "${name}"_*.dsc 2>/dev/null | head -n 1 || true)
    if [[ -z $have ]]; then
        part=$(mktemp -d part.XXXXXX)
        # shellcheck disable=SC2064
        trap "rm -rf '$dir/$part'" EXIT
        source_options "$dir/$part"
        mkdir "$part/files"
        apt-get "${options[@]}" update >&2
        (cd "$part/files" && apt-get "${options[@]}" source --download-only "$name" >&2)
        # The .dsc last: it says that the rest is there.
        have=$(cd "$part/files" && ls ./*.dsc)
        find "$part/files" -type f ! -name '*.dsc' -exec mv -t . {} +
        mv "$part/files/$have" .
        rm -rf "$part"
    fi
    echo "$dir/$(basename "$have")"
}

for package in "$@"; do
    if [[ $package == src:* ]]; then
        source_package "${package#src:}"
        continue
    fi
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
