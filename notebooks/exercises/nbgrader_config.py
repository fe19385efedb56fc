"""Settings of nbgrader for this course; it is read in the folder of the course."""

import os

c = get_config()  # noqa: F821 - traitlets defines it

c.CourseDirectory.course_id = "efficient-deep-learning"
# An exercise takes seconds; more than this is an endless loop.
c.ExecutePreprocessor.timeout = 120
# Graded cells show no widgets.
os.environ["SPA_KERNEL_NO_WIDGETS"] = "1"
