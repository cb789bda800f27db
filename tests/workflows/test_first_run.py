import json

import simtools


def test_one_command_leaves_a_summary_a_report_and_figures(argon, run_inline, tmp_path):
    directory = run_inline(argon, tmp_path / "run", "md.replicas=1")
    summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
    assert len(summary["transport"]) == 2
    page = (directory / "report.html").read_text(encoding="utf-8")
    assert "argon, very small" in page
    assert "<svg" in page
    assert list((directory / "figures").iterdir())
    results = [path.name for path in (directory / "results").iterdir()]
    assert sum(name.startswith("transport") for name in results) == 2
    run = simtools.load_run(directory)
    assert run.plot_arrhenius() is not None
    assert run.plot_msd(130.0) is not None
