"""A main program as upstream's live/NAME/main.py: its pipeline lies beside it and is installed nowhere."""

import sys

from runner.app import start_app
from runner.live.pipelines import PipelineSpec
from runner.pipelines.live_video_to_video import LiveVideoToVideoPipeline

pipeline_spec = PipelineSpec(
    pipeline_cls="pipeline.pipeline:HalvedPipeline",
    params_cls="pipeline.params:HalvedParams",
    initial_params={"gain": 0.5},
)

if __name__ == "__main__":
    wrapped = LiveVideoToVideoPipeline(pipeline_spec) if "--wrapped" in sys.argv else pipeline_spec
    start_app(pipeline=wrapped, host="127.0.0.1", port=int(sys.argv[1]), log_level="info")
