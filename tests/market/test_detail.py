"""Detail levels by the words that importers and generators write."""

import pytest

from tidewright.market.detail import detail_of


@pytest.mark.parametrize(
    ("words", "level", "touch_only"),
    [
        ("L2+trades", "L2+trades", False),
        ("L2+trades+best bid/ask+mark price", "L2+trades", False),
        ("L2+trades (synthetic)", "L2+trades", False),
        ("L2+aggregated trades", "L2+trades", False),
        ("25 levels every 1000 ms + trades (degraded)", "book snapshots+trades", False),
        ("book snapshots+trades", "book snapshots+trades", False),
        ("best bid/ask+trades", "best quotes+trades", True),
        ("best bid/ask", "best quotes+trades", True),
        ("trades", "trades only", False),
        ("aggregated trades (assumed quotes)", "trades only", True),
        ("bars 1m (inferred prints)", "bars", False),
        ("bars 5m (inferred prints, assumed quotes)", "bars", True),
        ("", "not stated", False),
        ("synthetic", "not stated", False),
    ],
)
def test_a_tapes_words_name_its_level(words: str, level: str, touch_only: bool) -> None:
    detail = detail_of({"detail": words})
    assert (detail.level, detail.touch_only, detail.text) == (level, touch_only, words)


def test_what_a_level_means_for_fills_depends_on_trades_and_quotes_being_there() -> None:
    assert "no decision" in detail_of({"detail": "trades"}).fills
    assert "assumed around" in detail_of({"detail": "trades (assumed quotes)"}).fills
    assert "without trades" in detail_of({"detail": "L2"}).fills
    assert "without trades" not in detail_of({"detail": "L2+trades"}).fills
    assert "touch only" in detail_of({"detail": "best bid/ask+trades"}).fills
