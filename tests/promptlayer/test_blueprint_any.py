"""Spans of generated records, against PromptLayer's schema."""

from __future__ import annotations

import orjson
from hypothesis import HealthCheck, given, settings

from plsync import Record
from plsync.promptlayer.mapping.blueprint import span_json
from plsync.testing.schema import check
from tests.support.examples import examples
from tests.support.generated_records import RECORDS


@settings(deadline=None, max_examples=examples(300), suppress_health_check=[HealthCheck.too_slow])
@given(record=RECORDS)
def test_every_record_has_a_span_that_fits_the_schema(record: Record) -> None:
    check("Span", orjson.loads(span_json(record)))
