# Sourced by recipes of the Makefile. `stage NAME COMMAND...` runs a stage and prints its time; the outermost recipe prints a table of
# all stages at its end, however it ends.
# shellcheck shell=bash
if [[ -z ${COFFERDAM_STAGES:-} ]]; then
    COFFERDAM_STAGES=$(mktemp)
    export COFFERDAM_STAGES
    stages_began=$SECONDS
    trap stages_table EXIT
fi

stages_table() {
    echo
    awk '{ printf "%-20s %6d s  %s\n", $1, $2, $3 == 0 ? "ok" : "FAILED" }' "$COFFERDAM_STAGES"
    printf '%-20s %6d s\n' total $((SECONDS - stages_began))
    rm -f "$COFFERDAM_STAGES"
}

stage() {
    local name=$1 began=$SECONDS status=0
    shift
    echo "== $name"
    "$@" || status=$?
    echo "$name $((SECONDS - began)) $status" >>"$COFFERDAM_STAGES"
    echo "== $name took $((SECONDS - began)) s"
    return "$status"
}
