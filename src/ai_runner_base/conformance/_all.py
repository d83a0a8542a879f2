"""All rules, in the order in which they are checked: what is cheap and what others need comes first."""

from __future__ import annotations

from ._checks_cost import check_live, check_memory, check_output
from ._checks_frames import check_frames, check_load, check_pictures, check_sizes, check_strange_frames
from ._checks_life import check_cancel, check_restart, check_stop, check_two_instances
from ._checks_package import (
    check_finite,
    check_handshake,
    check_import,
    check_name,
    check_prepare,
    check_schema,
)
from ._checks_params import check_change, check_not_numbers, check_values

_ORDERED = (
    *(check_name, check_import, check_schema, check_handshake, check_prepare),
    *(check_load, check_frames, check_pictures, check_finite, check_sizes, check_strange_frames),
    *(check_values, check_not_numbers, check_change),
    *(check_live, check_output, check_memory),
    *(check_two_instances, check_restart, check_stop, check_cancel),
)

RULES = {rule.name: rule for rule in _ORDERED}
"""By name, in that order."""
