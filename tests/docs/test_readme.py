"""The README's Python runs as written, only shorter."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_first_python_example_prints_a_diffusivity(tmp_path):
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert "duration_ps=10," in code
    script = tmp_path / "first.py"
    script.write_text(code.replace("duration_ps=10,", "duration_ps=1,"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Estimate(")
