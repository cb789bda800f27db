#!/usr/bin/env bash
# A real Slurm of one node on this machine, as root and without systemd: munged, slurmctld and slurmd with keys,
# sockets and state in FOLDER. Accounting is off, so `sacct` has nothing to tell.
#
#   cluster.sh install             apt-get install what is missing; exit status 3 and a reason when that cannot be
#   cluster.sh start FOLDER [PID]  start it, then: export SLURM_CONF=FOLDER/slurm.conf; it is taken down when
#                                  process PID ends, however it ends
#   cluster.sh stop FOLDER         cancel its jobs and take it down
#   cluster.sh check               start one and take it down; exit status 3 and a reason when that cannot be
#   cluster.sh settle              wait until every one whose process PID has ended is down
set -euo pipefail

cannot() {
    echo "no Slurm here: $*" >&2
    exit 3
}

missing() {
    local program
    for program in munged mungekey slurmctld slurmd sbatch scontrol squeue srun; do
        command -v "$program" >/dev/null || echo "$program"
    done
}

install_slurm() {
    [ "$(id -u)" -eq 0 ] || cannot "the daemons are started as root, and this is $(id -un)"
    if [ -z "$(missing)" ]; then return; fi
    exec 9<"$0"
    flock 9 # tests that run side by side install once
    if [ -z "$(missing)" ]; then return; fi
    command -v apt-get >/dev/null || cannot "missing $(missing | xargs) and no apt-get to install them"
    local log
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    { timeout 300 apt-get update -qq &&
        timeout 600 apt-get install -qq -y --no-install-recommends slurm-wlm munge; } >"$log" 2>&1 ||
        cannot "apt-get install slurm-wlm munge failed: $(grep -m1 '^E:' "$log" || tail -n 1 "$log")"
    rm -f "$log"
    [ -z "$(missing)" ] || cannot "slurm-wlm is installed and $(missing | xargs) still missing"
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A requeued job waits until its credential has expired (120 s by default): cred_expire makes that short.
# Job numbers begin anywhere: MPICH names its shared memory by job and step, a killed job leaves that behind, and
# the next of the same number on this machine hangs.
write_configuration() {
    local node
    node=$(uname -n | cut -d . -f 1)
    cat >"$1/slurm.conf" <<CONF
ClusterName=simtools
FirstJobId=$((RANDOM * 1000 + RANDOM % 1000 + 1))
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$(free_port)
SlurmdPort=$(free_port)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$1/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$1/state
SlurmdSpoolDir=$1/spool
SlurmctldPidFile=$1/slurmctld.pid
SlurmdPidFile=$1/slurmd.pid
SlurmctldLogFile=$1/slurmctld.log
SlurmdLogFile=$1/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
JobCompType=jobcomp/none
ReturnToService=2
KillWait=10
NodeName=$node NodeAddr=127.0.0.1 CPUs=16 RealMemory=16000 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP
CONF
}

# The last lines of files that have any, in one line.
last_words() {
    local file
    for file in "$@"; do
        grep -s . "$file" | tail -n 2 || true
    done | tr '\n' ' '
}

start() {
    local folder=$1 owner=${2-}
    mkdir -p "$folder/state" "$folder/spool"
    : >"$folder/up"
    if [ -n "$owner" ]; then setsid bash "$0" watch "$folder" "$owner" </dev/null >/dev/null 2>&1 & fi
    chmod 755 "$folder"
    mungekey --create --force --keyfile="$folder/munge.key" >/dev/null
    chmod 600 "$folder/munge.key"
    write_configuration "$folder"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munge.pid" \
        --log-file="$folder/munge.log" --seed-file="$folder/munge.seed" 2>"$folder/munge.err" ||
        cannot "munged: $(last_words "$folder"/munge.{err,log})"
    export SLURM_CONF=$folder/slurm.conf
    slurmctld -i >"$folder/slurmctld.out" 2>&1 || cannot "slurmctld: $(last_words "$folder"/slurmctld.{out,log})"
    slurmd >"$folder/slurmd.out" 2>&1 || cannot "slurmd: $(last_words "$folder"/slurmd.{out,log})"
    for _ in $(seq 60); do
        if [ "$(sinfo -h -o %T 2>/dev/null)" = idle ]; then return; fi
        sleep 0.5
    done
    cannot "the node is $(sinfo -h -o '%T (%E)' 2>&1 | head -n 1) after 30 s: $(last_words "$folder/slurmd.log")"
}

# Take it down once process $2 has ended; nothing to do when it is down already.
watch() {
    while [ -e "$1/up" ] && kill -0 "$2" 2>/dev/null; do sleep 1; done
    if [ -e "$1/up" ]; then stop "$1"; fi
}

# Watchers of Slurms whose owner has ended: they are taking them down.
mourners() {
    local process words
    for process in /proc/[0-9]*; do
        mapfile -d '' -t words 2>/dev/null <"$process/cmdline" || continue
        if [ "${words[2]-}" != watch ] || [ "${words[1]##*/}" != cluster.sh ]; then continue; fi
        if [ ! -e "/proc/${words[4]}" ]; then echo "${process#/proc/}"; fi
    done
}

settle() {
    sleep 3 # a process that was killed just now is not yet gone
    for _ in $(seq 90); do
        if [ -z "$(mourners)" ]; then return; fi
        sleep 1
    done
    echo "a Slurm is still being taken down after 90 s: processes $(mourners | xargs)" >&2
    exit 1
}

# Processes of jobs of this cluster: they know its configuration and their job.
job_processes() {
    local process
    for process in /proc/[0-9]*; do
        grep -zqxF "SLURM_CONF=$1/slurm.conf" "$process/environ" 2>/dev/null || continue
        if grep -zq '^SLURM_JOB_ID=' "$process/environ" 2>/dev/null; then echo "${process#/proc/}"; fi
    done
}

stop() {
    local folder=$1 name pid
    export SLURM_CONF=$folder/slurm.conf
    rm -f "$folder/up"
    timeout 10 scancel --me 2>/dev/null || true
    for _ in $(seq 20); do
        if [ -z "$(timeout 10 squeue -h 2>/dev/null)" ]; then break; fi
        sleep 0.5
    done
    for name in slurmd slurmctld munge; do
        pid=$(cat "$folder/$name.pid" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || continue
        for _ in $(seq 40); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.25
        done
        kill -KILL "$pid" 2>/dev/null || true
    done
    for pid in $(job_processes "$folder"); do
        kill -KILL "$pid" 2>/dev/null || true
    done
}

check() {
    local folder status=0
    folder=$(mktemp -d)
    (start "$folder" $$) || status=$?
    stop "$folder"
    rm -rf "$folder"
    exit "$status"
}

case "${1-} ${2-}" in
    "install ") install_slurm ;;
    "check ") check ;;
    "settle ") settle ;;
    "start "?*) start "$(mkdir -p "$2" && realpath "$2")" "${3-}" ;;
    "watch "?*) watch "$2" "$3" ;;
    "stop "?*) stop "$(realpath "$2")" ;;
    *)
        sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
