"""The driver against a queue of our own making; the real one is in tests/slurm."""

import json
import os
import subprocess
import sys
import types
from contextlib import contextmanager

import pytest

from simtools.core.errors import ConfigError, RunFailedError
from workflows import slurm_executor, slurm_submit, slurm_task
from workflows.campaign import prepare, run_campaign
from workflows.point import PointOutcome
from workflows.progress import progress_display
from workflows.recipe import read_recipe
from workflows.slurm_executor import SlurmExecutor
from workflows.slurm_queue import (
    QueuedTask,
    QueueUnavailableError,
    accounted_state,
    own_task,
    queued_tasks,
    requeue,
)
from workflows.slurm_settings import SlurmSettings
from workflows.statepoints import DamagedFileError
from workflows.stopping import StopRequest

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture
def argon(argon):
    """The recipe of the other tests, a sixth as long."""
    text = argon.read_text(encoding="utf-8").replace("production_ps = 6", "production_ps = 1")
    argon.write_text(text.replace("equilibration_ps = 1", "equilibration_ps = 0.1"), encoding="utf-8")
    return argon


@pytest.fixture
def no_analysis(monkeypatch):
    """Leave out what follows the points."""
    monkeypatch.setattr("workflows.campaign.collect", lambda campaign: None)


class FakeSlurm:
    """A queue whose tasks end at the next look, each as the test says for its label."""

    def __init__(self):
        self.tasks = {}
        self.submitted = []
        self.fates = {}
        self.largest = 0
        self.silent = 0
        self.number = 0

    def submit(self, folder, job_name, tasks, settings):
        """Take tasks as sbatch would."""
        assert folder.is_dir()
        self.number += 1
        for index, task in enumerate(tasks):
            self.tasks[job_name, index] = ("PENDING", f"{self.number}_{index}", task)
        self.submitted.append([task["spec"] for task in tasks])
        self.largest = max(self.largest, sum(state == "PENDING" for state, _, _ in self.tasks.values()))
        return str(self.number)

    def queue(self):
        """Answer as squeue would, after ending what is pending."""
        if self.silent:
            self.silent -= 1
            raise QueueUnavailableError("squeue: no answer")
        return {place: QueuedTask(number, state, "") for place, (state, number, _) in self.tasks.items()}

    def work(self):
        """Run or end every pending task."""
        for place, (state, number, task) in list(self.tasks.items()):
            if state != "PENDING":
                continue
            fates = self.fates.get(task["spec"]["replica"], [])
            fate = fates.pop(0) if fates else "run"
            if fate == "out of time":
                task = {**task, "signal_lead_s": 60 * task["time_limit_min"]}
            if fate in ("run", "out of time"):
                fate = "COMPLETED"
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(slurm_task, "prepare_node", lambda threads: None)
                    patch.setattr(slurm_task, "requeue", lambda number: "requeueing is forbidden here")
                    try:
                        slurm_task.run_in_job(task)
                    except SystemExit:
                        fate = "FAILED"
            self.tasks[place] = (fate, number, task)


@pytest.fixture
def slurm(monkeypatch):
    """A Slurm without daemons."""
    fake = FakeSlurm()
    monkeypatch.setattr(slurm_executor, "check_available", lambda: None)
    monkeypatch.setattr(slurm_executor, "submit", fake.submit)
    monkeypatch.setattr(slurm_executor, "queued_tasks", fake.queue)
    monkeypatch.setattr(slurm_executor, "_wait", lambda seconds, stop: fake.work())
    return fake


def settings(**more):
    return SlurmSettings(time_limit_min=10, signal_lead_s=60, **more)


def run(recipe, directory, *overrides, stop=None, retries=2, **more):
    executor = SlurmExecutor(settings(**more), poll_s=0, grace_s=0)
    with progress_display(quiet=True) as display:
        return run_campaign(
            read_recipe(recipe, overrides),
            directory,
            executor=executor,
            stop=stop or StopRequest(),
            display=display,
            retries=retries,
        )


def transport(directory):
    return json.loads((directory / "summary.json").read_text())["transport"]


def test_a_campaign_through_slurm_gives_the_bits_of_one_process(argon, slurm, run_inline, tmp_path):
    assert run(argon, tmp_path / "slurm").status == "done"
    assert [len(batch) for batch in slurm.submitted] == [4]
    assert transport(tmp_path / "slurm") == transport(run_inline(argon, tmp_path / "inline"))
    assert list((tmp_path / "slurm" / ".slurm" / "submissions").iterdir()) == []


@pytest.mark.usefixtures("no_analysis")
def test_volume_stages_come_first(argon, slurm, tmp_path):
    text = argon.read_text().replace("lattice_parameter_A = 5.8", "npt_ps = 0.5\nnpt_equilibration_ps = 0.5")
    argon.write_text(text)
    overrides = ["md.temperatures_K=[40]", "structure.supercell=[3, 3, 3]", "md.production_ps=1"]
    result = run(argon, tmp_path / "run", *overrides)
    assert result.status == "done"
    assert [[spec["role"] for spec in batch] for batch in slurm.submitted] == [
        ["volume"],
        ["production", "production"],
    ]


@pytest.mark.usefixtures("no_analysis")
def test_no_more_than_so_many_points_are_in_the_queue(argon, slurm, tmp_path):
    assert run(argon, tmp_path / "run", max_concurrent=3).status == "done"
    assert slurm.largest == 3


@pytest.mark.usefixtures("no_analysis")
def test_a_dead_drivers_jobs_are_found_and_not_submitted_again(argon, slurm, tmp_path, monkeypatch):
    class Dead(Exception):
        pass

    def die(seconds, stop):
        raise Dead

    with monkeypatch.context() as patch:
        patch.setattr(slurm_executor, "_wait", die)
        with pytest.raises(Dead):
            run(argon, tmp_path / "run")
    assert len(slurm.submitted) == 1
    slurm.silent = 2
    assert run(argon, tmp_path / "run").status == "done"
    assert len(slurm.submitted) == 1


@pytest.mark.usefixtures("no_analysis")
def test_a_driver_that_died_before_sbatch_loses_nothing(argon, slurm, tmp_path, monkeypatch):
    def die(*arguments):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(slurm_executor, "submit", die)
        with pytest.raises(MemoryError):
            run(argon, tmp_path / "run")
    assert run(argon, tmp_path / "run").status == "done"
    assert [len(batch) for batch in slurm.submitted] == [4]


@pytest.mark.usefixtures("no_analysis")
def test_a_stopped_driver_leaves_the_jobs_to_slurm(argon, slurm, tmp_path, monkeypatch):
    stop = StopRequest()
    with monkeypatch.context() as patch:
        patch.setattr(slurm_executor, "_wait", lambda seconds, asked: setattr(stop, "requested", True))
        assert run(argon, tmp_path / "run", stop=stop).status == "stopped"
    assert run(argon, tmp_path / "run").status == "done"
    assert len(slurm.submitted) == 1


@pytest.mark.usefixtures("no_analysis")
def test_a_job_that_dies_without_a_word_is_submitted_again(argon, slurm, tmp_path):
    slurm.fates[2] = ["NODE_FAIL", "TIMEOUT"] * 2
    assert run(argon, tmp_path / "run").status == "done"
    assert [len(batch) for batch in slurm.submitted] == [4, 2, 2]


@pytest.mark.usefixtures("no_analysis")
def test_a_job_that_keeps_dying_fails_with_the_reason_and_the_others_go_on(argon, slurm, tmp_path):
    slurm.fates[2] = ["OUT_OF_MEMORY"] * 100
    result = run(argon, tmp_path / "run", retries=1)
    assert result.status == "failed"
    assert {name.split("-")[1] for name in result.quarantined} == {"r02"}
    assert all("OUT_OF_MEMORY" in reason for reason in result.quarantined.values())
    assert result.n_done == 2


@pytest.mark.usefixtures("no_analysis")
def test_a_damaged_record_does_not_keep_the_other_points_from_their_end(argon, slurm, tmp_path, monkeypatch):
    def damage(seconds, stop):
        slurm.work()
        for path in (tmp_path / "run" / "points").glob("130K-r02-*/done.json"):
            path.write_text("{", encoding="utf-8")

    monkeypatch.setattr(slurm_executor, "_wait", damage)
    with pytest.raises(DamagedFileError, match="130K-r02"):
        run(argon, tmp_path / "run")
    assert len(list((tmp_path / "run" / "points").glob("*/done.json"))) == 4


@pytest.mark.usefixtures("no_analysis")
def test_where_requeueing_is_forbidden_the_driver_submits_again(argon, slurm, tmp_path):
    slurm.fates[1] = ["out of time"] * 4
    assert run(argon, tmp_path / "run", retries=0).status == "done"
    assert [len(batch) for batch in slurm.submitted] == [4, 2, 2]


@pytest.mark.usefixtures("no_analysis")
def test_a_cancelled_job_stays_cancelled(argon, slurm, tmp_path):
    slurm.fates[2] = ["CANCELLED"] * 2
    result = run(argon, tmp_path / "run")
    assert (result.status, result.n_done) == ("stopped", 2)
    assert len(slurm.submitted) == 1
    assert run(argon, tmp_path / "run").status == "done"


@pytest.mark.usefixtures("no_analysis")
def test_a_busy_slurm_is_asked_again_and_a_refusal_is_final(argon, slurm, tmp_path, monkeypatch):
    answers = [QueueUnavailableError("sbatch: Socket timed out")] * 2

    def busy(*arguments):
        if answers:
            raise answers.pop()
        return slurm.submit(*arguments)

    monkeypatch.setattr(slurm_executor, "submit", busy)
    assert run(argon, tmp_path / "run").status == "done"

    def refuse(*arguments):
        raise RunFailedError("Slurm refuses the job: invalid partition specified: x")

    monkeypatch.setattr(slurm_executor, "submit", refuse)
    with pytest.raises(RunFailedError, match="invalid partition"):
        run(argon, tmp_path / "other")


@pytest.fixture
def task(argon, tmp_path, monkeypatch):
    """One point as its job gets it, and the calls of scontrol."""
    calls = []
    monkeypatch.setattr(slurm_task, "prepare_node", lambda threads: None)
    monkeypatch.setattr(slurm_task, "requeue", lambda number: calls.append(number) or "")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "4")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    with prepare(read_recipe(argon), tmp_path / "run") as campaign:
        job, _ = campaign.points()[0]
    return calls, {
        "job": {"run_directory": str(tmp_path / "run"), "checkpoint_every_ps": 1.0},
        "spec": job.spec.to_dict(),
        "record": str(tmp_path / "record.json"),
        "time_limit_min": 1,
        "signal_lead_s": 10,
        "threads": 1,
    }


def test_a_point_out_of_time_requeues_its_own_task_of_the_array(task, tmp_path):
    calls, content = task
    with pytest.raises(SystemExit) as stopped:
        slurm_task.run_in_job({**content, "signal_lead_s": 60})
    assert stopped.value.code == 75
    assert calls == ["17_4"]
    assert json.loads((tmp_path / "record.json").read_text())["message"] == "wall time"
    slurm_task.run_in_job(content)
    assert len(calls) == 1


def test_a_limit_too_short_for_one_step_is_an_error_in_the_end(task, tmp_path):
    _, content = task
    codes = []
    for _ in range(10):
        with pytest.raises(SystemExit) as ended:
            slurm_task.run_in_job({**content, "signal_lead_s": 60})
        codes.append(ended.value.code)
        if codes[-1] != 75:
            break
    assert codes[-1] == 1
    assert len(codes) <= 5
    assert "longer time_limit_min" in json.loads((tmp_path / "record.json").read_text())["message"]


def test_a_point_that_was_cancelled_is_not_requeued(task, tmp_path, monkeypatch):
    calls, content = task

    def cancelled(work, stop):
        stop.requested, stop.reason = True, "SIGTERM"
        from workflows.point import PointJob
        from workflows.statepoints import PointSpec

        job = PointJob(work["job"]["run_directory"], PointSpec.from_dict(work["spec"]))
        return job, PointOutcome(job.spec.name, "stopped")

    monkeypatch.setattr(slurm_task, "_run", cancelled)
    with pytest.raises(SystemExit):
        slurm_task.run_in_job(content)
    assert calls == []
    assert json.loads((tmp_path / "record.json").read_text())["status"] == "stopped"


def test_numbers_of_tasks():
    assert own_task({}) is None
    assert own_task({"SLURM_JOB_ID": "5"}) == "5"
    assert own_task({"SLURM_JOB_ID": "5", "SLURM_ARRAY_JOB_ID": "5", "SLURM_ARRAY_TASK_ID": "0"}) == "5_0"


def test_what_squeue_prints_is_read(tmp_path, monkeypatch):
    program = tmp_path / "squeue"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'simtools-a|12|0|RUNNING|None'\n"
        "echo 'simtools-a|12|1|PENDING|Dependency, a|b'\n"
        "echo 'single|13|N/A|TIMEOUT|TimeLimit'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    tasks = queued_tasks()
    assert tasks["simtools-a", 1] == QueuedTask("12_1", "PENDING", "Dependency, a|b")
    assert [task.alive for task in tasks.values()] == [True, True, False]
    assert tasks["single", 0].task_id == "13"
    program.write_text("#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact' >&2\nexit 1\n")
    with pytest.raises(QueueUnavailableError, match="Unable to contact"):
        queued_tasks()


@pytest.fixture
def sacct(tmp_path, monkeypatch):
    """Make ``sacct`` a program of the given lines of shell, or take it away."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(*lines):
        program = tmp_path / "sacct"
        program.unlink(missing_ok=True)
        if lines:
            program.write_text("\n".join(["#!/bin/sh", *lines, ""]), encoding="utf-8")
            program.chmod(0o755)

    return make


DISABLED = "echo 'Slurm accounting storage is disabled' >&2; exit 1"


def test_how_a_task_ended_is_what_sacct_says_last(sacct):
    sacct('[ "$5" = 12_3 ] || exit 3', "echo 'NODE_FAIL'", "echo 'CANCELLED by 1000'")
    assert accounted_state("12_3") == ("CANCELLED", "")


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "there is no sacct here"),
        ([DISABLED], "sacct: Slurm accounting storage is disabled"),
        (["exit 0"], "sacct does not know it"),
    ],
)
def test_why_sacct_cannot_tell_is_said(sacct, lines, reason):
    sacct(*lines)
    assert accounted_state("12_3") == ("", reason)


def forgotten(slurm):
    """Make squeue forget a task at its end, as a site does that sets MinJobAge low."""
    seen = slurm.queue

    def queue():
        return {place: task for place, task in seen().items() if task.state == "PENDING"}

    return queue


@pytest.mark.usefixtures("no_analysis")
def test_without_accounts_a_forgotten_job_is_tried_again_and_the_reason_says_what_is_not_known(
    argon, slurm, sacct, tmp_path, monkeypatch
):
    sacct(DISABLED)
    monkeypatch.setattr(slurm_executor, "queued_tasks", forgotten(slurm))
    slurm.fates[2] = ["FAILED"] * 100
    result = run(argon, tmp_path / "run", retries=1)
    assert (result.status, result.n_done) == ("failed", 2)
    for reason in result.quarantined.values():
        assert "squeue has forgotten it; sacct: Slurm accounting storage is disabled" in reason


@pytest.mark.usefixtures("no_analysis")
def test_sacct_remembers_a_cancellation_that_squeue_has_forgotten(argon, slurm, sacct, tmp_path, monkeypatch):
    sacct("echo 'CANCELLED by 1000'")
    monkeypatch.setattr(slurm_executor, "queued_tasks", forgotten(slurm))
    slurm.fates[2] = ["CANCELLED"] * 2
    result = run(argon, tmp_path / "run")
    assert (result.status, result.n_done) == ("stopped", 2)
    assert len(slurm.submitted) == 1


def test_a_missing_slurm_is_said_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="simtools export"):
        queued_tasks()
    assert "no scontrol here" in requeue("1")


def test_what_is_missing_is_said_in_one_line(argon, simtools, tmp_path, monkeypatch):
    call = ("run", argon, "-o", tmp_path / "run", "--executor", "slurm", "--set", "slurm.time_limit_min=10")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setitem(sys.modules, "submitit", None)
    status, _, err = simtools(*call)
    assert status == 2
    assert "pip install 'antiperovskite-simtools[slurm]'" in err
    monkeypatch.setitem(sys.modules, "submitit", types.ModuleType("submitit"))
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = simtools(*call)
    assert status == 2
    assert "no sbatch, squeue, scontrol, srun on this machine" in err
    status, _, err = simtools(*call[:-2])
    assert status == 2
    assert "time_limit_min is not given" in err
    status, _, err = simtools(*call, "--workers", 2)
    assert status == 2
    assert "--max-concurrent limits jobs" in err
    status, _, err = simtools("run", argon, "-o", tmp_path / "run", "--max-concurrent", 2)
    assert status == 2
    assert "no effect with --executor local" in err
    assert not (tmp_path / "run").exists()


def test_the_module_that_submitit_loads_is_light():
    code = (
        "import sys, workflows.slurm_task; print([m for m in ('numpy', 'numba', 'ase') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_driver_inside_a_job_does_not_hand_that_job_on(tmp_path, monkeypatch):
    seen = {}

    class Batch:
        def __init__(self, **options):
            assert options["folder"] == tmp_path

        def update_parameters(self, **parameters):
            seen.update(parameters)

        @contextmanager
        def batch(self):
            seen["slurm"] = sorted(name for name in os.environ if name.startswith("SLURM_"))
            yield

        def submit(self, function, task):
            return types.SimpleNamespace(job_id="31_0")

    class Refused(Exception):
        pass

    utils = types.SimpleNamespace(FailedJobError=Refused, FailedSubmissionError=Refused)
    module = types.ModuleType("submitit")
    module.SlurmExecutor, module.core = Batch, types.SimpleNamespace(utils=utils)
    monkeypatch.setitem(sys.modules, "submitit", module)
    for name in ("SLURM_CONF", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.setenv(name, "7")
    assert slurm_submit.submit(tmp_path, "simtools-x", [{}], settings(cpus_per_task=2)) == "31"
    assert seen["slurm"] == ["SLURM_CONF"]
    assert os.environ["SLURM_ARRAY_TASK_ID"] == "7"
    assert "export NUMBA_NUM_THREADS=2" in seen["setup"]
    assert seen["additional_parameters"]["signal"] == "B:USR1@60"

    def refuse(self, function, task):
        raise Refused("sbatch: error: invalid partition specified: x")

    monkeypatch.setattr(Batch, "submit", refuse)
    with pytest.raises(RunFailedError, match="invalid partition"):
        slurm_submit.submit(tmp_path, "simtools-x", [{}], settings())


@pytest.mark.usefixtures("no_analysis")
def test_cases_of_a_sweep_share_the_queue_and_run_in_their_own_folders(argon, slurm, simtools, tmp_path):
    text = argon.read_text(encoding="utf-8").replace("replicas = 2", "replicas = 1")
    more = "[sweep]\nmd.timestep_fs = [4, 5]\n[slurm]\ntime_limit_min = 10\n"
    argon.write_text(text.replace("timestep_fs = 5\n", "") + more, encoding="utf-8")
    status, _, err = simtools("run", argon, "-o", tmp_path / "run", "--executor", "slurm", "-q")
    assert status == 0, err
    assert [len(batch) for batch in slurm.submitted] == [4]
    assert len(list((tmp_path / "run" / "cases").glob("*/points/*/done.json"))) == 4
    assert (tmp_path / "run" / ".slurm").is_dir()
    assert simtools("export", tmp_path / "run", "--snakemake")[0] == 0
