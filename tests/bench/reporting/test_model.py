import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.reporting.model import Better, Metric, Report, Series, parse_reports, serialize_reports

texts = st.text(max_size=10)
numbers = st.floats(-1e12, 1e12)
metrics = st.builds(Metric, texts, st.none() | numbers, texts, st.sampled_from(Better))
curves = st.builds(Series, texts, texts, texts, st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple))
reports = st.builds(
    Report,
    command=texts,
    label=texts,
    started_at=texts,
    machine=texts,
    parameters=st.dictionaries(texts, texts, max_size=3),
    metrics=st.lists(metrics, max_size=3).map(tuple),
    series=st.lists(curves, max_size=2).map(tuple),
    problems=st.lists(texts, max_size=2).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
)


@given(st.lists(reports, max_size=3).map(tuple))
def test_parse_is_the_reverse_of_serialize(written):
    assert parse_reports(serialize_reports(written)) == written


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "other", "reports": []}', "null"])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(BenchError):
        parse_reports(text)
