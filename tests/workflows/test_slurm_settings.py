import os
import stat

import pytest

from simtools.core.errors import ConfigError
from workflows import values
from workflows.node import THREAD_VARIABLES, local_cache, prepare_node
from workflows.recipe import read_recipe
from workflows.slurm_folder import SlurmFolder
from workflows.slurm_settings import SlurmFileTable, SlurmTable, read_slurm_settings
from workflows.stopping import StopRequest, seconds_left


@pytest.fixture(autouse=True)
def no_user_file(monkeypatch, tmp_path):
    """Keep the settings of whoever runs the tests out of them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))


def table(**keys):
    return values.read_table(SlurmTable, keys, where="slurm", source="recipe.toml")


def test_sources_are_taken_in_rising_order(tmp_path):
    user = tmp_path / "xdg" / "simtools" / "slurm.toml"
    user.parent.mkdir(parents=True)
    user.write_text('[slurm]\npartition = "site"\naccount = "me"\nsetup = ["module load x"]\n')
    mine = tmp_path / "mine.toml"
    mine.write_text('[slurm]\ntime_limit_min = 30\noptions = { gres = "gpu:1", exclusive = true }\n')
    settings = read_slurm_settings(table(partition="long", time_limit_min=20), file=mine, max_concurrent=5)
    assert (settings.partition, settings.account, settings.time_limit_min) == ("long", "me", 30)
    assert (settings.setup, settings.max_concurrent) == (("module load x",), 5)
    options = settings.sbatch_options()
    assert options["gres"] == "gpu:1"
    assert options["exclusive"] is True
    assert options["signal"] == "B:USR1@300"


def test_ranks_of_an_engine_are_tasks_of_the_job():
    options = read_slurm_settings(table(time_limit_min=10, cpus_per_task=2), mpi_ranks=8).sbatch_options()
    assert (options["nodes"], options["ntasks"], options["cpus-per-task"]) == (1, 8, 2)


@pytest.mark.parametrize(("minutes", "lead_s"), [(1, 12), (10, 120), (25, 300), (1440, 300)])
def test_the_lead_fits_into_the_limit(minutes, lead_s):
    assert read_slurm_settings(table(time_limit_min=minutes)).signal_lead_s == lead_s


def test_a_limit_is_needed_and_a_lead_of_more_than_half_of_it_is_refused():
    with pytest.raises(ConfigError, match="time_limit_min is not given"):
        read_slurm_settings(table(partition="x"))
    with pytest.raises(ConfigError, match="at most half of time_limit_min, 30 s"):
        read_slurm_settings(table(time_limit_min=1, signal_lead_s=31))
    with pytest.raises(ConfigError, match="--max-concurrent 0"):
        read_slurm_settings(table(time_limit_min=1), max_concurrent=0)


@pytest.mark.parametrize("name", ["partition", "account", "qos", "constraint"])
@pytest.mark.parametrize("word", ["a\ntouch x", "$(id)", "a b", "`id`", "a;b", "'", ""])
def test_a_word_of_a_recipe_cannot_become_a_line_of_a_script(name, word):
    with pytest.raises(ConfigError, match=f"{name} = "):
        table(**{name: word})


def test_a_recipe_may_not_bring_shell_or_options():
    for name, value in (("setup", ["rm -r x"]), ("options", {"gres": "gpu:1"})):
        with pytest.raises(ConfigError, match=f"no key '{name}'"):
            table(**{name: value})


@pytest.mark.parametrize("options", [{"output": "/x"}, {"wrap": "id"}, {"gres": "a\nb"}, {"A B": "x"}])
def test_options_that_are_ours_or_no_options_are_refused(options):
    with pytest.raises(ConfigError, match="options = "):
        values.read_table(SlurmFileTable, {"options": options}, where="slurm", source="x")


def test_the_table_of_a_recipe_is_kept_with_the_run(argon):
    argon.write_text(argon.read_text() + "[slurm]\ntime_limit_min = 90\nmemory_GB = 1.5\n")
    recipe = read_recipe(argon)
    assert recipe.to_dict()["slurm"] == {"time_limit_min": 90, "memory_GB": 1.5}
    assert read_slurm_settings(recipe.slurm).sbatch_options()["mem"] == "1536M"


def test_time_left_is_what_slurm_says_else_counted_from_the_start_of_the_job():
    def left(**environment):
        return seconds_left(60, lead_s=100, environment=environment, now_s=10_000)

    assert left() == 3500
    assert left(SIMTOOLS_JOB_START="9000") == 2500
    assert left(SIMTOOLS_JOB_START="9000", SLURM_JOB_END_TIME="10500") == 400
    assert left(SIMTOOLS_JOB_START="6500") == 0
    assert left(SIMTOOLS_JOB_START="0") == 3500
    assert left(SLURM_JOB_END_TIME="9990") == 3500
    assert left(SLURM_JOB_END_TIME="99999999") == 3500


def test_a_stop_asks_for_itself_when_the_time_is_up():
    stop = StopRequest(after_s=0)
    assert stop()
    assert stop.reason == "wall time"
    assert not StopRequest(after_s=100)()


def test_the_node_gets_one_thread_count_and_a_private_cache(tmp_path):
    environment = {"SLURM_TMPDIR": str(tmp_path / "gone"), "TMPDIR": str(tmp_path)}
    prepare_node(3, environment)
    assert {environment[name] for name in THREAD_VARIABLES} == {"3"}
    cache = tmp_path / f"simtools-numba-{os.getuid()}"
    assert environment["NUMBA_CACHE_DIR"] == str(cache)
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    prepare_node(1, environment)
    assert environment["NUMBA_CACHE_DIR"] == str(cache)


def test_a_cache_that_others_can_write_in_is_not_used(tmp_path):
    foreign = tmp_path / f"simtools-numba-{os.getuid()}"
    foreign.mkdir()
    foreign.chmod(0o777)
    assert local_cache({"TMPDIR": str(tmp_path)}) != foreign
    foreign.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    foreign.symlink_to(tmp_path / "elsewhere")
    assert local_cache({"TMPDIR": str(tmp_path)}) != foreign


def test_the_folder_of_a_run_is_private_and_remembers(tmp_path):
    folder = SlurmFolder(tmp_path)
    submission = folder.new_submission(name for name in ("a", "b"))
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.job_folder(submission).stat().st_mode) == 0o700
    assert SlurmFolder(tmp_path).submissions() == [submission]
    assert submission.points == ("a", "b")
    folder.forget(submission)
    assert folder.submissions() == []


def test_a_folder_that_came_with_the_run_from_elsewhere_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / ".slurm").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="expected a folder of yours"):
        SlurmFolder(tmp_path)
    open_run = tmp_path / "open"
    (open_run / ".slurm").mkdir(parents=True)
    (open_run / ".slurm").chmod(0o755)
    with pytest.raises(ConfigError, match="nobody else can enter"):
        SlurmFolder(open_run)
    with pytest.raises(ConfigError, match="without it"):
        SlurmFolder(tmp_path / "50%j")
