"""Accounts add up, or say so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ais_assets.ledger import Ledger, LedgerError

counts = st.integers(0, 10**12)
names = st.text("abcdefgh_", min_size=1, max_size=8)
ledgers = st.builds(Ledger, counts, counts, st.dictionaries(names, counts), st.dictionaries(names, counts))


@given(st.dictionaries(names, counts), counts)
def test_in_is_kept_plus_dropped(dropped: dict[str, int], kept: int) -> None:
    ledger = Ledger(rows_out=kept)
    for rule, rows in dropped.items():
        ledger.drop(rule, rows)
    ledger.rows_in = kept + sum(dropped.values())
    ledger.balance("here")
    ledger.rows_in += 1
    with pytest.raises(LedgerError, match=r"here: .* do not add up"):
        ledger.balance("here")


@given(ledgers)
def test_survives_its_json(ledger: Ledger) -> None:
    assert Ledger.from_json(ledger.to_json()) == ledger


@given(st.lists(ledgers, max_size=5))
def test_total_is_the_sum(parts: list[Ledger]) -> None:
    total = Ledger.total(parts)
    assert total.rows_in == sum(part.rows_in for part in parts)
    assert total.rows_dropped == sum(part.rows_dropped for part in parts)
    assert set(total.dropped) == {rule for part in parts for rule in part.dropped}
