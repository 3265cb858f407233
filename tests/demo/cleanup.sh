# Sourced by run: ending everything, and showing that nothing is left. Uses $name, $dir, $socket, $bin.
# shellcheck shell=bash disable=SC2154

# fail MESSAGE FILE: the end, with the last lines of a log.
fail() {
    step
    echo "demo: $1" >&2
    [[ -z ${2:-} ]] || tail -n 20 "$2" >&2
    exit 1
}

# Runs a command; its output is shown only if it fails.
quietly() { "$@" >"$dir/command.log" 2>&1 || fail "failed: $*" "$dir/command.log"; }

# wait_for WHAT PID COMMAND...: until the command succeeds, while the process lives.
wait_for() {
    local what=$1 pid=$2 tries=0
    shift 2
    until "$@" >/dev/null 2>&1; do
        [[ -d /proc/$pid ]] && ((tries++ < 300)) || fail "$what did not start" "$dir/daemon.log"
        sleep 0.1
    done
}

cgroups() { find /sys/fs/cgroup -depth -type d -path "*/$name*" 2>/dev/null || true; }
mounts() { awk -v dir="$dir/" 'index($5, dir) == 1 {print $5}' /proc/self/mountinfo; }
tables() { if [[ -e $dir/netns ]] && mounts | grep -qx "$dir/netns"; then inside nft list tables; fi; }

# Processes in the demo's network namespace or cgroups, or that name its directory.
processes() {
    local inode=none pid
    if mounts | grep -qx "$dir/netns"; then inode=$(stat -Lc %i "$dir/netns"); fi
    for pid in /proc/[0-9]*; do
        pid=${pid#/proc/}
        [[ $pid != "$$" && $pid != "$BASHPID" ]] || continue
        if [[ $(readlink "/proc/$pid/ns/net" 2>/dev/null) == "net:[$inode]" ]] ||
            grep -qs "/$name" "/proc/$pid/cgroup" || grep -qsF "$dir/" "/proc/$pid/cmdline"; then
            # What has ended waits for its parent and holds nothing.
            grep -qs '^State:.Z' "/proc/$pid/status" || { [[ -d /proc/$pid ]] && echo "$pid"; }
        fi
    done
    return 0
}

count() { "$@" | wc -l; }

# The trap of EXIT: what is there is deleted as an admin would, then whatever is left by force, and what is left then is listed.
finish() {
    local status=$? pid left
    trap '' INT TERM HUP
    set +e
    [[ $status == 0 ]] || step
    if [[ -n ${daemon:-} && -d /proc/$daemon ]]; then
        timeout 60 nsenter --net="$dir/netns" -- "$bin/cofferdam" --socket "$socket" delete -f "$example/policy" -f "$example" -f tests/demo/other.yaml \
            --grace-period 1 >"$dir/command.log" 2>&1 ||
            { [[ $status != 0 ]] || tail -n 5 "$dir/command.log"; }
        kill -TERM "$daemon" 2>/dev/null
        for _ in {1..100}; do [[ ! -d /proc/$daemon ]] || sleep 0.1; done
        kill -KILL "$daemon" 2>/dev/null
    fi
    [[ -z ${registry:-} ]] || kill "$registry" 2>/dev/null
    wait 2>/dev/null
    # Told before force is used: what an orderly end leaves.
    local found="$(count processes) processes, $(count tables) nft tables, $(count mounts) mounts"
    for _ in {1..20}; do
        mapfile -t pids < <(processes)
        [[ ${#pids[@]} -gt 0 ]] || break
        kill -KILL "${pids[@]}" 2>/dev/null
        sleep 0.1
    done
    while read -r left; do umount -l "$left"; done < <(mounts | tac)
    while read -r left; do rmdir "$left"; done < <(cgroups)
    rm -rf "$dir"
    echo
    echo "after pods were deleted and the daemon was stopped: $found (one mount holds the network namespace)"
    echo "left behind: $(count processes) processes, $(count mounts) mounts, $(count cgroups) cgroups, network namespace and nft table: $(
        [[ -e $dir ]] && echo "in $dir" || echo none), $((SECONDS - started)) s"
    exit "$status"
}
