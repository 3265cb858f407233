#!/bin/bash
# Builds busybox from Debian's source package with upstream's default configuration, static, once; prints its path.
# Debian's own busybox-static runs its applets inside its shell instead of the files of an image, which is not what
# images have.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dsc=$("$here/packages.sh" src:busybox)
version=$(basename "$dsc" .dsc)
version=${version#busybox_}
out=${XDG_CACHE_HOME:-$HOME/.cache}/cofferdam/tools/busybox-$version/busybox
mkdir -p "$(dirname "$out")"
exec 9>"$(dirname "$out")/.lock"
flock 9
if [[ ! -x $out ]]; then
    echo "busybox.sh: building busybox $version" >&2
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    tar -xjf "$(dirname "$dsc")/busybox_${version%-*}.orig.tar.bz2" -C "$work" --strip-components=1
    cd "$work"
    {
        # KCONFIG_NOTIMESTAMP and SOURCE_DATE_EPOCH keep the time of the build out of the program.
        export KCONFIG_NOTIMESTAMP=1 SOURCE_DATE_EPOCH=0
        make -s defconfig
        sed -i 's/^# CONFIG_STATIC is not set/CONFIG_STATIC=y/' .config
        nice -n 10 make -s -j "${COFFERDAM_MAKE_JOBS:-2}" busybox
    } >"$work/log" 2>&1 </dev/null || { tail -n 30 "$work/log" >&2; exit 1; }
    install -m 0755 busybox "$out.part"
    mv "$out.part" "$out"
fi
echo "$out"
