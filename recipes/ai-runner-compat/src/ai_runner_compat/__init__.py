"""The interface of livepeer/ai-runner's live pipelines on top of ai-runner-base.

Written against livepeer/ai-runner 0.14.1 (runner/src/runner). The packages `runner` and `app` beside this one
have its import paths and nothing else.
"""
