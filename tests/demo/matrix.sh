# Sourced by run: who the pods are, and who reaches whom.
# shellcheck shell=bash

pods=()
declare -A address tenant sandbox kernel

# Names, addresses and kernels of all pods, in the order of their names.
load_pods() {
    local line pod
    while IFS=$'\t' read -r pod a t s; do
        pods+=("$pod")
        address[$pod]=$a tenant[$pod]=$t sandbox[$pod]=$s
        kernel[$pod]=$(cofferdam exec "$pod" -- uname -r)
    done < <(cofferdam pods | awk 'NR > 1 {split($6, addresses, ","); print $1 "/" $2 "\t" addresses[1] "\t" $3 "\t" $4}')
    [[ ${#pods[@]} -gt 0 ]] || fail "no pod runs" "$dir/daemon.log"
}

show_pods() {
    local pod number=1
    printf '%-16s %-8s %-10s %-14s %s\n' "  POD" TENANT SANDBOX ADDRESS KERNEL
    for pod in "${pods[@]}"; do
        printf '%-16s %-8s %-10s %-14s %s\n' "$((number++)) $pod" "${tenant[$pod]}" "${sandbox[$pod]}" "${address[$pod]}" "${kernel[$pod]}"
    done
}

# What one pod runs: a connection to each POD=ADDRESS, all at once. Who refuses it was reached. (Not wget: Debian's static busybox looks up the
# port of "http", and its libc crashes on that in an image without shared libraries.)
# shellcheck disable=SC2016
connect='for to in "$@"; do (
    said=$(timeout 8 nc -w 3 "${to#*=}" 80 </dev/null 2>&1) || case $said in *refused*) ;; *) echo "${to%%=*} no"; exit ;; esac
    echo "${to%%=*} yes"
) & done; wait'

# Lines FROM TO yes|no. Pods are asked at the same time.
probe() {
    local from to targets=()
    for to in "${pods[@]}"; do targets+=("$to=${address[$to]}"); done
    for from in "${pods[@]}"; do
        cofferdam exec "$from" -- sh -c "$connect" sh "${targets[@]}" | sed "s#^#$from #" &
        jobs[${#jobs[@]}]=$!
    done
    local job
    for job in "${jobs[@]}"; do wait "$job" || fail "a pod could not be asked" "$dir/daemon.log"; done
    jobs=()
}
jobs=()

show_matrices() { # BEFORE AFTER
    local from to file number=1 blank=''
    printf -v blank '%*s' $((${#pods[@]} * 5 - 14)) ''
    echo "TCP port 80       no policy yet$blank only role=client may reach acme/web"
    printf '%-16s' "  FROM \\ TO"
    for file in "$1" "$2"; do
        for to in "${!pods[@]}"; do printf ' %-4s' $((to + 1)); done
        printf '   '
    done
    echo
    for from in "${pods[@]}"; do
        printf '%-16s' "$((number++)) $from"
        for file in "$1" "$2"; do
            for to in "${pods[@]}"; do printf ' %-4s' "$(answer "$file" "$from" "$to")"; done
            printf '   '
        done
        echo
    done
}

answer() { awk -v f="$2" -v t="$3" '$1 == f && $2 == t {print $3}' "$1"; }

explain() { # FROM TO
    echo "cofferdam policy explain --from $1 --to $2 --port TCP/80"
    cofferdam policy explain --from "$1" --to "$2" --port TCP/80 | sed 's/^/    /'
}
