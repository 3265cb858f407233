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
    local pod
    printf '%-14s %-8s %-10s %-14s %s\n' POD TENANT SANDBOX ADDRESS KERNEL
    for pod in "${pods[@]}"; do
        printf '%-14s %-8s %-10s %-14s %s\n' "$pod" "${tenant[$pod]}" "${sandbox[$pod]}" "${address[$pod]}" "${kernel[$pod]}"
    done
}

# What one pod runs: a connection to each POD=ADDRESS, all at once. Who refuses it was reached.
# shellcheck disable=SC2016
connect='for to in "$@"; do (
    said=$(wget -q -T 3 -O /dev/null "http://${to#*=}/" 2>&1) || case $said in *refused*) ;; *) echo "${to%%=*} no"; exit ;; esac
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

show_matrices() { # BEFORE AFTER POLICY
    local from to file width=0
    for to in "${pods[@]}"; do width=$((width + ${#to} + 1)); done
    printf '%-13s %-*s  %s\n' "FROM \\ TO" "$width" "before the NetworkPolicy" "with it (only role=client reaches acme/web)"
    printf '%-13s' ""
    for file in 1 2; do printf ' %s' "${pods[@]}"; [[ $file == 2 ]] || printf '  '; done
    echo
    for from in "${pods[@]}"; do
        printf '%-13s' "$from"
        for file in "$1" "$2"; do
            for to in "${pods[@]}"; do printf ' %-*s' ${#to} "$(awk -v f="$from" -v t="$to" '$1 == f && $2 == t {print $3}' "$file")"; done
            [[ $file == "$2" ]] || printf '  '
        done
        echo
    done
}

explain() { # FROM TO
    echo "cofferdam policy explain --from $1 --to $2 --port TCP/80"
    cofferdam policy explain --from "$1" --to "$2" --port TCP/80 | sed 's/^/    /'
}
