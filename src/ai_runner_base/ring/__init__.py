"""Frame slots in unnamed shared memory and the books on who owns which slot. No asyncio, no sockets."""

from __future__ import annotations

from ._ledger import Committed, InputLedger, LedgerError, OutputLedger, OutputReceipts, SlotState
from ._ring import MAX_SLOTS, Ring

__all__ = [
    "MAX_SLOTS",
    "Committed",
    "InputLedger",
    "LedgerError",
    "OutputLedger",
    "OutputReceipts",
    "Ring",
    "SlotState",
]
