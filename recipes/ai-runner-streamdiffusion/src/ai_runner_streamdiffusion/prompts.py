"""From words to what the UNet is told, remembering what was asked for lately."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

from . import blend

_MOST_REMEMBERED = 64


class PromptBook:
    """Embeddings of texts, and blends of them.

    :param tokenizer: ``CLIPTokenizer``
    :param text_encoder: ``CLIPTextModel``
    """

    def __init__(self, tokenizer: Any, text_encoder: Any) -> None:
        self._tokenizer, self._text_encoder = tokenizer, text_encoder
        self._known: OrderedDict[str, torch.Tensor] = OrderedDict()

    def __call__(
        self, prompt: str | list[tuple[str, float]], method: str = "linear", *, normalize: bool = True
    ) -> torch.Tensor:
        """Embed a text or a blend of texts.

        :param prompt: a text, or (text, weight) pairs
        :param method: ``linear`` or ``slerp``
        :param normalize: weights are shares of 1; always so on a circle
        :return: (1, tokens, width) in the text encoder's dtype
        """
        if isinstance(prompt, str):
            return self._embed(prompt)
        parts = [(self._embed(text).float(), weight) for text, weight in prompt if weight > 0]
        blended = blend.slerp(parts) if method == "slerp" else blend.linear(parts, normalize=normalize)
        return blended.to(self._text_encoder.dtype)

    def _embed(self, text: str) -> torch.Tensor:
        if text not in self._known:
            self._known[text] = self._ask(text)
            while len(self._known) > _MOST_REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(text)
        return self._known[text]

    def _ask(self, text: str) -> torch.Tensor:
        length = self._tokenizer.model_max_length
        tokens = self._tokenizer(
            text, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        device = self._text_encoder.device
        uses_mask = getattr(self._text_encoder.config, "use_attention_mask", False)
        mask = tokens.attention_mask.to(device) if uses_mask else None
        return self._text_encoder(tokens.input_ids.to(device), attention_mask=mask)[0]
