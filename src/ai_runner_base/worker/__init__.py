"""The program that a pipeline's interpreter runs: the only room that imports pipeline code.

The runner starts it, always with the same four options: ``python -I -m ai_runner_base.worker --control-fd N
--frame-fd N --input-fd N --output-fd N``.
With ``--prepare ENTRY_POINT`` alone it downloads a pipeline's models. It needs NumPy and pydantic only.

Threads: the main thread runs the event loop (parameters, full pipelines); `_control` answers pings whatever
the pipeline does; `_frame_thread` runs plain functions, straight from socket to socket.
"""
