"""What authors work with: a new repository for a pipeline, and the source of one that is being written.

Needs the standard library only.
"""

from .explain import explain
from .new import Answers, create
from .project import EntryPoint, Project, read_project
from .watch import Watch
from .wrapper import packed_pixiw

__all__ = [
    "Answers",
    "EntryPoint",
    "Project",
    "Watch",
    "create",
    "explain",
    "packed_pixiw",
    "read_project",
]
