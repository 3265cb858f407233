#!/bin/bash
# Installs Debian 12 packages by group. Nothing is fetched when all of a group is there already.
# usage: apt.sh build|check|run|test|bench|peer ...
#   build  what compiling needs         run   what `cofferdam serve` and the demo need
#   check  what `make check` needs besides build
#   test   what the tests need besides  bench containerd and runc, to compare with
#   peer   network plugins of the containerd that tests/peer builds
# No service is left running or enabled that was not before; the guest's kernel is only downloaded (packages.sh), never installed.
set -euo pipefail

declare -A groups=(
    [build]="gcc libc6-dev make pkg-config libnftnl-dev libmnl-dev libseccomp-dev ca-certificates"
    [run]="qemu-system-x86 qemu-system-common nftables iproute2 util-linux docker-registry"
    [test]="busybox-static runc socat procps curl bzip2 etcd-server openssl"
    [check]="python3-venv openssl"
    [bench]="containerd runc containernetworking-plugins"
    [peer]="containernetworking-plugins"
)

log() { echo "apt.sh: $*" >&2; }

missing() {
    local package
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
    done
}

policy=/usr/sbin/policy-rc.d
# While packages are installed no maintainer script may start a service.
forbid_services() {
    [[ ! -e $policy ]] || mv "$policy" "$policy.cofferdam"
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}
restore_services() {
    rm -f "$policy"
    [[ ! -e $policy.cofferdam ]] || mv "$policy.cofferdam" "$policy"
}

# A unit that a package enables would start at the next boot.
disable_services() {
    command -v systemctl >/dev/null || return 0
    local package unit
    for package in "$@"; do
        dpkg-query -L "$package" | sed -n 's#^\(/usr\)\?/lib/systemd/system/\([^/@]*\.service\)$#\2#p' | while read -r unit; do
            systemctl disable --quiet "$unit" 2>/dev/null || log "could not disable $unit of $package"
        done
    done
}

[[ $# -gt 0 ]] || { log "usage: apt.sh build|check|run|test|bench|peer ..."; exit 2; }
wanted=()
for group in "$@"; do
    [[ -n ${groups[$group]:-} ]] || { log "unknown group $group"; exit 2; }
    # shellcheck disable=SC2206
    wanted+=(${groups[$group]})
    # go.sh takes Go from PyPI where the system has none.
    [[ $group != test ]] || command -v go >/dev/null || wanted+=(python3-venv)
done

mapfile -t todo < <(missing "${wanted[@]}" | sort -u)
[[ ${#todo[@]} -gt 0 ]] || exit 0
[[ $(id -u) == 0 ]] || { log "needs root to install: ${todo[*]}"; exit 1; }

log "installing ${todo[*]}"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0"
trap restore_services EXIT
forbid_services
# A broken foreign source must not stop us: what matters is whether the installation works.
$apt update >&2 || log "apt-get update had errors"
$apt install --no-install-recommends "${todo[@]}" >&2
disable_services "${todo[@]}"
