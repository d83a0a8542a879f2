"""What authors work with: a new repository for a pipeline, and the source of one that is being written.

Needs the standard library only.
"""

from .new import Answers, create
from .project import EntryPoint, Project, read_project
from .wrapper import packed_pixiw

__all__ = ["Answers", "EntryPoint", "Project", "create", "packed_pixiw", "read_project"]
