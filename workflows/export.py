"""A campaign as plain files that need no simtools driver: job arrays for Slurm, or a Snakefile.

Both run ``simtools point DIR NAME`` for every point, volume stages before the replicas that need them, and
``simtools report DIR`` at the end. They may be run again at any time: what is done is not done twice.
"""

import os
import shlex
import sys

from simtools.core.errors import ConfigError
from workflows.node import thread_lines
from workflows.point_names import planned_points

__all__ = ["write_slurm", "write_snakemake"]

_LARGEST_ARRAY = 1000
_RETRIES = 20
_MOST_IDLE = 3
_PROGRAM = (sys.executable, "-P", "-m", "workflows")

_TASK = r"""#!/bin/bash
# {title}
# One point, written by simtools export; the argument is where the array begins in points.txt, counted from 0.
{options}
set -u
cd {directory} || exit 2
name=$(sed -n "$(($1 + SLURM_ARRAY_TASK_ID + 1))p" slurm/points.txt)
mkdir -p "slurm/logs/$(dirname "$name")"
exec >>"slurm/logs/$name.log" 2>&1
{environment}

folder=points
case $name in */*) folder=cases/${{name%/*}}/points ;; esac
checkpoints() {{ cat "$folder/${{name##*/}}"-*/checkpoint-*.npz 2>/dev/null | cksum; }}
before=$(checkpoints)
idle_file="slurm/logs/$name.idle"

# Slurm's signal comes to this shell; SIGTERM (scancel, preemption) stops the point without a requeue.
requeue=yes
{program} point . "$name" --quiet --threads {threads} --time-limit {limit} --lead {lead} &
child=$!
trap 'signalled=yes; kill -USR1 "$child"' USR1
trap 'signalled=yes; requeue=no; kill -TERM "$child"' TERM
signalled=yes
while [ "$signalled" = yes ]; do
    signalled=no
    wait "$child"
    status=$?
done
# 75: stopped at a checkpoint; 138: SIGUSR1 before the point had begun. The number of the array alone would
# requeue all of its tasks.
if [ "$requeue" = yes ] && {{ [ "$status" -eq 75 ] || [ "$status" -eq 138 ]; }}; then
    idle=0
    if [ "$(checkpoints)" = "$before" ]; then idle=$(($(cat "$idle_file" 2>/dev/null || echo 0) + 1)); fi
    echo "$idle" >"$idle_file"
    if [ "$idle" -ge {most_idle} ]; then
        echo "simtools: {most_idle} jobs in a row came to no new checkpoint: the time limit is too short"
        rm -f "$idle_file"
        exit 1
    fi
    exec scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$status"
"""

_SUBMIT = r"""#!/bin/bash
# {title}
# Submits what is not done, written by simtools export; task.sh runs one point.
# Look at squeue first: points that are in the queue already would be submitted twice (the second copy of a
# point waits for the first or ends).
set -euo pipefail
cd {directory}
mkdir -p slurm/logs

# is_done POINT or CASE/POINT
is_done() {{
    local folder=points
    case $1 in */*) folder=cases/${{1%/*}}/points ;; esac
    compgen -G "$folder/${{1##*/}}-*/done.json" >/dev/null
}}

# submit FIRST LAST [OPTION...]: one array of the points in these lines that are not done
submit() {{
    local index list= number
    for ((index = $1; index <= $2; index++)); do
        is_done "${{names[index]}}" || list=$list,$((index - $1))
    done
    if [ -z "$list" ]; then return; fi
    number=$(sbatch --parsable --array="${{list#,}}{throttle}" "${{@:3}}" slurm/task.sh "$1")
    number=${{number%%;*}}
    all=$all:$number
    for ((index = $1; index <= $2; index++)); do
        is_done "${{names[index]}}" || job_of[${{names[index]}}]=${{number}}_$((index - $1))
    done
}}

# submit_after POINT FIRST LAST: the same, once POINT is done
submit_after() {{
    if [ -n "${{job_of[$1]-}}" ]; then
        submit "$2" "$3" --dependency="afterok:${{job_of[$1]}}" --kill-on-invalid-dep=yes
    else
        submit "$2" "$3"
    fi
}}

mapfile -t names <slurm/points.txt
declare -A job_of=()
all=
{arrays}
if [ -n "$all" ]; then
    sbatch --dependency="afterany$all" {report_options} \
        --wrap={report}
else
    {report_now}
fi
"""

_SNAKEFILE = '''"""{title}: written by simtools export. Run: snakemake --cores N --snakefile THIS_FILE"""

workdir: {directory}

PROGRAM = {program}
# point: the volume stage that it waits for
AFTER = {after}

wildcard_constraints:
    name="([^/]+/)?[^/]+"

ruleorder: report > point

rule all:
    input:
        "snakemake/report.done"

rule report:
    input:
        expand("snakemake/{{name}}.done", name=list(AFTER))
    output:
        touch("snakemake/report.done")
    shell:
        "{{PROGRAM}} report ."

# A point that was stopped in time (exit status 75) goes on from its checkpoint at the next try.
rule point:
    input:
        lambda wildcards: ["snakemake/" + AFTER[wildcards.name] + ".done"] if AFTER[wildcards.name] else []
    output:
        touch("snakemake/{{name}}.done")
    threads: {threads}
    retries: {retries}
{resources}    shell:
        "{{PROGRAM}} point . {{wildcards.name:q}} --quiet --threads {per_rank}{limit}"
'''


def write_slurm(directory, title, campaigns, settings):
    """Write ``slurm/submit.sh``, ``task.sh`` and ``points.txt`` in the run directory; return the first.

    Parameters
    ----------
    directory
        Run directory.
    title
        Of the whole campaign; a comment of the scripts.
    campaigns
        `workflows.campaign.Campaign` of every case.
    settings
        `workflows.slurm_settings.SlurmSettings`.
    """
    directory = _checked(directory)
    folder = directory / "slurm"
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    points = planned_points(campaigns)
    options = {"job-name": "simtools", "output": "/dev/null", **settings.sbatch_options()}
    task = _TASK.format(
        title=_comment(title),
        options="\n".join(f"#SBATCH {_flag(name, value)}" for name, value in options.items()),
        directory=shlex.quote(str(directory)),
        environment="\n".join([*thread_lines(settings.cpus_per_task), *settings.setup]),
        program=shlex.join(_PROGRAM),
        threads=settings.cpus_per_task,
        limit=settings.time_limit_min,
        lead=settings.signal_lead_s,
        most_idle=_MOST_IDLE,
    )
    alike = ("partition", "account", "qos", "constraint", "mem", "time")
    where = {name: options[name] for name in alike if name in options}
    report = f"cd {shlex.quote(str(directory))} && {shlex.join(_PROGRAM)} report ."
    submit = _SUBMIT.format(
        title=_comment(title),
        directory=shlex.quote(str(directory)),
        throttle="" if settings.max_concurrent is None else f"%{settings.max_concurrent}",
        arrays="\n".join(_arrays(points)),
        report_options=" ".join(
            [
                *(_flag(name, value) for name, value in where.items()),
                "--time=60 --output=slurm/logs/report.log",
            ]
        ),
        report=shlex.quote(report),
        report_now=f"{shlex.join(_PROGRAM)} report .",
    )
    _write(folder / "points.txt", "".join(f"{name}\n" for name, _ in points))
    _write(folder / "task.sh", task)
    _write(folder / "submit.sh", submit)
    return folder / "submit.sh"


def write_snakemake(directory, title, campaigns, asked):
    """Write ``Snakefile`` in the run directory; return its path.

    Parameters
    ----------
    directory, title, campaigns
        As for `write_slurm`.
    asked
        The recipe's [slurm] or None: threads, memory and time, which Snakemake's executors pass on.
    """
    directory = _checked(directory)
    resources, limit = [], ""
    if asked is not None and asked.time_limit_min is not None:
        resources.append(f"        runtime={asked.time_limit_min}")
        limit = f" --time-limit {asked.time_limit_min}"
        if asked.signal_lead_s is not None:
            limit += f" --lead {asked.signal_lead_s}"
    if asked is not None and asked.memory_GB is not None:
        resources.append(f"        mem_mb={max(1, round(1024 * asked.memory_GB))}")
    ranks = max(campaign.recipe.potential.mpi_ranks or 1 for campaign in campaigns)
    cpus = asked.cpus_per_task if asked is not None and asked.cpus_per_task else 1
    text = _SNAKEFILE.format(
        title=_comment(title).replace("\\", "/").replace('"', "'"),
        directory=repr(str(directory)),
        program=repr(shlex.join(_PROGRAM)),
        after="{\n"
        + "".join(f"    {name!r}: {needs!r},\n" for name, needs in planned_points(campaigns))
        + "}",
        threads=ranks * cpus,
        per_rank="{threads}" if ranks == 1 else cpus,
        retries=_RETRIES if limit else 0,
        resources="    resources:\n" + ",\n".join(resources) + "\n" if resources else "",
        limit=limit,
    )
    _write(directory / "Snakefile", text)
    return directory / "Snakefile"


def _arrays(points):
    """Return lines of shell: the volume stages, then the replicas of each as one array that waits for it."""
    groups = {}
    for index, (_, needs) in enumerate(points):
        groups.setdefault(needs, []).append(index)
    for needs, indices in groups.items():
        command = "submit" if needs is None else f"submit_after {shlex.quote(needs)}"
        for start in range(0, len(indices), _LARGEST_ARRAY):
            part = indices[start : start + _LARGEST_ARRAY]
            yield f"{command} {part[0]} {part[-1]}"


def _checked(directory):
    directory = directory.resolve()
    if not str(directory).isprintable():
        raise ConfigError(f"{str(directory)!r}: expected a path without control characters")
    return directory


def _comment(title):
    return "".join(letter if letter.isprintable() else " " for letter in title)


def _flag(name, value):
    return f"--{name}" if value is True else f"--{name}={shlex.quote(str(value))}"


def _write(path, text):
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
