"""Import paths of livepeer/ai-runner since its version 0.14.0. The code is in `ai_runner_compat`."""
