"""Make a course folder for nbgrader: the sources, and what students get, without the solutions.

Usage: python scripts/release_exercises.py COURSE

COURSE/release is for students. COURSE/gradebook.db and COURSE/source are for who grades, with
nbgrader, in that folder; `notebooks/exercises/README.md` says how. The command can be repeated.
"""

import os
import shutil
import sys
from pathlib import Path

from nbgrader.apps import NbGraderAPI
from traitlets.config import Config

EXERCISES = Path(__file__).resolve().parents[1] / "notebooks" / "exercises"


def release(course: Path) -> list[Path]:
    """Write the course, and give the students' notebooks.

    Raises
    ------
    RuntimeError
        nbgrader refused an exercise.
    """
    shutil.copytree(EXERCISES / "source", course / "source", dirs_exist_ok=True)
    shutil.copy(EXERCISES / "nbgrader_config.py", course)
    # nbgrader calls its database tool by name.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    config = Config()
    config.CourseDirectory.root = str(course.resolve())
    api = NbGraderAPI(config=config)
    for assignment in sorted(api.get_source_assignments()):
        result = api.generate_assignment(assignment, force=True, create=True)
        if not result["success"]:
            raise RuntimeError(f"{assignment}: {result['log']}")
    return sorted((course / "release").glob("*/*.ipynb"))


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    for notebook in release(Path(sys.argv[1])):
        print(notebook)
    return 0


if __name__ == "__main__":
    sys.exit(main())
