"""``python -m ai_runner_base`` is ``ai-runner``."""

from .cli import main

if __name__ == "__main__":
    main()
