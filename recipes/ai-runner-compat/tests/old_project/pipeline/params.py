from pydantic import Field

from runner.live.pipelines import BaseParams


class HalvedParams(BaseParams):
    gain: float = Field(default=1.0, ge=0.0, le=1.0)
